"""A template's data beside JSON bodies: `data.author.name=...` of an address, and forms.

A form that names a template in `template` has its data in a field or file called `data` (JSON), or
in fields `data.name`, and may bring pictures that the data names. What the parts of a form are is
for `forms`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from poster_service.errors import CallerError, Fault, InvalidField
from poster_service.web.forms import PAGE, Part

#: What the name of a field begins with that is one value of the data.
PREFIX = "data."
#: What a form must have, for the fault of one that has neither.
SOURCES = (
    f"the page, in one part called {PAGE}; or the name of a template in `template`, and its data in"
    " `data` (JSON) or in fields `data.name`"
)
Pairs = Iterable[tuple[str, str]]
ParseJson = Callable[[bytes], object]


def is_named(query: Iterable[str], parts: Sequence[Part]) -> bool:
    """Whether a form, or the query it was sent with, names a template."""
    fields = [part.name for part in parts if not part.is_file and part.body]
    return "template" in query or "template" in fields


def form_options(
    query: Pairs, parts: Sequence[Part], max_depth: int, parse: ParseJson
) -> tuple[dict[str, Any], list[Part]]:
    """The options of a form that names a template, its data among them, and the files it brings.

    Args:
        query: Options of the address.
        parts: Of the form. A field that is empty is one that a browser's user left alone.
        max_depth: Nesting of data that comes as fields.
        parse: Reads JSON within the bounds of a body.

    Raises:
        CallerError: Something is given in two ways, or the data is not JSON.
    """
    if any(part.name == PAGE for part in parts):
        raise InvalidField.of(
            Fault("template", f"is given beside {PAGE}", f"{PAGE}, or `template` with its data")
        )
    fields = [(part.name, part.text()) for part in parts if not part.is_file and part.body]
    files = [part for part in parts if part.is_file and part.name != "data"]
    whole = [part.body for part in parts if part.is_file and part.name == "data"]
    options: dict[str, Any] = {}
    flat: list[tuple[str, str]] = []
    for name, value in [*query, *fields]:
        if name.startswith(PREFIX):
            flat.append((name, value))
        elif name == "data":
            whole.append(value.encode("utf-8", "surrogatepass"))
        elif name in options:
            raise InvalidField.of(Fault(name, "is given more than once", "once"))
        else:
            options[name] = value
    if len(whole) + bool(flat) > 1:
        raise InvalidField.of(
            Fault("data", "is given more than once", "one `data` (JSON), or fields `data.name`")
        )
    if whole:
        options["data"] = _parsed(whole[0], parse)
    elif flat:
        options["data"] = nested(flat, max_depth)
    return options, files


def _parsed(raw: bytes, parse: ParseJson) -> object:
    """Data from JSON; what is wrong with it is said of `data` and not of the body."""
    try:
        return parse(raw)
    except CallerError as error:
        raise type(error).of(*map(_of_data, error.faults)) from error


def _of_data(fault: Fault) -> Fault:
    message = fault.message.removeprefix("the body ")
    return replace(fault, field=f"data.{fault.field}" if fault.field else "data", message=message)


def nested(flat: Pairs, most: int) -> dict[str, Any]:
    """Data of `data.author.name=...`; every value is a string.

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
                Fault(name, "does not fit the others", f"each name once, up to {most} levels")
            )
        at[last] = value
    return data
