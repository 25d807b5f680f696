"""Other data that a template's schema takes, made from its sample, to render the page with.

A page that renders with its sample may still fail with other data: it uses a field that nothing
requires, the first item of a list that may be empty, or a value of an enum that it does not know.
Which fields are optional is not read from the schema but tried: the data without them is valid.
"""

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poster_service.errors import InvalidData
from poster_service.render.schema import check_data
from poster_service.render.schema_lint import fields_of, parts_of

#: A place in data: names, and "*" for all items of a list.
Place = tuple[str, ...]
ITEMS = "*"
#: Places and values that are tried, so that a template is looked at within a second or two.
MAX_PLACES, MAX_VALUES, MAX_FIELDS, MAX_DEPTH = 150, 150, 2_000, 8
#: The least values of a type; where the schema asks for more, they are not tried.
LEAST: Mapping[str, tuple[object, ...]] = {
    "boolean": (True, False), "null": (None,), "string": ("",), "integer": (0,), "number": (0,),
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Data that is valid by the schema.

    Attributes:
        what: How it differs from the sample: "without `author.name`".
        data: As a caller could send it.
    """

    what: str
    data: Mapping[str, Any]


def trials(schema: Mapping[str, Any], sample: Mapping[str, Any]) -> Iterator[Trial]:
    """Data with less, and with other values, than the sample."""
    places = list(dict.fromkeys(_places(sample, ())))[:MAX_PLACES]
    least = copy.deepcopy(dict(sample))
    optional = []
    for place in places:
        if not is_valid(schema, less := _without(sample, place)):
            continue
        optional.append(Trial(f"without {shown(place)}", less))
        smaller = _without(least, place)
        if is_valid(schema, smaller):
            least = smaller
    if least != sample:
        yield Trial("with the required data only", least)
    yield from optional
    for made in (_empty(sample, places), _chosen(schema, sample)):
        yield from (one for one in made if is_valid(schema, one.data))


def is_valid(schema: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Whether a caller could send this data."""
    try:
        check_data(schema, data)
    except InvalidData:
        return False
    return True


def shown(place: Place) -> str:
    """A place in a message."""
    return f"`{'.'.join(one for one in place if one != ITEMS)}`"


def _places(value: object, at: Place) -> Iterator[Place]:
    """The place of each member of each object; items of a list are one place."""
    if len(at) > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (*at, name)
            yield from _places(inner, (*at, name))
    elif isinstance(value, list):
        for inner in value:
            yield from _places(inner, (*at, ITEMS))


def _empty(sample: Mapping[str, Any], places: list[Place]) -> Iterator[Trial]:
    """The sample with one list empty."""
    for place in places:

        def clear(around: dict[str, Any], name: str) -> None:
            if isinstance(around.get(name), list):
                around[name] = []

        if (changed := _changed(sample, place, clear)) != sample:
            yield Trial(f"with no items in {shown(place)}", changed)


def _chosen(schema: Mapping[str, Any], sample: Mapping[str, Any]) -> Iterator[Trial]:
    """The sample with another value in one place."""
    there = set(_places(sample, ()))
    count = 0
    for place, node in itertools.islice(_fields(schema, [schema], ()), MAX_FIELDS):
        for value in _values(node, is_there=place in there):
            count += 1
            if count > MAX_VALUES:
                return

            def put(around: dict[str, Any], name: str, value: object = value) -> None:
                around[name] = copy.deepcopy(value)

            if (changed := _changed(sample, place, put)) != sample:
                text = json.dumps(value, ensure_ascii=False)[:60]
                yield Trial(f"with {text} as {shown(place)}", changed)


def _values(node: Mapping[str, Any], *, is_there: bool) -> Iterator[object]:
    """Values to try for a field: all of an enum, the least of its type, an example if it has none.

    Args:
        node: The schema of the value.
        is_there: Whether the sample has the field.
    """
    enum, examples, kind = node.get("enum"), node.get("examples"), node.get("type")
    if isinstance(enum, list):
        yield from enum
    kinds = kind if isinstance(kind, list) else [kind]
    for name, values in LEAST.items():
        if name in kinds:
            yield from values
    if not is_there and isinstance(examples, list):
        yield from examples[:1]
    if not is_there and "default" in node:
        yield node["default"]


def _fields(
    schema: Mapping[str, Any], nodes: Sequence[object], at: Place
) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Each field that a schema names, with each schema of its value."""
    if len(at) > MAX_DEPTH:
        return
    parts = parts_of(schema, nodes)
    for name, inner in fields_of(parts).items():
        yield from (((*at, name), one) for one in parts_of(schema, inner))
        yield from _fields(schema, inner, (*at, name))
    if items := [one["items"] for one in parts if "items" in one]:
        yield from _fields(schema, items, (*at, ITEMS))


def _without(data: Mapping[str, Any], place: Place) -> dict[str, Any]:
    def remove(around: dict[str, Any], name: str) -> None:
        around.pop(name, None)

    return _changed(data, place, remove)


def _changed(
    data: Mapping[str, Any], place: Place, change: Callable[[dict[str, Any], str], None]
) -> dict[str, Any]:
    """A copy of data, changed in each object that has this place in it."""
    made: dict[str, Any] = copy.deepcopy(dict(data))
    around: list[Any] = [made]
    for step in place[:-1]:
        if step == ITEMS:
            around = [item for one in around if isinstance(one, list) for item in one]
        else:
            around = [one[step] for one in around if isinstance(one, dict) and step in one]
    for one in around:
        if isinstance(one, dict):
            change(one, place[-1])
    return made
