"""What JSON Schema lets pass in a template and its author did not mean, by `template check`."""

import json
from pathlib import Path
from typing import Any

import pytest

from poster_service.render.template_check import Finding, examine
from tests.unit.template_folders import make

PAGE = "{% if name is defined %}{{ name }}{% endif %}"
NAME = {"type": "string"}


def found(root: Path, schema: Any, sample: Any = None, page: str = PAGE) -> list[Finding]:
    """The findings of a template with a schema, which stands in the file with an indent of 1."""
    make(root, page, schema__json=schema, sample__json={} if sample is None else sample)
    return examine(root / "card")


def shown(findings: list[Finding]) -> list[tuple[str, str, int | None, str]]:
    """Severity, file, line and message of each."""
    return [
        (one.severity, one.mistake.file, one.mistake.line, one.mistake.what) for one in findings
    ]


def with_name(**more: Any) -> dict[str, Any]:
    """A schema of one field; what is added stands from line 2 on."""
    return {**more, "type": "object", "properties": {"name": NAME}}


@pytest.mark.parametrize(
    ("more", "severity", "line", "what"),
    [
        ({"requierd": ["name"]}, "error", 2, "`requierd` is not a keyword and has no effect; did"
         " you mean `required`?"),
        ({"propertys": {}}, "error", 2, "did you mean `properties`?"),
        ({"additionalproperties": False}, "error", 2, "did you mean `additionalProperties`?"),
        ({"Title": "x"}, "error", 2, "did you mean `title`?"),
        ({"title": "x", "nullable": True}, "error", 3, '`nullable` has no effect: write "type"'),
        ({"dependencies": {}}, "error", 2, "write `dependentRequired` or `dependentSchemas`"),
        ({"surname": {"type": "string"}}, "error", 2, "put a field of the data into `properties`"),
        ({"zzz": 1}, "warning", 2, "`zzz` is not a keyword of JSON Schema and has no effect"),
        ({"x-mine": 1}, "warning", 2, "x-poster is read, nothing else"),
        ({"x-postre": {}}, "error", 2, "did you mean `x-poster`?"),
        ({"x-poster": {"widht": 600}}, "error", 3, "x-poster: `widht` is unknown and has no effect;"
         " did you mean `width`?"),
        ({"x-poster": {"width": 6, "size": []}}, "error", 4, "did you mean `sizes`?"),
        ({"x-poster": {"zzz": 1}}, "error", 3, "it has: title, description, width, height, sizes"),
        ({"required": ["nmae"], "additionalProperties": True}, "error", 3,
         "`nmae` is required, and `properties` does not have it; did you mean `name`?"),
        ({"required": ["zzz"], "additionalProperties": True}, "warning", 3,
         "add it there, or remove it from `required`"),
        ({"required": ["zzz"], "additionalProperties": False}, "error", 3, "add it there, or rem"),
        ({"type": "objekt"}, "error", 2, "type: \"objekt\" is not a type; allowed: array, boolean,"
         " integer, null, number, object or string; did you mean \"object\"?"),
    ],
)  # fmt: skip
def test_what_has_no_effect_at_the_top_is_found(
    tmp_path: Path, more: dict[str, Any], severity: str, line: int, what: str
) -> None:
    """With its line, and the name that was probably meant or another remedy."""
    schema = with_name(**more)
    schema["type"] = more.get("type", "object")
    (one,) = [each for each in found(tmp_path, schema) if each.mistake.file == "card/schema.json"]
    assert (one.severity, one.mistake.line) == (severity, line)
    assert what in one.mistake.what
    assert one.public()["line"] == line
    assert json.loads(json.dumps(one.public()))["message"] == one.mistake.what


@pytest.mark.parametrize(
    ("value", "line", "what"),
    [
        ({"type": "strng"}, 4, '"strng" is not a type'),
        ({"type": "strng"}, 4, 'did you mean "string"?'),
        ({"type": "int"}, 4, 'did you mean "integer"?'),
        ({"type": ["string", "nul"]}, 4, '"nul" is not a type'),
        ({"type": ["string", "none"]}, 4, 'did you mean "null"?'),
        ({"type": "dict"}, 4, 'did you mean "object"?'),
        ({"title": "x", "maxLenght": 3}, 5, "did you mean `maxLength`?"),
        ({"title": "x", "max": 3}, 5, "`max` has no effect: write `maximum`, `maxLength`"),
        ({"format": "emial"}, 4, "the format `emial` is unknown and not checked; did you mean"),
        ({"x-poster": {}}, 4, "has an effect only at the top of the file: move it"),
        ({"anyOf": [{"typ": "string"}]}, 6, "did you mean `type`?"),
        ({"items": {"minLenght": 1}}, 5, "did you mean `minLength`?"),
        ({"minLength": "x"}, 4, "properties.name.minLength: 'x' is not of type 'integer'"),
        ({"pattern": "("}, 4, "properties.name.pattern: '(' is not a 'regex'"),
    ],
)  # fmt: skip
def test_what_has_no_effect_in_a_field_is_found(
    tmp_path: Path, value: dict[str, Any], line: int, what: str
) -> None:
    """At every depth."""
    findings = found(tmp_path, {"properties": {"name": value}})
    assert {(one.severity, one.mistake.line) for one in findings} == {("error", line)}
    assert what in " ".join(one.mistake.what for one in findings)


@pytest.mark.parametrize(
    "schema",
    [
        with_name(examples=[{"requierd": 1}], default={"typ": 1}),
        with_name(**{"$defs": {"requierd": NAME}, "definitions": {"typ": NAME}}),
        {"properties": {"name": {"const": {"typ": 1}}, "requierd": NAME}},
        {"properties": {"name": {"enum": [{"typ": 1}], "format": "hostname"}}},
        {"properties": {"name": {"format": "our-own-words"}}},
        with_name(required=["other"], patternProperties={"^o": NAME}),
        with_name(**{"x-poster": {"width": 5, "height": 5, "title": "x", "description": "y"}}),
    ],
)
def test_names_of_the_author_are_no_keywords(tmp_path: Path, schema: dict[str, Any]) -> None:
    """In values, names of fields and of definitions; a format may describe anything."""
    page = PAGE + "{% if requierd is defined %}{{ requierd }}{% endif %}"
    sample = {"other": "x"} if "required" in schema else {}
    assert shown(found(tmp_path, schema, sample, page)) == []


def test_a_name_that_stands_twice_is_found(tmp_path: Path) -> None:
    """In both files; JSON keeps the last of them."""
    schema = '{"properties": {"name": {"type": "string"},\n"name": {"type": "string"}}}'
    findings = found(tmp_path, schema, '{"name": "a",\n\n"name": "b"}')
    what = "`name` is there twice, and the last one counts: remove one of them"
    assert shown(findings) == [
        ("error", "card/schema.json", 2, what), ("error", "card/sample.json", 3, what),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "sample", "line", "what"),
    [
        (with_name(), {"nmae": "x"}, 2, "the schema has no field `nmae`; did you mean `name`?"),
        (with_name(), {"name": "x", "zzz": 1}, 3, "add it to the schema, or remove it from the"),
        (with_name(additionalProperties=False), {"nmae": "x"}, 2, "('nmae' was unexpected); did"
         " you mean `name`?"),
        (with_name(required=["name"]), {"nmae": "x"}, 1, "'name' is a required property; is it"
         " `nmae`?"),
        ({"properties": {"name": {"items": {"properties": {"a": NAME, "price": NAME}}}}},
         {"name": [{"a": "x"}, {"prise": "y"}]}, 7, "did you mean `price`?"),
        ({"properties": {"name": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"properties": {
            "first": NAME}}}}, {"name": {"frist": "x"}}, 3, "did you mean `first`?"),
        (with_name(), {"name": 5}, 2, "name: 5 is not of type 'string'"),
    ],
)  # fmt: skip
def test_the_sample_is_compared_with_the_schema(
    tmp_path: Path, schema: dict[str, Any], sample: Any, line: int, what: str
) -> None:
    """Where the schema would let any name pass too; with the line of the sample."""
    page = PAGE + "{{ [1] | tojson | length }}"
    findings = [
        one for one in found(tmp_path, schema, sample, page)
        if one.mistake.file == "card/sample.json" and what in one.mistake.what
    ]  # fmt: skip
    assert [one.mistake.line for one in findings] == [line]


@pytest.mark.parametrize(
    "schema",
    [with_name(additionalProperties=True), with_name(additionalProperties=NAME),
     with_name(patternProperties={"z": NAME}), {"type": "object"}],
)  # fmt: skip
def test_an_open_schema_takes_any_field(tmp_path: Path, schema: dict[str, Any]) -> None:
    """It says so itself, or says nothing of fields."""
    findings = found(tmp_path, schema, {"zzz": "x"})
    assert [one for one in findings if one.mistake.file == "card/sample.json"] == []
