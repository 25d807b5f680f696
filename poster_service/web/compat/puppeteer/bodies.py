"""The JSON bodies of browserless' routes, which are puppeteer's options: each property, no other.

As the schemas in its npm package (`@browserless.io/browserless` 2.42) have them, without paths of
files on the server. What a property means is in `translation.py` and `printing.py`. What Cloudflare
Browser Run has of them is in the classes named Common.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from poster_service.errors import MOST_FAULTS, Fault, InvalidField

WaitUntil = Literal["load", "domcontentloaded", "networkidle0", "networkidle2"]
#: Resource types as puppeteer names them.
RejectedType = Literal[
    "cspviolationreport", "document", "eventsource", "fedcm", "fetch", "font", "image", "manifest",
    "media", "other", "ping", "prefetch", "preflight", "script", "signedexchange", "stylesheet",
    "texttrack", "websocket", "xhr",
]  # fmt: skip
PaperFormat = Literal[
    "A0", "A1", "A2", "A3", "A4", "A5", "A6", "LEDGER", "LEGAL", "LETTER", "Ledger", "Legal",
    "Letter", "TABLOID", "Tabloid", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "ledger", "legal",
    "letter", "tabloid",
]  # fmt: skip
Length = str | float
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]
Texts = Annotated[list[str], Field(max_length=50)]


class Body(BaseModel):
    """An object in which a property that it does not have is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)


class ScriptTag(Body):
    """A script for the page."""

    url: str | None = None
    content: str | None = None
    type: str | None = None
    id: str | None = None


class StyleTag(Body):
    """A style sheet for the page."""

    url: str | None = None
    content: str | None = None


class Authenticate(Body):
    """User and password of the page."""

    username: str
    password: str


class CookieParam(Body):
    """A cookie of the page."""

    name: str
    value: str
    url: str | None = None
    domain: str | None = None
    path: str | None = None
    secure: bool | None = None
    http_only: bool | None = None
    same_site: Literal["Default", "Lax", "None", "Strict"] | None = None
    expires: float | None = None
    priority: Literal["High", "Low", "Medium"] | None = None
    same_party: bool | None = None
    source_scheme: Literal["NonSecure", "Secure", "Unset"] | None = None
    partition_key: str | dict[str, Any] | None = None


class GotoOptions(Body):
    """How the page is gone to."""

    referer: str | None = None
    referrer_policy: str | None = None
    timeout: Milliseconds | None = None
    wait_until: WaitUntil | Annotated[list[WaitUntil], Field(max_length=8)] | None = None


class CannedResponse(Body):
    """What is answered instead of a fetch."""

    status: int | None = None
    headers: dict[str, Any] | None = None
    content_type: str | None = None
    body: str | None = None


class RequestInterceptor(Body):
    """Which requests are answered, and with what."""

    pattern: str
    response: CannedResponse


class UserAgent(Body):
    """What the browser calls itself."""

    user_agent: str | None = None
    user_agent_metadata: dict[str, Any] | None = None
    platform: str | None = None


class Viewport(Body):
    """The size of the page, and the device it is on."""

    width: Annotated[float, Field(ge=0, le=1e7)]
    height: Annotated[float, Field(ge=0, le=1e7)]
    device_scale_factor: float | None = None
    is_mobile: bool = False
    is_landscape: bool = False
    has_touch: bool = False


class WaitForEvent(Body):
    """An event of the window or the document."""

    event: str
    timeout: Milliseconds | None = None


class WaitForFunction(Body):
    """JavaScript that must become true."""

    fn: Annotated[str, Field(max_length=8_000)]
    polling: str | float | None = None
    timeout: Milliseconds | None = None


class WaitForSelector(Body):
    """An element."""

    selector: str
    hidden: bool = False
    visible: bool = False
    timeout: Milliseconds | None = None


class CommonPage(Body):
    """What every route of both APIs takes."""

    add_script_tag: Annotated[list[ScriptTag], Field(max_length=20)] = []
    add_style_tag: Annotated[list[StyleTag], Field(max_length=20)] = []
    authenticate: Authenticate | None = None
    best_attempt: bool = False
    emulate_media_type: str | None = None
    goto_options: GotoOptions | None = None
    html: str | None = None
    reject_request_pattern: Texts = []
    reject_resource_types: Annotated[list[RejectedType], Field(max_length=50)] = []
    set_extra_http_headers: Annotated[dict[str, str] | None, Field(alias="setExtraHTTPHeaders")] = (
        None
    )
    set_javascript_enabled: Annotated[bool | None, Field(alias="setJavaScriptEnabled")] = None
    url: str | None = None
    viewport: Viewport | None = None
    wait_for_selector: WaitForSelector | None = None
    wait_for_timeout: Milliseconds | None = None


class Page(CommonPage):
    """What every route of browserless takes."""

    cookies: Annotated[list[CookieParam], Field(max_length=50)] = []
    request_interceptors: Annotated[list[RequestInterceptor], Field(max_length=20)] = []
    user_agent: UserAgent | str | None = None
    wait_for_event: WaitForEvent | None = None
    wait_for_function: WaitForFunction | None = None


class ScreenshotClip(Body):
    """A rectangle of the document."""

    x: float
    y: float
    width: float
    height: float
    scale: float | None = None


class ScreenshotOptions(Body):
    """How the picture is taken."""

    capture_beyond_viewport: bool | None = None
    clip: ScreenshotClip | None = None
    encoding: Literal["base64", "binary"] | None = None
    from_surface: bool | None = None
    full_page: bool = False
    omit_background: bool = False
    optimize_for_speed: bool | None = None
    quality: float | None = None
    type: Literal["jpeg", "png", "webp"] | None = None


class Screenshot(Page):
    """POST /screenshot."""

    options: ScreenshotOptions | None = None
    scroll_page: bool = False
    selector: str | None = None


class PdfMargin(Body):
    """The margins of every sheet."""

    top: Length | None = None
    right: Length | None = None
    bottom: Length | None = None
    left: Length | None = None


class CommonPdfOptions(Body):
    """How the page is printed, in both APIs."""

    display_header_footer: bool = False
    footer_template: str | None = None
    format: PaperFormat | None = None
    header_template: str | None = None
    height: Length | None = None
    landscape: bool = False
    margin: PdfMargin | None = None
    omit_background: bool = False
    outline: bool = False
    page_ranges: str | None = None
    prefer_css_page_size: Annotated[bool, Field(alias="preferCSSPageSize")] = False
    print_background: bool = False
    scale: float | None = None
    tagged: bool | None = None
    timeout: Milliseconds | None = None
    width: Length | None = None


class PdfOptions(CommonPdfOptions):
    """How the page is printed."""

    full_page: bool = False
    wait_for_fonts: bool | None = None


class Pdf(Page):
    """POST /pdf."""

    options: PdfOptions | None = None


class Content(Page):
    """POST /content."""


class ScrapeElement(Body):
    """What to look for."""

    selector: str
    timeout: Milliseconds | None = None


class DebugOptions(Body):
    """What else to report; there is nothing of it here."""

    console: bool = False
    cookies: bool = False
    html: bool = False
    network: bool = False
    screenshot: bool = False


class Scrape(Page):
    """POST /scrape."""

    elements: Annotated[list[ScrapeElement], Field(min_length=1, max_length=20)]
    debug_opts: DebugOptions | None = None


B = TypeVar("B", bound=Body)


def read(kind: type[B], given: object) -> B:
    """The body, checked.

    Raises:
        InvalidField: With a fault for each property that is unknown or wrong; no value is shown.
    """
    if not isinstance(given, dict):
        raise InvalidField.of(Fault("", "must be a JSON object"))
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        faults = list(itertools.islice(_faults(given, error), MOST_FAULTS))
        others = error.error_count() - len(faults) if len(faults) == MOST_FAULTS else 0
        raise InvalidField.of(*faults, unlisted=others) from None


def _faults(given: object, error: ValidationError) -> Iterator[Fault]:
    seen = set()
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(_path(given, one["loc"], is_missing=one["type"] == "missing"))
        if field not in seen:
            seen.add(field)
            is_unknown = one["type"] == "extra_forbidden"
            message = "is not allowed" if is_unknown else one["msg"][:1].lower() + one["msg"][1:]
            yield Fault(field, message)


def _path(given: object, steps: Sequence[int | str], *, is_missing: bool) -> Iterator[str]:
    """Where a value stands in what was given; pydantic puts the members of a union between."""
    at: Any = given
    for step in steps:
        is_key = isinstance(at, dict) and step in at
        is_place = isinstance(at, list) and isinstance(step, int)
        if is_key or is_place:
            at = at[step]
            yield str(step)
    if is_missing:
        yield str(steps[-1])
