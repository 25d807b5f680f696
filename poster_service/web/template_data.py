"""A template's data beside JSON bodies: `data.author.name=...` of a URL, and forms.

A form that names a template in `template` has its data in a field or file called `data` (JSON), or
in fields `data.name`, and may bring pictures that the data names. `forms` reads the parts of a
form.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from poster_service.errors import CallerError, Fault, InvalidField
from poster_service.render.declaration import OptionGroup
from poster_service.render.flat import Pairs, nest, nested
from poster_service.web.forms import PAGE, Part

#: What the name of a field begins with that is one value of the data.
PREFIX = "data."
#: What a form must have, for the fault of a form that has neither.
SOURCES = (
    f"the page, in one part called {PAGE}; or the name of a template in `template`, and its data in"
    " `data` (JSON) or in fields `data.name`; or an address in `url`; or a"
    " text in `markdown`, or in one part called index.md"
)
ParseJson = Callable[[bytes], object]


#: Fields of a form that are a source themselves, in place of the page as a part.
NAMED = ("template", "url", "markdown")


def named(query: Iterable[str], parts: Sequence[Part]) -> str | None:
    """The source that a form, or the query it was sent with, names: one of `NAMED`."""
    fields = {part.name for part in parts if not part.is_file and part.body} | set(query)
    return next((name for name in NAMED if name in fields), None)


def form_pairs(
    name: str, query: Pairs, parts: Sequence[Part]
) -> tuple[list[tuple[str, str]], list[Part]]:
    """Options and source of a form that names its source, as pairs of text, and its files.

    Args:
        name: What it names, as of `named`.
        query: Of the request.
        parts: Of the form.

    A field that is empty is one that a browser's user left alone.

    Raises:
        CallerError: There is a page too, the data is both a field and a file, or text is not UTF-8.
    """
    if any(part.name == PAGE for part in parts):
        raise InvalidField.of(
            Fault(name, f"is given beside {PAGE}", f"{PAGE}, or one other source")
        )
    files = [part for part in parts if part.is_file and part.name != "data"]
    fields = (part for part in parts if (part.name == "data" if part.is_file else part.body))
    return [*query, *((part.name, part.text()) for part in fields)], files


def from_pairs(
    pairs: Pairs, group: type[OptionGroup], max_depth: int, parse_data: ParseJson
) -> dict[str, Any]:
    """A request of pairs of text, as JSON would have it: options, and the template's data.

    Args:
        pairs: Dotted names for what is nested.
        group: Declares the options.
        max_depth: Nesting of data that comes as `data.name`.
        parse_data: Reads the data where it comes in one piece, as `data`.

    Raises:
        CallerError: Something is given twice or in two ways, or the data cannot be read.
    """
    pairs = list(pairs)
    data = [pair for pair in pairs if pair[0].startswith(PREFIX)]
    options = nest((pair for pair in pairs if not pair[0].startswith(PREFIX)), group)
    if data and "data" in options:
        raise InvalidField.of(
            Fault("data", "is given more than once: whole and in parts", "data, or data.name")
        )
    if data:
        options["data"] = nested(data, max_depth)
    elif "data" in options:
        options["data"] = _parsed(options["data"].encode("utf-8", "surrogatepass"), parse_data)
    return options


def _parsed(raw: bytes, parse: ParseJson) -> object:
    """The data; a fault of it names `data` and not the body."""
    try:
        return parse(raw)
    except CallerError as error:
        raise type(error).of(*map(_of_data, error.faults)) from error


def _of_data(fault: Fault) -> Fault:
    message = fault.message.removeprefix("the body ")
    return replace(fault, field=f"data.{fault.field}" if fault.field else "data", message=message)
