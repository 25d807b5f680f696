"""Pages that fail with other data than their sample are found by `template check`."""

from pathlib import Path
from typing import Any

import pytest

from poster_service.render.template_check import examine
from poster_service.render.template_trials import trials
from tests.unit.template_folders import make

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title"],
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "author": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer"}},
        },
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
        "lang": {"enum": ["en", "de"]},
        "note": {"type": "string", "minLength": 2, "examples": ["a note"]},
    },
    "$defs": {
        "row": {
            "type": "object",
            "required": ["what"],
            "properties": {"what": {"enum": ["x"]}, "price": {"type": "number"}},
        }
    },
}
SAMPLE: dict[str, Any] = {
    "title": "T",
    "author": {"name": "A", "age": 40},
    "rows": [{"what": "x", "price": 1}, {"what": "x"}],
    "lang": "en",
}
#: Uses every field with care.
CAREFUL = (
    "{{ title }}{% if author is defined %}{{ author.name }}{% if author.age is defined %}"
    "{{ author.age }}{% endif %}{% endif %}{% if rows is defined %}{% for row in rows %}"
    "{{ row.what }}{% if row.price is defined %}{{ row.price }}{% endif %}{% endfor %}{% endif %}"
    "{% if lang is defined %}{{ lang }}{% endif %}{% if note is defined %}{{ note }}{% endif %}"
)


def errors(root: Path, page: str) -> list[str]:
    """The errors of a page, as text."""
    make(root, CAREFUL + "\n" + page, schema__json=SCHEMA, sample__json=SAMPLE)
    return [str(one.mistake) for one in examine(root / "card")]


def test_a_careful_page_is_fine(tmp_path: Path) -> None:
    """For all data that its schema takes."""
    assert errors(tmp_path, "") == []


@pytest.mark.parametrize(
    ("page", "what"),
    [
        ("{{ lang }}", "with the required data only: `lang` is undefined: the data does not have"
         " it, and the schema does not require it; test it with `{% if lang is defined %}`"),
        ("{{ author.name }}", "with the required data only: `author` is undefined"),
        ("{% if author is defined %}{{ author.age }}{% endif %}",
         "without `author.age`: `author.age` is undefined: the data does not have it"),
        ("{% if rows is defined %}{% for row in rows %}{{ row.price }}{% endfor %}{% endif %}",
         "`row.price` is undefined"),
        ("{% if rows is defined %}{{ rows[0].what }}{% endif %}",
         "with no items in `rows`: there is no element 0 in the list"),
        ("{% if lang is defined %}{{ {'en': 1}[lang] }}{% endif %}",
         'with "de" as `lang`: a value that it needs is missing'),
        ("{% if note is defined %}{{ note.x }}{% endif %}", 'with "a note" as `note`: `note.x` is'),
        ("{% if author is defined and author.age is defined %}{{ 1 / author.age }}{% endif %}",
         "with 0 as `author.age`: divides by zero"),
    ],
)  # fmt: skip
def test_a_careless_page_is_found(tmp_path: Path, page: str, what: str) -> None:
    """With the data that it fails with, the line of the page, and the remedy; once."""
    (one,) = errors(tmp_path, page)
    assert one.startswith("card/poster.html, line 2: ")
    assert what in one


def test_all_trials_are_what_a_caller_may_send() -> None:
    """Less than the sample, lists without items, other values; none is the sample itself."""
    made = {one.what: one.data for one in trials(SCHEMA, SAMPLE)}
    assert made["with the required data only"] == {"title": "T"}
    assert made["without `author`"].keys() == {"title", "rows", "lang"}
    assert made["without `rows.price`"]["rows"] == [{"what": "x"}, {"what": "x"}]
    assert made["with no items in `rows`"]["rows"] == []
    assert made['with "de" as `lang`']["lang"] == "de"
    assert made["with 0 as `author.age`"]["author"] == {"name": "A", "age": 0}
    assert made['with "a note" as `note`']["note"] == "a note"
    assert not any("`title`" in what or "`author.name`" in what for what in made)
    assert SAMPLE not in made.values()


def test_a_schema_that_leads_in_a_circle_ends() -> None:
    """By a reference to itself."""
    schema = {
        "properties": {"child": {"$ref": "#"}, "kind": {"enum": ["a", "b"]}},
    }
    assert list(trials(schema, {"child": {"child": {}}, "kind": "a"}))
