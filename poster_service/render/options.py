"""The options of a render: the ONE place where an option is declared.

To add an option, add a field here or in a base, `device_options.py` or `output_options.py`, and the
code that does what it says (docs/contributing.md names the places). JSON, query, form, signed URL,
command line, OpenAPI, error texts, the cache key and the docs' table read this declaration
(option_list.py). Nothing here needs Chrome, Pillow or an HTTP library.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from poster_service.browser.types import WaitUntil
from poster_service.isolation import Isolation
from poster_service.render.conditions import CONDITIONS, Condition, in_order
from poster_service.render.declaration import Items, Option
from poster_service.render.device_options import DeviceOptions
from poster_service.render.download_name import MOST_BYTES, check_download_name
from poster_service.render.network_options import (
    MAX_COOKIES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    CookieOptions,
    Credentials,
    Headers,
    check_referrer,
)
from poster_service.render.output_options import MAX_OUTPUTS, Output, OutputOptions, named
from poster_service.render.page_options import (
    INSERTIONS_ALLOWED,
    OWN_SOURCES,
    Insertions,
    OnTimeout,
    Selector,
    WaitFor,
)
from poster_service.render.request_options import (
    MAX_SCOPES,
    RESPONSES_WORDS,
    Allow,
    Block,
    Responses,
    Scopes,
)
from poster_service.render.status_options import FailOnStatus
from poster_service.render.storage_options import Destination, ObjectOptions

#: A year, in seconds.
MAX_TTL = 31_536_000


class RenderOptions(DeviceOptions):
    """How a picture is made of a source; every option has a default."""

    headers: Annotated[
        Headers,
        Option(
            "Headers sent only to the origin of the `url`.",
            allowed=f"up to {MAX_HEADERS} names and values of {MAX_HEADER_BYTES} bytes in all,"
            " without those of the connection and those that have an option",
            sources=("url",),
            is_content=True,
            is_secret=True,
            begins="Network",
        ),
    ] = Field(default_factory=dict)
    referrer: Annotated[
        Annotated[str, Field(max_length=2_000), AfterValidator(check_referrer)] | None,
        Option(
            "Referrer of the `url`: `Referer` of its request, and `document.referrer`.",
            allowed="an http or https address of up to 2000 characters",
            sources=("url",),
        ),
    ] = None
    scoped_headers: Annotated[
        Scopes,
        Option(
            "Headers for requests of the page to addresses that match, of any origin. A header"
            " that `headers` has too is sent with the value from here.",
            allowed=f"a list of up to {MAX_SCOPES}, each with expression and headers",
            is_secret=True,
            sources=OWN_SOURCES,
        ),
    ] = ()
    cookies: Annotated[
        Items[CookieOptions],
        Field(max_length=MAX_COOKIES),
        Option(
            "Cookies of the page, sent only to the origin of the `url`.",
            sources=("url",),
            is_secret=True,
        ),
    ] = ()
    credentials: Annotated[
        Credentials | None,
        Option(
            "User and password, sent only to the origin of the `url` (Basic authentication).",
            sources=("url",),
            is_content=True,
            is_secret=True,
        ),
    ] = None
    block: Annotated[
        Block | None,
        Option("What the page may not load. Blocked resources add no warning and fail no render."),
    ] = None
    allow: Annotated[
        Allow | None,
        Option(
            "The only resources that the page may load, except those that `block` names; all"
            " others are blocked in the same way. It permits nothing that the network policy"
            " denies."
        ),
    ] = None
    respond: Annotated[
        Responses,
        Option(
            "Responses to requests of the page, which are then not fetched. `block` and `allow`"
            " have precedence; the page itself is always loaded from its own address.",
            allowed=RESPONSES_WORDS,
            sources=OWN_SOURCES,
        ),
    ] = ()
    allow_error_status: Annotated[
        bool,
        Option(
            "Render the `url` even if it answers with a status of 400 or more, for instance its"
            " page for 404.",
            sources=("url",),
        ),
    ] = False
    styles: Annotated[
        Insertions,
        Option(
            "Style sheets for the page, in place before its first script; they come last in the"
            " cascade of the page's author styles.",
            allowed=INSERTIONS_ALLOWED,
            sources=OWN_SOURCES,
            begins="Page",
        ),
    ] = ()
    scripts: Annotated[
        Insertions,
        Option(
            "Scripts that run in the page one after the other once `wait_until` holds; the value of"
            " the last statement is awaited.",
            allowed=INSERTIONS_ALLOWED,
            excludes=("javascript",),
            sources=OWN_SOURCES,
        ),
    ] = ()
    hide: Annotated[
        Annotated[Items[Selector], Field(max_length=50)],
        Option("CSS selectors of elements to hide, as with `display: none`."),
    ] = ()
    freeze: Annotated[
        bool,
        Option(
            "Finish transitions and animations, cancel endless ones, and hide the caret, so that"
            " the picture is the same each time."
        ),
    ] = False
    scroll_page: Annotated[
        bool,
        Option(
            "Scroll to the end of the page and back before the picture is taken, for pages that"
            " load or show more when they are scrolled.",
            excludes=("javascript",),
        ),
    ] = False
    wait_until: Annotated[
        WaitUntil,
        Option(
            "When the page counts as loaded. load: it has loaded completely. domcontentloaded: its"
            " document is parsed. networkidle0 and networkidle2: its document is parsed, and for"
            " 500 ms no request, or at most two, were in progress.",
            begins="Waiting",
        ),
    ] = "load"
    wait_for: Annotated[
        WaitFor | None,
        Option("Conditions that must all hold before the picture is taken."),
    ] = None
    delay_ms: Annotated[
        int,
        Field(ge=0),
        Option(
            "Time to wait after all other waits, in milliseconds.",
            unit="milliseconds",
            limit="max_timeout_ms",
        ),
    ] = 0
    on_timeout: Annotated[
        OnTimeout,
        Option(
            "What happens when a page is not ready in time: an error, or a picture of the page as"
            " it is, with a warning."
        ),
    ] = "error"
    timeout_ms: Annotated[
        Annotated[int, Field(ge=100)] | None,
        Option(
            "Time for the whole render, including its wait in the queue, in milliseconds.",
            default="the service's own",
            unit="milliseconds",
            limit="max_timeout_ms",
            changes_output=False,
        ),
    ] = None
    strict: Annotated[
        bool,
        Option(
            "Fail the render if a subresource of the page fails: the same as `subresource` in"
            " `fail_on`. Without it the page is rendered, and X-Render-Warnings lists what"
            " failed.",
            begins="Failing",
        ),
    ] = False
    fail_on: Annotated[
        Annotated[Items[Condition], Field(max_length=len(CONDITIONS)), AfterValidator(in_order)],
        Option(
            "Conditions on which the render fails: a subresource failed (subresource), was not"
            " fetched at all (not_fetched), was answered with a status of 400 to 499 (http_4xx)"
            " or 500 to 599 (http_5xx); a script of the page failed (script_error); no font has a"
            " character (missing_glyph)."
        ),
    ] = ()
    fail_on_status: Annotated[
        FailOnStatus | None,
        Option("HTTP statuses on which the render fails."),
    ] = None
    isolation: Annotated[
        Isolation | None,
        Option(
            "What the render may share with others at most: the service's level for this page, or"
            " a stricter one. X-Isolation has the level of the render.",
            default="the service's own",
            changes_output=False,
            begins="Isolation, cache, delivery",
        ),
    ] = None
    cache_ttl: Annotated[
        Annotated[int, Field(ge=0, le=MAX_TTL)] | None,
        Option(
            "Seconds for which equal requests may get the same picture from the cache, even if"
            " the page runs scripts or its resources may change; 0 switches the cache off.",
            default="as long as the page is certain to look the same",
            unit="seconds",
            changes_output=False,
        ),
    ] = None
    filename: Annotated[
        Annotated[str, Field(min_length=1, max_length=255), AfterValidator(check_download_name)]
        | None,
        Option(
            "Name under which a browser saves the answer (Content-Disposition: attachment).",
            allowed=f"a file name of up to {MOST_BYTES} bytes, without slashes and control"
            " characters",
            changes_output=False,
        ),
    ] = None

    store: Annotated[
        bool,
        Option(
            "Store the result in the service's object storage, and answer with its address instead"
            " of its bytes, as JSON.",
            changes_output=False,
        ),
    ] = False
    object: Annotated[
        ObjectOptions | None,
        Option(
            "How the stored result is named and served.", needs=("store",), changes_output=False
        ),
    ] = None
    destination: Annotated[
        Destination | None,
        Option(
            "An address to which the result is sent; the answer is its metadata as JSON.",
            excludes=("outputs",),
            changes_output=False,
            is_secret=True,
        ),
    ] = None
    outputs: Annotated[
        Annotated[Items[Output], Field(min_length=1, max_length=MAX_OUTPUTS), AfterValidator(named)]
        | None,
        Option(
            "Several pictures or PDFs of the page, which is loaded once; the answer is"
            " multipart/mixed, application/zip or application/json, by Accept.",
            allowed=f"a list of 1 to {MAX_OUTPUTS}, each an object of name and the options of one"
            " picture; one pdf with full_page at most",
            replaces=tuple(OutputOptions.model_fields),
            begins="Several outputs",
        ),
    ] = None

    @property
    def captured(self) -> tuple[OutputOptions, ...]:
        """What is captured of the page: `outputs`, or the one picture that the rest describes."""
        return self.outputs or (self,)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is captured; "" where it is one picture."""
        return ("",) if self.outputs is None else tuple(str(one.name) for one in self.outputs)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """On what the render fails: `fail_on`, and `strict`."""
        return in_order((*self.fail_on, "subresource")) if self.strict else self.fail_on
