"""Finds what JSON Schema lets pass in a template's `schema.json` and its author did not mean.

JSON Schema takes any keyword that it does not know for a remark: `requierd` requires nothing. What
is no JSON Schema at all is found by `schema_faults`, also at the start of the service.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from poster_service.render.about import KEYS
from poster_service.render.data_formats import FORMATS
from poster_service.render.json_places import Path
from poster_service.render.json_schema import listed
from poster_service.render.mistakes import resolve_pointer
from poster_service.similar import did_you_mean, nearest

Severity = Literal["error", "warning"]

#: Keywords whose value is a schema, a list of schemas, or an object of schemas by name.
ONE = (
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
#: All other keywords of JSON Schema 2020-12, and the one of ours.
PLAIN = (
    "$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "$vocabulary",
    "const", "contentEncoding", "contentMediaType", "default", "dependentRequired", "deprecated",
    "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format",
    "maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems",
    "minLength", "minProperties", "minimum", "multipleOf", "pattern", "readOnly", "required",
    "title", "type", "uniqueItems", "writeOnly",
)  # fmt: skip
ABOUT = "x-poster"
KEYWORDS = (*ONE, *SEVERAL, *NAMED, *PLAIN, ABOUT)
#: Keywords of other drafts and of OpenAPI, and what to write instead.
ELSEWHERE = {
    "additionalItems": "write `items` beside `prefixItems`",
    "dependencies": "write `dependentRequired` or `dependentSchemas`",
    "nullable": 'write "type": ["string", "null"]',
    "example": "write `examples`, a list",
    "optional": "leave the field out of `required`",
    "max": "write `maximum`, `maxLength` or `maxItems`",
    "min": "write `minimum`, `minLength` or `minItems`",
    "regex": "write `pattern`",
    "values": "write `enum`, a list",
    "options": "write `enum`, a list",
}
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
#: What types are called elsewhere.
OTHER_TYPES = {
    "bool": "boolean", "date": "string", "decimal": "number", "dict": "object", "double": "number",
    "float": "number", "int": "integer", "list": "array", "map": "object", "none": "null",
    "str": "string", "text": "string",
}  # fmt: skip
#: Formats of JSON Schema that describe data and are not checked.
DESCRIPTIVE = (
    "duration", "hostname", "idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer",
    "relative-json-pointer", "time", "uri-reference", "uri-template",
)  # fmt: skip
MAX_FAULTS = 20


@dataclass(frozen=True)
class Note:
    """Something that is wrong with a schema.

    Attributes:
        severity: As of a finding.
        path: Of the value that is wrong, in the file.
        what: What is wrong, and the remedy.
    """

    severity: Severity
    path: Path
    what: str


def schema_faults(schema: Mapping[str, Any]) -> Iterator[Note]:
    """Why a schema is no JSON Schema, each place once; nothing if it is one."""
    found: dict[Path, ValidationError] = {}
    for error in _META.iter_errors(schema):
        found.setdefault(tuple(error.absolute_path), error)
    for path, error in list(found.items())[:MAX_FAULTS]:
        place = ".".join(map(str, path)) or "top level"
        is_type = path[-1:] == ("type",) or path[-2:-1] == ("type",)
        what = _wrong_type(error.instance) if is_type else error.message[:200]
        yield Note("error", path, f"is not a valid JSON Schema: {place}: {what}")


_META = Draft202012Validator(
    Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER
)


def _wrong_type(given: object) -> str:
    """The message for a type that does not exist."""
    wrong = given
    if isinstance(given, list):
        wrong = next((one for one in given if one not in TYPES), given)
    shown = f'"{wrong[:40]}"' if isinstance(wrong, str) else "this"
    near = ""
    if isinstance(wrong, str):
        other = OTHER_TYPES.get(wrong.lower()) or nearest(wrong, TYPES)
        near = f'; did you mean "{other}"?' if other else ""
    return f"{shown} is not a type; allowed: {listed(TYPES, 'or')}{near}"


def lint(schema: Mapping[str, Any]) -> Iterator[Note]:
    """What has no effect in a schema, or contradicts it; nothing if all is well."""
    yield from _unknown_keys(schema.get(ABOUT))
    for path, node in _schemas(schema):
        for keyword in node:
            if keyword not in KEYWORDS or (keyword == ABOUT and path):
                yield _unknown_keyword((*path, keyword), keyword, node[keyword])
        yield from _required(path, node)
        if isinstance(name := node.get("format"), str) and name not in (*FORMATS, *DESCRIPTIVE):
            what = f"the format `{name[:40]}` is unknown and not checked"
            if hint := did_you_mean(name, FORMATS, "`"):
                yield Note("error", (*path, "format"), what + hint)


def _schemas(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The schema and all that are in it, with their paths."""
    pending: list[tuple[Path, object]] = [((), schema)]
    while pending:
        path, node = pending.pop()
        if not isinstance(node, Mapping):
            continue
        yield path, node
        for keyword, value in node.items():
            if keyword in ONE:
                pending.append(((*path, keyword), value))
            elif keyword in SEVERAL and isinstance(value, list):
                pending += [((*path, keyword, at), one) for at, one in enumerate(value)]
            elif keyword in NAMED and isinstance(value, Mapping):
                pending += [((*path, keyword, name), one) for name, one in value.items()]


def _unknown_keys(about: object) -> Iterator[Note]:
    """Keys of `x-poster` that mean nothing."""
    for key in about if isinstance(about, Mapping) else ():
        if key not in KEYS:
            hint = did_you_mean(key, KEYS, "`") or f"; it has: {', '.join(KEYS)}"
            what = f"x-poster: `{key[:40]}` is unknown and has no effect{hint}"
            yield Note("error", (ABOUT, key), what)


def _unknown_keyword(path: Path, keyword: str, value: object) -> Note:
    shown = f"`{keyword[:40]}`"
    if keyword == ABOUT:
        return Note("error", path, f"{shown} has an effect only at the top of the file: move it")
    if keyword in ELSEWHERE:
        return Note("error", path, f"{shown} has no effect: {ELSEWHERE[keyword]}")
    if hint := did_you_mean(keyword, KEYWORDS, "`"):
        return Note("error", path, f"{shown} is not a keyword and has no effect{hint}")
    if keyword.startswith("x-"):
        return Note("warning", path, f"{shown} has no effect here: {ABOUT} is read, nothing else")
    if isinstance(value, Mapping):
        what = "is not a keyword and has no effect: put a field of the data into `properties`"
        return Note("error", path, f"{shown} {what}")
    return Note("warning", path, f"{shown} is not a keyword of JSON Schema and has no effect")


def _required(path: Path, node: Mapping[str, Any]) -> Iterator[Note]:
    """Names that are required and not among the properties."""
    required, properties = node.get("required"), node.get("properties")
    if not isinstance(required, list) or not isinstance(properties, Mapping):
        return
    is_closed = node.get("additionalProperties") is False
    for at, name in enumerate(required):
        if not isinstance(name, str) or name in properties or node.get("patternProperties"):
            continue
        hint = did_you_mean(name, properties, "`")
        what = f"`{name[:40]}` is required, and `properties` does not have it"
        remedy = hint or ": add it there, or remove it from `required`"
        severity: Severity = "error" if hint or is_closed else "warning"
        yield Note(severity, (*path, "required", at), what + remedy)


def unknown_in_sample(schema: Mapping[str, Any], sample: Mapping[str, Any]) -> Iterator[Note]:
    """Fields of a sample that its schema does not have, where the schema lets them pass."""
    pending: list[tuple[Path, object, list[Any]]] = [((), sample, [schema])]
    while pending:
        path, value, nodes = pending.pop()
        parts = parts_of(schema, nodes)
        if isinstance(value, list):
            items = [one["items"] for one in parts if "items" in one]
            pending += [((*path, at), one, items) for at, one in enumerate(value)]
        elif isinstance(value, Mapping):
            fields = fields_of(parts)
            is_strict = fields and not any(one.keys() & _OTHERS for one in parts)
            for name, inner in value.items():
                if name in fields:
                    pending.append(((*path, name), inner, fields[name]))
                elif is_strict:
                    yield _unknown_field((*path, name), name, fields)


#: Keywords that say what other fields an object may have; what they forbid is found already.
_OTHERS = {
    "additionalProperties", "patternProperties", "propertyNames", "unevaluatedProperties",
}  # fmt: skip


def _unknown_field(path: Path, name: str, fields: Mapping[str, Any]) -> Note:
    what = f"the schema has no field `{name[:40]}`"
    if hint := did_you_mean(name, fields, "`"):
        return Note("error", path, what + hint)
    return Note("warning", path, f"{what}: add it to the schema, or remove it from the sample")


def parts_of(schema: Mapping[str, Any], nodes: Sequence[object]) -> list[Mapping[str, Any]]:
    """Schemas with all that they refer to or combine by `$ref`, `allOf` and the like.

    Args:
        schema: All of it, for references.
        nodes: The schemas of one value.
    """
    found: list[Mapping[str, Any]] = []
    pending = list(nodes)
    while pending and len(found) < MAX_PARTS:
        one = pending.pop(0)
        if not isinstance(one, Mapping):
            continue
        found.append(one)
        if isinstance(reference := one.get("$ref"), str):
            pending.append(resolve_pointer(schema, reference))
        for keyword in ("allOf", "anyOf", "oneOf"):
            pending += one[keyword] if isinstance(one.get(keyword), list) else ()
        pending += [one.get(keyword) for keyword in ("if", "then", "else")]
    return found


#: Schemas that one value may have, through references that lead in a circle too.
MAX_PARTS = 200


def fields_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The properties of an object that has these schemas, with all schemas of each."""
    fields: dict[str, list[Any]] = {}
    for one in parts:
        properties = one.get("properties")
        for name, node in properties.items() if isinstance(properties, Mapping) else ():
            fields.setdefault(name, []).append(node)
    return fields
