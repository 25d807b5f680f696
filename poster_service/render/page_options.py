"""The options that stand in groups: what a page is waited for, and what is added to it.

Their own file because each is a group or a list with rules of its own; `options.py` has the options
that they belong to.
"""

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from poster_service.browser.types import ElementState
from poster_service.quoting import quoted
from poster_service.render.declaration import Items, Option, OptionGroup

#: Style sheets, or scripts, of one page; and the bytes of their contents in all.
MAX_INSERTIONS, MAX_INSERTED_BYTES = 20, 256 << 10
#: Their values in words.
INSERTIONS_ALLOWED = (
    f"a list of up to {MAX_INSERTIONS}, each with content or url; contents up to"
    f" {MAX_INSERTED_BYTES >> 10} kB together"
)
#: The kinds of source that code of callers may be added to. A template is the operator's: its look
#: is, too, and its page runs nothing of a caller's.
OWN_SOURCES = ("html", "url", "markdown")
#: The name of an event; a property of the window may have it as well.
EVENT_NAME = r"^[A-Za-z_$][A-Za-z0-9_$.:-]{0,99}$"

OnTimeout = Literal["error", "capture"]
Selector = Annotated[str, Field(min_length=1, max_length=1_000)]


def _fetchable(address: str) -> str:
    """The address, if it is of the web or relative to the page.

    Raises:
        ValueError: It is not; its text is for the caller.
    """
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        raise ValueError(f'"{quoted(address)}" is not an address') from None
    if scheme not in ("", "http", "https"):
        raise ValueError(f'the scheme "{quoted(scheme)}" cannot be fetched')
    return address


class Insertion(OptionGroup):
    """A style sheet or script that is added to a page: itself, or where it is."""

    at_least_one: ClassVar = ("content", "url")

    content: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        Option("The text.", allowed="text, not empty", excludes=("url",), is_content=True),
    ] = None
    url: Annotated[
        Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_fetchable)] | None,
        Option(
            "Its address.",
            allowed="an http or https address, or the path of a file sent with the page",
        ),
    ] = None


def _fitting(given: tuple[Insertion, ...]) -> tuple[Insertion, ...]:
    """The list, if its contents are not too large.

    Raises:
        ValueError: They are; its text is for the caller.
    """
    size = sum(len(one.content.encode()) for one in given if one.content)
    if size > MAX_INSERTED_BYTES:
        raise ValueError(f"contents have {size} bytes together")
    return given


Insertions = Annotated[Items[Insertion], Field(max_length=MAX_INSERTIONS), AfterValidator(_fitting)]


class WaitFor(OptionGroup):
    """What a page must have or say before its picture is taken."""

    at_least_one: ClassVar = ("selector", "expression", "event")

    selector: Annotated[
        Selector | None, Option("CSS selector of an element of the page's document.")
    ] = None
    state: Annotated[
        ElementState,
        Option(
            "State of the selector's elements: attached, one is in the document; visible, one is"
            " visible; hidden, none is visible.",
            needs=("selector",),
        ),
    ] = "visible"
    expression: Annotated[
        Annotated[str, Field(min_length=1, max_length=8_000)] | None,
        Option(
            "JavaScript expression that is evaluated repeatedly until it is truthy; a promise is"
            " awaited, a function called.",
            allowed="text of up to 8000 characters, not empty",
            around_excludes=("javascript",),
            around_sources=OWN_SOURCES,
            is_content=True,
        ),
    ] = None
    event: Annotated[
        Annotated[str, Field(pattern=EVENT_NAME)] | None,
        Option(
            "Name of an event that the page dispatches on its window or document at any time"
            " since its start, or of a property of its window that becomes true.",
            allowed="a name like posterReady or app:ready",
            around_excludes=("javascript",),
        ),
    ] = None
    timeout_ms: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Option(
            "Time for all conditions to hold, in milliseconds; then the render fails, or goes on"
            " with `on_timeout: capture`.",
            unit="milliseconds",
            default="the remaining time of the render",
            limit="max_timeout_ms",
        ),
    ] = None
