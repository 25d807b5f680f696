"""The options of a render: the ONE place where an option is declared.

To add an option, add a field here, and the code that does what it says (docs/contributing.md names
the places). JSON, query, form, signed URL, command line, OpenAPI, error texts, the cache key and
the docs' table read this declaration (declaration.py). Nothing here needs Chrome, Pillow or an HTTP
library.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from poster_service.browser.types import MAX_SIDE, Media, WaitUntil
from poster_service.isolation import Isolation
from poster_service.quoting import quoted
from poster_service.render.conditions import CONDITIONS, Condition, in_order
from poster_service.render.declaration import Items, Option
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

DEFAULT_WIDTH = 750
DEFAULT_HEIGHT = 1334
#: A year, in seconds.
MAX_TTL = 31_536_000
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
#: The media features of CSS that Chrome emulates, each with its values (Media Queries 5).
MEDIA_FEATURES: Mapping[str, tuple[str, ...]] = {
    "prefers-color-scheme": ("light", "dark"),
    "prefers-reduced-motion": ("reduce", "no-preference"),
    "prefers-reduced-transparency": ("reduce", "no-preference"),
    "prefers-contrast": ("more", "less", "custom", "no-preference"),
    "forced-colors": ("active", "none"),
    "color-gamut": ("srgb", "p3", "rec2020"),
}
#: What may stand in a header, as `User-Agent` does: visible ASCII and single spaces between.
HEADER_WORDS = r"^[!-~]+( [!-~]+)*$"
#: A language, and perhaps script, region and more (BCP 47).
LANGUAGE_TAG = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$"
#: A name as of the tz database; it has nothing that leads out of a folder.
ZONE_NAME = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"


def _known_features(given: dict[str, str]) -> dict[str, str]:
    """The media features, if each is known and has one of its values; Chrome ignores others.

    Raises:
        ValueError: One is not, or has not; its text is for the caller.
    """
    for name, value in given.items():
        values = MEDIA_FEATURES.get(name)
        if values is None:
            raise ValueError(f'"{quoted(name)}" is no media feature that can be set')
        if value not in values:
            raise ValueError(f'{name} cannot be "{quoted(value)}"')
    return given


class RenderOptions(OutputOptions):
    """How a picture is made of a source; every option has a default."""

    width: Annotated[
        Side | None,
        Option(
            "Viewport width in CSS pixels.",
            default=f"{DEFAULT_WIDTH}, or the template's own",
            begins="Device",
        ),
    ] = None
    height: Annotated[
        Side | None,
        Option(
            "Viewport height in CSS pixels.",
            default=f"{DEFAULT_HEIGHT}, or the template's own",
        ),
    ] = None
    device_scale_factor: Annotated[
        float, Field(ge=0.1, le=5.0), Option("Device pixels per CSS pixel.")
    ] = 1.0
    mobile: Annotated[
        bool,
        Option(
            "Lay the page out as a phone does: `<meta name=viewport>` counts, and a page without it"
            " is 980 CSS pixels wide, shown smaller; a full page of it is that wide.",
        ),
    ] = False
    touch: Annotated[
        bool, Option("A touch screen: `pointer: coarse`, and `ontouchstart` in scripts.")
    ] = False
    media: Annotated[
        Media | None,
        Option("Media type of CSS.", default="screen, and print for a pdf"),
    ] = None
    media_features: Annotated[
        Annotated[dict[str, str], AfterValidator(_known_features)],
        Option(
            "Media features of CSS, as in `prefers-color-scheme: dark`.",
            allowed="; ".join(
                f"{name}: {', '.join(values)}" for name, values in MEDIA_FEATURES.items()
            ),
        ),
    ] = Field(default_factory=dict)
    timezone: Annotated[
        Annotated[str, Field(max_length=64, pattern=ZONE_NAME)] | None,
        Option(
            "Time zone of the page's scripts, as the tz database names it.",
            allowed="a name like Asia/Tokyo or UTC",
            default="the service's own",
        ),
    ] = None
    locale: Annotated[
        Annotated[str, Field(max_length=35, pattern=LANGUAGE_TAG)] | None,
        Option(
            "Language and region of the reader: how scripts write dates and numbers,"
            " `navigator.language`, and Accept-Language of what the page fetches.",
            allowed="a BCP 47 tag like de-DE",
            default="Chrome's own",
        ),
    ] = None
    user_agent: Annotated[
        Annotated[str, Field(max_length=512, pattern=HEADER_WORDS)] | None,
        Option(
            "What the browser calls itself, in scripts and in what the page fetches.",
            allowed="up to 512 characters of printable ASCII",
            default="Chrome's own",
        ),
    ] = None
    javascript: Annotated[
        bool,
        Option("Whether the page's scripts run. Without them `<noscript>` shows."),
    ] = True
    headers: Annotated[
        Headers,
        Option(
            "Headers sent to the origin of the `url`, and to no other.",
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
            "Address that led to the `url`: `Referer` of the request for it, and"
            " `document.referrer`.",
            allowed="an http or https address of up to 2000 characters",
            sources=("url",),
        ),
    ] = None
    scoped_headers: Annotated[
        Scopes,
        Option(
            "Headers for what the page requests at addresses that match, of any origin; after those"
            " of `headers`, and instead of them where both have one.",
            allowed=f"a list of up to {MAX_SCOPES}, each with expression and headers",
            is_secret=True,
            sources=OWN_SOURCES,
        ),
    ] = ()
    cookies: Annotated[
        Items[CookieOptions],
        Field(max_length=MAX_COOKIES),
        Option(
            "Cookies of the page, sent to the origin of the `url` only.",
            sources=("url",),
            is_secret=True,
        ),
    ] = ()
    credentials: Annotated[
        Credentials | None,
        Option(
            "User and password, sent to the origin of the `url` only (Basic).",
            sources=("url",),
            is_content=True,
            is_secret=True,
        ),
    ] = None
    block: Annotated[
        Block | None,
        Option("What the page may not load. It makes no warning, and fails no render."),
    ] = None
    allow: Annotated[
        Allow | None,
        Option(
            "All that the page may load, apart from what `block` names; everything else is blocked"
            " in the same way. It opens nothing that the network policy denies."
        ),
    ] = None
    respond: Annotated[
        Responses,
        Option(
            "Responses for requests of the page, which are then not fetched. `block` and `allow`"
            " have precedence; the page itself is always loaded from where it is.",
            allowed=RESPONSES_WORDS,
            sources=OWN_SOURCES,
        ),
    ] = ()
    allow_error_status: Annotated[
        bool,
        Option(
            "Render what the `url` answers with a status of 400 or more too, such as its own page"
            " for 404.",
            sources=("url",),
        ),
    ] = False
    styles: Annotated[
        Insertions,
        Option(
            "Style sheets for the page, there before its first script; each is the last of the"
            " page's own.",
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
        Option("CSS selectors of what is not displayed, as if it had `display: none`."),
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
            "When the page counts as loaded: all of it, its document only, or when for 500 ms no"
            " request (0), or at most two (2), have been under way.",
            begins="Waiting",
        ),
    ] = "load"
    wait_for: Annotated[
        WaitFor | None,
        Option("What the page must have or say before the picture is taken: all that is given."),
    ] = None
    delay_ms: Annotated[
        int,
        Field(ge=0),
        Option(
            "Time to wait after all else, in milliseconds.",
            unit="milliseconds",
            limit="max_timeout_ms",
        ),
    ] = 0
    on_timeout: Annotated[
        OnTimeout,
        Option(
            "What becomes of a page whose time is nearly up: an error, or a picture of what is"
            " there, with a warning."
        ),
    ] = "error"
    timeout_ms: Annotated[
        Annotated[int, Field(ge=100)] | None,
        Option(
            "Time for the whole render, waiting included, in milliseconds.",
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
            " `fail_on`. Without it the picture is made and X-Render-Warnings lists what failed.",
            begins="Failing",
        ),
    ] = False
    fail_on: Annotated[
        Annotated[Items[Condition], Field(max_length=len(CONDITIONS)), AfterValidator(in_order)],
        Option(
            "Fail the render on each of these: any subresource that fails, one that was not fetched"
            " at all, one answered with a status of 400 to 499 or of 500 to 599, an error of the"
            " page's scripts, a character that no font has."
        ),
    ] = ()
    fail_on_status: Annotated[
        FailOnStatus | None,
        Option("Statuses of HTTP on which the render fails, one by one."),
    ] = None
    isolation: Annotated[
        Isolation | None,
        Option(
            "What the render may share with others, at most: a level as strict as the service's own"
            " for this page, or stricter. X-Isolation says what it was.",
            default="the service's own",
            changes_output=False,
            begins="Isolation, cache, delivery",
        ),
    ] = None
    cache_ttl: Annotated[
        Annotated[int, Field(ge=0, le=MAX_TTL)] | None,
        Option(
            "Seconds for which equal requests may get the same picture from the cache, even if"
            " the page runs scripts or fetched what may change; 0 is never.",
            default="as long as the page is sure to look the same",
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
            "An address to which the result is sent; answered is what is known of it, as JSON.",
            excludes=("outputs",),
            changes_output=False,
            is_secret=True,
        ),
    ] = None
    outputs: Annotated[
        Annotated[Items[Output], Field(min_length=1, max_length=MAX_OUTPUTS), AfterValidator(named)]
        | None,
        Option(
            "Several pictures or PDFs of the page, which is loaded once; answered as"
            " multipart/mixed, or as application/zip or application/json, by Accept.",
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
