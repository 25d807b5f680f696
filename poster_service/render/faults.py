"""What is wrong with given options, in our words: the field, the value seen, the values allowed.

pydantic checks one value at a time; the rules between options are checked here, from the same
declaration.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from poster_service.errors import MOST_FAULTS, Fault
from poster_service.quoting import quoted
from poster_service.render.declaration import DEFAULT_FORMAT, Option, OptionGroup, declared_options
from poster_service.render.formats import OutputFormat
from poster_service.render.json_schema import branches, listed, value_words
from poster_service.render.option_list import Entry, entries_by_name
from poster_service.render.other_names import meant
from poster_service.similar import did_you_mean, nearest

#: Characters of a value that a fault shows.
SHOWN = 40
#: From so many faults on only the first entries of lists and maps are looked at, so many of each:
#: more than any may have.
MANY, ENTRIES = 500, 128

G = TypeVar("G", bound=OptionGroup)

#: pydantic's error types, by how they begin, in our words; the first that fits is used.
_MESSAGES = {
    "missing": "is missing",
    "greater_than": "{} is out of range",
    "less_than": "{} is out of range",
    "finite_number": "{} is not a finite number",
    "string_too_short": "is empty",
    "string_too_long": "is too long",
    "too_long": "has too many items",
    "too_short": "has too few items",
    "string_unicode": "is not text that UTF-8 can express",
    "int": "{} is not a whole number",
    "float": "{} is not a number",
    "bool": "{} is neither true nor false",
    "string_type": "{} is not a string",
    "dict": "{} is not an object",
    "model": "{} is not an object",
    "list": "{} is not a list",
    "tuple": "{} is not a list",
}


def validated(
    group: type[G], given: Mapping[str, object], *, strict: bool
) -> tuple[G | None, list[Fault]]:
    """A group of checked options, or up to `MOST_FAULTS` of what is wrong with them.

    Args:
        group: Declares them.
        given: By name.
        strict: Whether values must have their types, as in JSON; otherwise numbers are read from
            text, as in a query.
    """
    try:
        return group.model_validate(given, strict=strict), []
    except ValidationError as error:
        if error.error_count() > MANY:
            error, given = _of_fewer(group, given, error, strict=strict)
        found = error.errors(include_url=False, include_context=False)
        # A map or a list can have thousands of faults; more than are listed need no words.
        return None, list(itertools.islice(_faults(group, given, found), MOST_FAULTS))


def _of_fewer(
    group: type[OptionGroup],
    given: Mapping[str, object],
    error: ValidationError,
    *,
    strict: bool,
) -> tuple[ValidationError, Mapping[str, object]]:
    """The error of as many values as have all the faults that are listed, and these values.

    Each of a hundred thousand faults would become a dictionary, which takes a second or two.
    """
    names = frozenset(part for name in entries_by_name(group) for part in name.split("."))
    fewer = {name: _cut(value, names) for name, value in given.items()}
    try:
        group.model_validate(fewer, strict=strict)
    except ValidationError as of_fewer:
        return of_fewer, fewer
    return error, given


def _cut(value: object, names: Set[str]) -> object:
    """A value whose lists and maps have their first `ENTRIES` only, and all that have known names.

    A list or map that is too long still is, and nothing is missing that was not.
    """
    if isinstance(value, list):
        return [_cut(one, names) for one in value[:ENTRIES]]
    if isinstance(value, Mapping):
        some = dict(itertools.islice(value.items(), ENTRIES))
        some |= {name: value[name] for name in names if name in value}
        return {name: _cut(one, names) for name, one in some.items()}
    return value


def broken_rules(
    group: OptionGroup,
    limits: object,
    above: str = "",
    used: OutputFormat = DEFAULT_FORMAT,
    around: OptionGroup | None = None,
) -> Iterator[Fault]:
    """A fault for each rule between options that is broken, in nested groups too.

    Args:
        group: Its options are checked one by one already.
        limits: Has the attributes that `Option.limit` names.
        above: The dotted name of the group itself, ending in a dot; empty for the outermost.
        used: The format of what the group is a part of, unless it has a `format` of its own.
        around: The group that has this one as an option; None for the outermost.
    """
    used = getattr(group, "format", used)
    if group.at_least_one and not any(map(group.is_given, group.at_least_one)):
        names = listed(group.at_least_one, "or")
        yield Fault(above[:-1], f"needs {names}", f"at least one of {names}")
    for name, (option, default) in declared_options(type(group)).items():
        value = getattr(group, name)
        if value == default:
            continue
        for at, inner in _groups(value):
            yield from broken_rules(inner, limits, f"{above}{name}.{at}", used, group)
        field, allowed = above + name, allowed_for(type(group), name)
        for message in _meaningless(option, value, used):
            yield Fault(field, message, allowed)
        yield from _at_odds(group, option, above, name)
        for other in option.around_excludes:
            if around is not None and other in type(around).model_fields and around.is_given(other):
                yield _excluded(field, _as_given(around, other))
        if option.limit and value > (most := getattr(limits, option.limit)):
            yield Fault(field, f"{value} is more than this service allows", f"{allowed} to {most}")


def _at_odds(group: OptionGroup, option: Option, above: str, name: str) -> Iterator[Fault]:
    """A fault for each other option of the group that must not, or must, stand beside one."""
    field = above + name
    for other in filter(group.is_given, option.excludes):
        yield _excluded(field, above + _as_given(group, other))
    for other in filter(group.is_given, option.replaces):
        each = f"{field}.0.{other}, one for each of {field}"
        yield Fault(above + other, f"cannot be used together with {field}", each)
    for other in (other for other in option.needs if not group.is_given(other)):
        yield _lacking(field, above + other)
    for other in _needed_by_value(group, option, name):
        message = f"{getattr(group, name)} has no meaning without {above}{other}"
        yield Fault(field, message, f"another, or {field} together with {above}{other}")
    if option.needs_one_of and not any(map(group.is_given, option.needs_one_of)):
        yield _lacking(field, listed([above + other for other in option.needs_one_of], "or"))


def _as_given(group: OptionGroup, name: str) -> str:
    """A name, with the value of one that is switched off."""
    return f"{name}: false" if declared_options(type(group))[name][1] is True else name


def _excluded(field: str, other: str) -> Fault:
    return Fault(field, f"cannot be used together with {other}", f"{field} or {other}")


def _needed_by_value(group: OptionGroup, option: Option, name: str) -> list[str]:
    """The options that are not given although the value of one needs them."""
    value = getattr(group, name)
    needed = option.value_needs.get(value, ()) if isinstance(value, str) else ()
    return [other for other in needed if not group.is_given(other)]


def _lacking(field: str, other: str) -> Fault:
    return Fault(field, f"has no meaning without {other}", f"{field} together with {other}")


def wrong_sources(group: OptionGroup, kind: str, above: str = "") -> Iterator[Fault]:
    """A fault for each option that is given and has no meaning with a kind of source.

    Args:
        group: Its options are checked one by one already.
        kind: Of the source.
        above: As for `broken_rules`.
    """
    for name, (option, default) in declared_options(type(group)).items():
        value = getattr(group, name)
        if value == default:
            continue
        sources = option.sources or option.around_sources
        if sources and kind not in sources:
            needed = listed(sources, "or")
            yield Fault(above + name, f"has no meaning without {needed}", f"nothing, or {needed}")
        for at, inner in _groups(value):
            yield from wrong_sources(inner, kind, f"{above}{name}.{at}")


def _meaningless(option: Option, value: object, used: str) -> Iterator[str]:
    """Why an option, or this value of it, has no meaning in the format used; none if it has."""
    if option.formats and used not in option.formats:
        yield f"has no meaning for {used}; use format {listed(option.formats, 'or')}"
    formats = option.value_formats.get(value, ()) if isinstance(value, str) else ()
    if formats and used not in formats:
        yield f"{value} has no meaning for {used}; use format {listed(formats, 'or')}"


def _groups(value: object) -> Iterator[tuple[str, OptionGroup]]:
    """The groups that a value is or has, each with the rest of its dotted name."""
    if isinstance(value, OptionGroup):
        yield "", value
    elif isinstance(value, tuple | Mapping):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        yield from ((f"{at}.", inner) for at, inner in items if isinstance(inner, OptionGroup))


@lru_cache(maxsize=256)
def allowed_for(group: type[OptionGroup], field: str) -> str | None:
    """The values allowed for an option, in words; those of its group for one that is unknown."""
    entry = entry_for(group, field.split("."))
    return entry.allowed if entry else None


def entry_for(group: type[OptionGroup], path: Sequence[str]) -> Entry | None:
    """The option at a path, or else the nearest above it."""
    known = entries_by_name(group)
    found, name = None, ""
    for step in path:
        steps = (step, "0" if step.isdigit() else step, "NAME")
        below = [known[f"{name}{one}"] for one in steps if f"{name}{one}" in known]
        if not below:
            break
        found = below[0]
        name = f"{found.name}."
    return found


def _faults(
    group: type[OptionGroup], given: Mapping[str, object], found: Sequence[Any]
) -> Iterator[Fault]:
    """Pydantic's findings; of a value that fits no member of a union, those of one member."""
    by_path: dict[tuple[str, ...], Any] = {}
    for one in found:
        by_path.setdefault(_path(given, one), one)
    above = {path[:length] for path in by_path for length in range(len(path))}
    for path, one in by_path.items():
        if path not in above or not isinstance(one.get("input"), Mapping | list):
            yield _fault(group, path, one)  # else an object was meant, and its own faults say more


def _path(given: object, found: Any) -> tuple[str, ...]:
    """Where a value stands in what was given; pydantic puts the members of a union between."""
    path: list[str] = []
    at = given
    for step in found["loc"]:
        is_key = isinstance(at, Mapping) and step in at
        is_index = isinstance(at, list | tuple) and isinstance(step, int)
        if is_key or is_index:
            at = at[step]  # type: ignore[index]  # one of the two, as was just seen
            path.append(str(step))
    if found["type"] == "missing":
        path.append(str(found["loc"][-1]))
    return tuple(path)


def unknown_option(
    name: str, group: type[OptionGroup], names: Sequence[str], above: str = ""
) -> Fault:
    """The fault of a name that is no option: with the one that was probably meant, or with all.

    Args:
        name: Was given.
        group: Declares the outermost options.
        names: What may stand in its place.
        above: The dotted name of the group that it is in, ending in a dot; empty for the outermost.
    """
    field = above + name
    if not above and name in ELSEWHERE:
        return Fault(field, f"unknown option; it is for {ELSEWHERE[name]}", ELSEWHERE[name])
    if words := meant(name, above):
        return Fault(field, f"unknown option; here that is {words}", words)
    first, dot, rest = name.partition(".")
    around = (one for one in (*entries_by_name(group), "data.") if one.startswith(f"{first}."))
    if dot and any(around):
        inner = f'{{"{first}": {{"{quoted(rest)}": ...}}}}'
        return Fault(field, f"unknown option; in JSON it is {inner}", inner)
    near = nearest(name, names if above else (*names, *_nested(group)))
    if near is None:
        return Fault(field, "unknown option", ", ".join(names))
    return Fault(field, f"unknown option; did you mean {above}{near}?", f"{above}{near}")


@lru_cache(maxsize=32)
def _nested(group: type[OptionGroup]) -> tuple[str, ...]:
    """The dotted names of options in groups, but not in lists and maps."""
    known = (name.split(".") for name in entries_by_name(group))
    return tuple(".".join(one) for one in known if len(one) > 1 and not {"0", "NAME"} & {*one})


#: Names that other requests have.
ELSEWHERE = {
    "items": "POST /batches",
    "common": "the first line of NDJSON for POST /batches",
    "webhook": "POST /jobs and POST /batches",
}


def _fault(group: type[OptionGroup], path: Sequence[str], found: Any) -> Fault:
    field, kind = ".".join(path), found["type"]
    if kind == "extra_forbidden":
        *around, name = path
        above = "".join(f"{one}." for one in around)
        return unknown_option(name, group, _beside(group, path), above)
    entry = entry_for(group, path)
    allowed = entry.allowed if entry else ", ".join(group.model_fields)
    if kind == "value_error":  # of a validator of ours, which says it in its own words
        return Fault(field, found["msg"].removeprefix("Value error, "), allowed)
    words = next((text for start, text in _MESSAGES.items() if kind.startswith(start)), None)
    if words is None:
        words = "{} is not allowed"
    value = found.get("input")
    is_content = entry is not None and entry.option.is_content
    message = words.format(kind_of_value(value) if is_content else shown(value))
    if kind == "literal_error" and entry is not None and isinstance(value, str):
        kinds = [*branches(entry.schema), entry.schema.get("items", {})]
        message += did_you_mean(value, [str(one) for each in kinds for one in each.get("enum", ())])
    return Fault(field, message, allowed)


def _beside(group: type[OptionGroup], path: Sequence[str]) -> Sequence[str]:
    """The names that may stand where a path ends."""
    if len(path) < 2:
        return tuple(group.model_fields)
    entry = entry_for(group, path[:-1])
    start = f"{entry.name}." if entry else ""
    below = (name.removeprefix(start) for name in entries_by_name(group) if name.startswith(start))
    return tuple(name for name in below if "." not in name)


def kind_of_value(value: object) -> str:
    """What a value is, and nothing of what is in it."""
    if isinstance(value, str):
        return "a string"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "a number" if is_number else shown(value)


def shown(value: object) -> str:
    """A value that was given, in a few characters: itself, or what it is."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'"{value[:SHOWN]}{"..." if len(value) > SHOWN else ""}"'
    if isinstance(value, int) and value.bit_length() > 128:
        return "the number"
    if isinstance(value, bool | int | float):
        return value_words(value)
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"
