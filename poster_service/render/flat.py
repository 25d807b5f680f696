"""Options as flat pairs of text, as queries, forms and signed URLs have them.

A nested option is written with dots: `clip.width=300` for an option of a group,
`headers.Accept-Language=de` for a value of a map (the rest of the name is its key, dots and all),
`wait_until.0=load` and `cookies.0.name=a` for the items of a list, numbered from 0.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from poster_service.errors import Fault, InvalidField
from poster_service.render.declaration import OptionGroup
from poster_service.render.option_list import Entry, entries_by_name

Pairs = Iterable[tuple[str, str]]


def nest(pairs: Pairs, group: type[OptionGroup]) -> dict[str, Any]:
    """The options of flat pairs as JSON would have them, but every value is text.

    Names that the group does not know stay as they are; `RenderRequest.parse` refuses them.

    Raises:
        InvalidField: A name is given twice, or both as one value and in parts, or the items of a
            list are not numbered from 0.
    """
    known = entries_by_name(group)
    options: dict[str, Any] = {}
    for name, value in pairs:
        *groups, last = _steps(name, known)
        at: Any = options
        for step in groups:
            at = at.setdefault(step, {}) if isinstance(at, dict) else None
        if not isinstance(at, dict) or isinstance(at.get(last), dict):
            raise InvalidField.of(Fault(name, "is given both as one value and in parts", "one way"))
        if last in at:
            raise InvalidField.of(Fault(name, "is given more than once", "once"))
        at[last] = value
    return {name: _with_lists(value, known, known.get(name)) for name, value in options.items()}


def flatten(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The pairs of nested options: what `nest` undoes. Values stay as they are."""
    for name, value in options.items():
        is_list = isinstance(value, list | tuple)
        nested = {str(at): item for at, item in enumerate(value)} if is_list else value
        if isinstance(nested, Mapping):
            yield from ((f"{name}.{inner}", one) for inner, one in flatten(nested))
        else:
            yield name, value


def nested(flat: Pairs, most: int) -> dict[str, Any]:
    """A template's data of `data.author.name=...`; every value is a string.

    Raises:
        InvalidField: A name is empty, given twice, nested too deeply, or both a value and a group.
    """
    data: dict[str, Any] = {}
    for name, value in flat:
        *groups, last = name.split(".")[1:]
        at: Any = data
        for group in groups if len(groups) < most else ():
            at = at.setdefault(group, {}) if isinstance(at, dict) else None
        if (
            not last
            or "" in groups
            or len(groups) >= most
            or not isinstance(at, dict)
            or last in at
        ):
            raise InvalidField.of(
                Fault(name, "conflicts with another name", f"each name once, up to {most} levels")
            )
        at[last] = value
    return data


def _steps(name: str, known: Mapping[str, Entry]) -> list[str]:
    """A name, cut at the dots that have a meaning; what is unknown stays in one piece."""
    parts = name.split(".")
    steps: list[str] = []
    entry: Entry | None = None
    for number, part in enumerate(parts):
        entry = _child(entry, part, known)
        if entry is None or (entry.name.endswith(".NAME") and entry.is_value):
            return [*steps, ".".join(parts[number:])]
        steps.append(part)
    return steps


def _child(entry: Entry | None, step: str, known: Mapping[str, Entry]) -> Entry | None:
    """The option of that name below another, or the item of its list, or the value of its map."""
    if entry is None:
        return known.get(step)
    step = "0" if entry.is_list and step.isdecimal() else step
    return known.get(f"{entry.name}.{step}") or known.get(f"{entry.name}.NAME")


def _with_lists(value: Any, known: Mapping[str, Entry], entry: Entry | None) -> Any:
    """A value in which numbered items became a list, in the order of their numbers.

    Raises:
        InvalidField: A number is missing.
    """
    if not isinstance(value, dict):
        return value
    inner = {
        step: _with_lists(one, known, _child(entry, step, known)) if entry else one
        for step, one in value.items()
    }
    if entry is None or not entry.is_list:
        return inner
    numbers = [str(number) for number in range(len(inner))]
    if set(numbers) != set(inner):
        raise InvalidField.of(
            Fault(entry.name, "has items with wrong numbers", f"{entry.name}.0, then .1, ...")
        )
    return [inner[number] for number in numbers]
