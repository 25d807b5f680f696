"""Options as flags of a command: made from the declaration, read back as a request has them.

`clip.width` is `--clip-width`; a list takes its flag several times; a map takes `NAME=VALUE`
several times; an item that is an object is JSON. Values are text: they are checked where those of
a query are.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from poster_service.errors import OperatorError
from poster_service.render.declaration import OptionGroup
from poster_service.render.json_schema import branches
from poster_service.render.option_list import Entry, entries

#: What tells the destination of an option's flag from all others.
_PREFIX = "option:"
_UNITS = {"milliseconds": "MS", "seconds": "S"}


def flag_of(name: str) -> str:
    """The flag of an option: "--clip-width" for "clip.width"."""
    return "--" + name.replace(".", "-").replace("_", "-")


def flags(group: type[OptionGroup]) -> dict[str, Entry]:
    """The options that have a flag, by flag; those inside of lists and maps are in their value."""
    found: dict[str, Entry] = {}
    inside: tuple[str, ...] = ()
    for entry in entries(group):
        if entry.name.startswith(inside):
            continue
        if entry.is_list or entry.is_map:
            inside += (f"{entry.name}.",)
        elif not entry.is_value:
            continue  # a group: its options have flags
        found[flag_of(entry.name)] = entry
    return found


#: Options that most renders need, in the order in which the help has them.
COMMON = (
    "format", "width", "height", "full_page", "device_scale_factor", "quality", "background",
    "pdf.paper", "pdf.landscape", "delay_ms", "timeout_ms", "strict",
)  # fmt: skip


#: Which options a help explains: the common ones, with the names of the others; all; or none.
Shown = Literal["common", "all", "none"]


def add_flags(
    command: argparse.ArgumentParser, group: type[OptionGroup], shown: Shown = "all"
) -> None:
    """Give a command a flag for each option; nothing is given unless the flag is.

    Args:
        command: Gets the flags.
        group: Declares the options.
        shown: Which of them the help explains.

    Raises:
        argparse.ArgumentError: Two options would have the same flag.
    """
    known = flags(group)
    common = [name for name in map(flag_of, COMMON) if name in known]
    first = command.add_argument_group("common options")
    for flag in common:
        _add_flag(first, flag, known[flag], is_shown=shown != "none")
    for title, found in _by_section(group).items():
        rest = [flag for flag in found if flag not in common]
        names = ", ".join(_outermost(rest, known)) if shown == "common" else None
        section = command.add_argument_group(f"options: {title.lower()}", names)
        for flag in rest:
            _add_flag(section, flag, known[flag], is_shown=shown == "all")


def _outermost(found: Iterable[str], known: Mapping[str, Entry]) -> Iterable[str]:
    """Flags for a list of names: one, with dots, for all options of a group."""
    names = (known[flag].name.partition(".") for flag in found)
    return dict.fromkeys(flag_of(first) + ("-..." if rest else "") for first, _, rest in names)


def _by_section(group: type[OptionGroup]) -> dict[str, list[str]]:
    """The flags by the heading under which their options are declared."""
    known, found, title = flags(group), dict[str, list[str]](), "other"
    for entry in entries(group):
        title = entry.option.begins or title
        if (flag := flag_of(entry.name)) in known:
            found.setdefault(title, []).append(flag)
    return found


def _add_flag(section: Any, flag: str, entry: Entry, *, is_shown: bool) -> None:
    help_ = help_of(entry) if is_shown else argparse.SUPPRESS
    given: dict[str, Any] = {"dest": _PREFIX + entry.name, "help": help_}
    if entry.type == "boolean":
        given |= {"action": argparse.BooleanOptionalAction}
    elif entry.is_list or entry.is_map:
        given |= {"action": "append", "metavar": "NAME=VALUE" if entry.is_map else "VALUE"}
    else:
        given |= {"metavar": metavar(entry)}
    section.add_argument(flag, **{"default": None, **given})


def help_of(entry: Entry) -> str:
    """The help of a flag: the description, the values allowed and the default."""
    notes = [] if entry.type == "boolean" else [f"Allowed: {entry.allowed}."]
    notes += [f"Default: {entry.default_text}."] if entry.default_text else []
    return " ".join((entry.option.description, *notes)).replace("%", "%%")


def metavar(entry: Entry) -> str:
    """What stands for the value in a flag's help: the values themselves where they are few."""
    (first, *others) = branches(entry.schema)
    if "enum" in first and not others:
        return "|".join(map(str, first["enum"]))
    if entry.option.unit in _UNITS:
        return _UNITS[entry.option.unit]
    names = {"integer": "N", "number": "N"}
    return names.get(str(first.get("type")), "VALUE")


def given_options(arguments: argparse.Namespace, group: type[OptionGroup]) -> dict[str, Any]:
    """The options given by flags, nested as in JSON.

    Raises:
        OperatorError: A value is not NAME=VALUE, or not JSON, where it must be.
    """
    options: dict[str, Any] = {}
    for flag, entry in flags(group).items():
        value = getattr(arguments, _PREFIX + entry.name, None)
        if value is None:
            continue
        if isinstance(value, list):
            value = _map(flag, value) if entry.is_map else _items(flag, value, entry)
        *groups, last = entry.name.split(".")
        at = options
        for step in groups:
            at = at.setdefault(step, {})
            if not isinstance(at, dict):
                raise OperatorError(f"{flag} and {flag_of('.'.join(groups))}: give one of them")
        at[last] = value
    return options


def _map(flag: str, given: list[str]) -> Mapping[str, str]:
    pairs = [one.partition("=") for one in given]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise OperatorError(f"{flag} {wrong[0][:100]}: must be NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _items(flag: str, given: list[str], entry: Entry) -> list[Any]:
    (schema,) = [one for one in branches(entry.schema) if one.get("type") == "array"]
    if all(one.get("type") not in ("object", "array") for one in branches(schema["items"])):
        return list(given)
    try:
        return [json.loads(one) for one in given]
    except ValueError as error:
        raise OperatorError(f"{flag} is not JSON: {error}") from error
