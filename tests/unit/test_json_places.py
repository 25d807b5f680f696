"""The lines on which the values of a JSON file stand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.render.json_places import Path, places_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


def walked(value: Any, path: Path = ()) -> list[Path]:
    """The path of each value, in the order of the file."""
    found = [path]
    if isinstance(value, dict | list):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        found += [one for step, inner in steps for one in walked(inner, (*path, step))]
    return found


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_every_value_has_its_line(value: Any, indent: int | None, is_ascii: bool) -> None:
    """In the order of the file, however it is written; where each has a line, on that line."""
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    places = places_of(text)
    assert list(places.lines) == walked(value)
    assert places.twice == []
    lines = text.split("\n")
    for path, line in places.lines.items():
        if path and isinstance(path[-1], str):
            assert json.dumps(path[-1], ensure_ascii=is_ascii) in lines[line - 1]


@pytest.mark.parametrize(
    ("path", "line"),
    [(("a",), 2), (("a", 1), 3), (("a", 1, "b"), 3), (("a", 1, "nowhere", 4), 3), (("x",), 1)],
)
def test_what_is_not_there_has_the_line_of_what_is_around_it(path: Path, line: int) -> None:
    """So that a message about something missing has a line too."""
    assert places_of('{\n "a": [1,\n  {"b": 2}]}').line(path) == line


def test_a_name_that_is_there_twice_is_reported_once() -> None:
    """With the line of the one that counts, and not again for what is in it."""
    places = places_of('{"a": {"b": 1},\n"c": {"b": 1},\n"a": {"b": 2}}')
    assert places.twice == [(("a",), 3)]
    assert places.lines[("a", "b")] == 3
