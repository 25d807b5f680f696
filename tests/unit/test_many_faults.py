"""A request with a hundred thousand faults: its error is that of all of them, and made of a few."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from poster_service.jobs.records import JobOptions
from poster_service.render import faults
from poster_service.render.json_schema import plain_schema
from poster_service.render.options import RenderOptions

#: More than fit into an error, and than `MANY`.
NUMBER = 2_000
UNKNOWN = {f"x{number}": number for number in range(NUMBER)}
GIVEN: dict[str, Any] = {
    "an object with unknown names": {"clip": {**UNKNOWN, "width": 1, "height": 1}},
    "one that lacks what it needs": {"clip": UNKNOWN},
    "a map": {"headers": UNKNOWN},
    "a list": {"hide": [1] * NUMBER},
    "a list behind valid items": {"hide": [*["b"] * 20, *[1] * NUMBER]},
    "a list of objects": {"cookies": [{"name": 1}] * NUMBER},
    "objects in a list": {"respond": [{"expression": "x", "headers": UNKNOWN}], "width": "wide"},
    "a list in an object": {"block": {"patterns": [{}] * NUMBER, "types": ["x"]}},
}


def limits_in(schema: Any) -> Iterator[int]:
    """The most items or members of every list and map in a JSON Schema."""
    if isinstance(schema, dict):
        yield from (schema[one] for one in ("maxItems", "maxProperties") if one in schema)
        yield from (limit for value in schema.values() for limit in limits_in(value))
        yield len(schema.get("properties", ()))
    elif isinstance(schema, list):
        yield from (limit for value in schema for limit in limits_in(value))


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_a_few_values_have_the_same_faults(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    """As many as are listed, word by word."""
    options, found = faults.validated(RenderOptions, given, strict=True)
    monkeypatch.setattr(faults, "MANY", 10 * NUMBER)
    assert options is None
    assert found == faults.validated(RenderOptions, given, strict=True)[1]


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_only_some_become_words(given: dict[str, Any]) -> None:
    """The others cost what pydantic takes to see them."""
    with pytest.raises(ValidationError) as caught:
        RenderOptions.model_validate(given, strict=True)
    assert caught.value.error_count() >= NUMBER
    fewer, _ = faults._of_fewer(RenderOptions, given, caught.value, strict=True)
    assert fewer.error_count() < 3 * faults.ENTRIES


def test_no_option_may_have_more_entries_than_are_looked_at() -> None:
    """Or a list that is too long would look as if it were not; lists of choices are shorter."""
    for group in (RenderOptions, JobOptions):
        properties = plain_schema(group)["properties"]
        assert max(limits_in(properties)) <= faults.ENTRIES
        assert max(limits_in(properties)) > 50  # it does find them
