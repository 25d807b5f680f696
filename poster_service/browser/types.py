"""What other packages must know of a page: what it asks for, what it gets, what is captured of it.

Only data and constants. Its own file so that `render` and `fetch` can check a job and answer a
request without importing what drives Chrome; it imports nothing but the standard library.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: The page's own address. `.invalid` never resolves (RFC 6761), and https makes it a secure
#: context, as a page on the real web is.
ADDRESS = "https://poster.invalid/"

#: Media types of CSS that a page can be laid out for.
Media = Literal["screen", "print"]

#: The background that Chrome does not paint when it prints: it takes the paper to be white.
WHITE = (255, 255, 255, 255)

#: Statuses that send Chrome elsewhere, with a Location (Fetch, "redirect status").
REDIRECTS = (301, 302, 303, 307, 308)
#: When a page counts as loaded; `networkidle0` and `networkidle2` by the requests under way.
WaitUntil = Literal["load", "domcontentloaded", "networkidle0", "networkidle2"]

#: How an element must be; hidden also if there is none.
ElementState = Literal["attached", "visible", "hidden"]

#: What Chrome gives of a page.
Format = Literal["png", "jpeg", "webp", "pdf", "html", "elements"]
#: Those that are text of the page, and neither painted nor printed.
CONTENTS: tuple[Format, ...] = ("html", "elements")

#: Chrome's largest surface in software compositing, in device pixels a side.
MAX_SIDE = 16_384
#: WebP's own limit (RFC 9649); Chrome returns no data for a larger picture.
MAX_WEBP_SIDE = 16_383
#: The tallest PDF page that readers are sure to show: 14,400 points, in CSS pixels.
MAX_PDF_SIDE = 19_200
#: The most device pixels a side of each encoding that programs read: libpng's own limit, and what
#: libjpeg writes. A picture with a longer side than Chrome's surface is joined from pieces.
MAX_PICTURE_SIDES: Mapping[str, int] = {"png": 1_000_000, "jpeg": 65_500, "webp": MAX_WEBP_SIDE}
#: Messages that Chrome may send unasked about one page, unless the capture options say otherwise.
MAX_MESSAGES = 20_000
#: The same, in bytes: mostly requests with their bodies. The page chooses all of it, it is held in
#: the service's memory, and the event loop that all renders share reads it.
MAX_MESSAGE_BYTES = 32 << 20
#: The smallest and the largest viewport that pages are prepared with, in device pixels.
HINT_PIXELS = (1_000, 4_000_000)


@dataclass(frozen=True)
class Request:
    """Something a page asks for.

    Attributes:
        url: As Chrome normalised it.
        method: HTTP method.
        headers: Request headers Chrome would send.
        body: Request body, None when there is none.
        kind: CDP resource type, e.g. "Image".
        hops: Redirects that led here.
        first: URL of the request that was redirected first; "" without a redirect.
        origins: Origins of the addresses that led here by redirects, each once.
        is_main: Whether it is for the page's own document.
        in_main_frame: Whether the page's main frame makes it, and no frame inside or worker.
    """

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    kind: str
    hops: int = 0
    first: str = ""
    origins: frozenset[str] = frozenset()
    is_main: bool = False
    in_main_frame: bool = False


@dataclass(frozen=True)
class Reply:
    """What a page gets for a request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def is_redirect(self) -> bool:
        """Whether Chrome goes elsewhere for it."""
        has_target = any(name.lower() == "location" for name, _ in self.headers)
        return has_target and self.status in REDIRECTS


@dataclass(frozen=True)
class Cookie:
    """A cookie that a page has before it loads.

    Attributes:
        url: An address of the one host that it is for.
        name: Its name.
        value: Its value, a secret.
        path: Path that it is for.
        secure: Whether it is sent over https only.
        http_only: Whether scripts do not see it.
        same_site: "Strict", "Lax" or "None"; None for Chrome's default.
        expires: In Unix time; None at the end of the session.
    """

    url: str = field(repr=False)
    name: str
    value: str = field(repr=False)
    path: str = "/"
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    expires: float | None = None

    def parameter(self) -> dict[str, Any]:
        """As CDP has it (Network.CookieParam)."""
        found = {
            "url": self.url, "name": self.name, "value": self.value, "path": self.path,
            "secure": self.secure, "httpOnly": self.http_only, "sameSite": self.same_site,
            "expires": self.expires,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}


#: Answers a page's request; None refuses it.
Route = Callable[[Request], Awaitable[Reply | None]]


@dataclass(frozen=True)
class Environment:
    """Who looks at a page and on what, as far as the page can tell; by default as Chrome has it.

    Attributes:
        touch: Whether it has a touch screen.
        media: Media type of CSS; None is `screen`, and `print` for a PDF.
        media_features: Media features of CSS, each a name and a value.
        timezone: IANA name; None is the service's own.
        locale: BCP 47 tag of the language; None is Chrome's own.
        user_agent: What it calls itself; None is Chrome's own name.
        javascript: Whether its scripts run.
    """

    touch: bool = False
    media: Media | None = None
    media_features: tuple[tuple[str, str], ...] = ()
    timezone: str | None = None
    locale: str | None = None
    user_agent: str | None = None
    javascript: bool = True


@dataclass(frozen=True)
class PdfCapture:
    """How a page is printed as a PDF; by default on sheets of the viewport's size.

    Attributes:
        paper: Width and height of a sheet in CSS pixels; None is the viewport's size.
        margin: Top, right, bottom and left, in CSS pixels.
        scale: Size of what is printed.
        print_background: Whether backgrounds are printed.
        pages: Page ranges as CDP has them; "" for all.
        prefer_css_page_size: Whether the page's own `@page { size: ... }` has precedence.
        tagged: Whether the contents are tagged.
        outline: Whether there is an outline of the page's headings.
        header: HTML in the top margin of each sheet; "" for none.
        footer: HTML in the bottom margin, likewise.
        skip_first: Whether the first sheet, which is printed, is without them.
        metadata: Names and values of the PDF's Info dictionary, beside those that Chrome writes.
    """

    paper: tuple[float, float] | None = None
    margin: tuple[float, float, float, float] = (0, 0, 0, 0)
    scale: float = 1
    print_background: bool = True
    pages: str = ""
    prefer_css_page_size: bool = True
    tagged: bool = True
    outline: bool = False
    header: str = ""
    footer: str = ""
    skip_first: bool = False
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PageOptions:
    """How a page is set up, loaded and awaited; the same for all that is captured of it.

    Attributes:
        width: Viewport width in CSS pixels.
        height: Viewport height in CSS pixels; the height of a sheet for a PDF.
        scale: Device scale factor.
        background: RGBA under the page while it loads, channels 0 to 255.
        is_full: Whether something is captured of it that the viewport does not show.
        max_messages: Messages that Chrome may send unasked about the page.
        max_message_bytes: The same, in bytes.
        mobile: Whether the page is laid out as on a phone: `<meta name=viewport>` counts.
        environment: All else that is set before the page loads.
    """

    width: int
    height: int
    scale: float
    background: tuple[int, int, int, int]
    is_full: bool = False
    max_messages: int = MAX_MESSAGES
    max_message_bytes: int = MAX_MESSAGE_BYTES
    mobile: bool = False
    environment: Environment = Environment()

    @property
    def viewport(self) -> "Viewport":
        """What the page is given before it loads."""
        return Viewport(self.width, self.height, self.scale, self.background, self.mobile)


@dataclass(frozen=True)
class Region:
    """A rectangle of the document, in CSS pixels from its left and upper edge.

    Attributes:
        x: Left edge.
        y: Upper edge.
        width: Above 0.
        height: Above 0.
        scale: How much larger it is painted than the rest of the options say.
    """

    x: float
    y: float
    width: float
    height: float
    scale: float = 1.0


@dataclass(frozen=True)
class CaptureOptions:
    """One picture, PDF or text of a page, and how it is captured.

    Attributes:
        page: How the page itself was set up.
        format: Encoding.
        quality: 1 to 100, for what loses something; None otherwise.
        full_page: The whole document instead of the viewport.
        background: RGBA under the page, channels 0 to 255; with alpha 0, what the page does not
            paint stays transparent.
        max_pixels: Limit on the device pixels of the picture.
        max_side: The same of each side, where it is not the encoding's own.
        is_cut: Whether a full page that is too high ends where the limits do.
        pdf: How it is printed, for a PDF.
        selector: CSS selector of the element that is captured instead of the viewport; of
            `full_page`, `selector` and `clip` at most one is given.
        padding: CSS pixels around that element.
        clip: The part of the document that is captured instead of the viewport.
        zoom: Pixels of the picture per device pixel of the page, a side.
        elements: Selectors of the elements whose contents are read.
    """

    page: PageOptions
    format: Format
    quality: int | None
    full_page: bool
    background: tuple[int, int, int, int]
    max_pixels: int
    pdf: PdfCapture = PdfCapture()
    selector: str | None = None
    padding: int = 0
    clip: Region | None = None
    max_side: int | None = None
    is_cut: bool = False

    @property
    def is_viewport(self) -> bool:
        """Whether what the viewport shows is captured, and nothing outside of it."""
        return not self.full_page and self.selector is None and self.clip is None

    zoom: float = 1.0
    elements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Awaited:
    """What a page must have or say before it is captured: all that is not empty.

    Attributes:
        selector: CSS; one element that matches must be as `state` says, or none `visible`.
        state: How it must be.
        expression: JavaScript that must be truthy, or the promise of it.
        event: Name of an event that must have been dispatched on the window or the document, or of
            a property of the window that must be true.
    """

    selector: str = ""
    state: ElementState = "visible"
    expression: str = ""
    event: str = ""


@dataclass(frozen=True)
class Look:
    """What is added to a page before it loads and changes how it looks.

    Attributes:
        sheets: Style sheets, the last of the page's own; addresses in them are relative to it.
        hide: Selectors of what is not displayed.
        freeze: Whether nothing moves when it is captured.
        event: As of `Awaited`; it is listened for from the start.
    """

    sheets: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    freeze: bool = False
    event: str = ""


@dataclass(frozen=True)
class Viewport:
    """What a page is given before it loads, so that media queries see it at once.

    Attributes:
        width: Viewport width in CSS pixels.
        height: Viewport height in CSS pixels.
        scale: Device scale factor.
        background: RGBA under the page, channels 0 to 255.
        mobile: Whether the page is laid out as on a phone.
    """

    width: int
    height: int
    scale: float
    background: tuple[int, int, int, int]
    mobile: bool = False


class ViewportHint:
    """The viewport of the last render; pages are prepared with it, as the next is mostly the same.

    A page gets it when it becomes ready, which takes the time for it out of a render. A large
    viewport is not remembered, since a Chrome with its own display clock would paint blank pages of
    that size, nor is a tiny one, such as that of the service's own probe. Nor is one of another
    scale than 1: the text of form controls would keep the font rendering of that scale, so that a
    picture would depend on the render before it (measured: `<input value="text">` at scale 1 after
    a page at scale 2). Nor is a phone's.
    """

    def __init__(self) -> None:
        #: None until a render has succeeded.
        self.viewport: Viewport | None = None

    def note(self, viewport: Viewport) -> None:
        """Remember the viewport of a render that succeeded, if it is fit for a hint."""
        least, most = HINT_PIXELS
        is_plain = viewport.scale == 1 and not viewport.mobile
        if is_plain and least <= viewport.width * viewport.height <= most:
            self.viewport = viewport

    def forget(self) -> None:
        """Drop the hint: a Chrome did not become ready, and the hint may be the cause."""
        self.viewport = None


def max_side(encoding: str) -> int:
    """The most device pixels that a side of a viewport may have in an encoding."""
    return MAX_WEBP_SIDE if encoding == "webp" else MAX_SIDE


def max_picture_side(encoding: str) -> int:
    """The most device pixels that a side of a picture beyond the viewport may have."""
    return MAX_PICTURE_SIDES.get(encoding, MAX_SIDE)
