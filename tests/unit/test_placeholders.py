"""A page with placeholders, filled with data."""

import contextlib
import time

import pytest

from poster_service.errors import InvalidField
from poster_service.render.placeholders import MAX_PLACEHOLDERS, PlaceholderPage


@pytest.mark.parametrize(
    ("page", "data", "filled"),
    [
        ("<p>no placeholder", {}, "<p>no placeholder"),
        ("{{ name }}", {"name": "Anna"}, "Anna"),
        ("{{name}}/{{  name  }}", {"name": "字"}, "字/字"),
        ("<a title='{{ a.b-c }}'>", {"a": {"b-c": "x' on='"}}, "<a title='x&#x27; on=&#x27;'>"),
        ("{{ a }}", {"a": "<script>"}, "&lt;script&gt;"),
        ("{{ a }}", {"a": "{{ b }}"}, "{{ b }}"),
        ("{{ n }} {{ f }} {{ yes }} {{ no }}.", {"n": 7, "f": 1.5, "yes": True, "no": None},
         "7 1.5 true ."),
        ("{{ rows.1.name }}", {"rows": [{}, {"name": "second"}]}, "second"),
        ('{{ "{{" }} name }}', {}, "{{ name }}"),
        ("a } } {b} }}", {}, "a } } {b} }}"),
    ],
)  # fmt: skip
def test_values_stand_in_place_of_their_names(
    page: str, data: dict[str, object], filled: str
) -> None:
    """Escaped, and only those of the page: a value is not searched for placeholders."""
    assert PlaceholderPage(page).fill(data) == filled


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ({}, "data.a.b", "is missing"),
        ({"a": "text"}, "data.a.b", "is missing"),
        ({"a": {"b": {}}}, "data.a.b", "is an object"),
        ({"a": {"b": []}}, "data.a.b", "is a list"),
    ],
)
def test_what_the_page_shows_must_be_there(
    data: dict[str, object], field: str, message: str
) -> None:
    """And be something that can be shown."""
    with pytest.raises(InvalidField) as caught:
        PlaceholderPage("{{ a.b }}").fill(data)
    (fault,) = caught.value.faults
    assert fault.field == field
    assert message in fault.message


@pytest.mark.parametrize("page", ["{{ first name }}", "{{ a|safe }}", "{{", "{{}}", "{{ a"])
def test_anything_else_in_double_braces_is_refused(page: str) -> None:
    """With its line; a misspelt placeholder would be on each of the pictures."""
    with pytest.raises(InvalidField, match=r"line 2: .* is not a placeholder"):
        PlaceholderPage(f"<h1>\n{page}")


def test_placeholders_are_counted() -> None:
    """So that no page costs more than its bytes."""
    with pytest.raises(InvalidField, match="placeholders"):
        PlaceholderPage("{{ a }}" * (MAX_PLACEHOLDERS + 1))


@pytest.mark.parametrize("piece", ["{{", "{", '{{ "{{" }}', "}}", "{ {"])
def test_no_page_keeps_the_search_busy(piece: str) -> None:
    """A megabyte of anything, in little CPU time."""
    begin = time.process_time()
    with contextlib.suppress(InvalidField):
        PlaceholderPage(piece * (1_000_000 // len(piece))).fill({})
    assert time.process_time() - begin < 5
