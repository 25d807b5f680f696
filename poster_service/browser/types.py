"""What other packages must know of a page: what it asks for, what it gets, what is captured of it.

Only data and constants. Its own file so that `render` and `fetch` can check a job and answer a
request without importing what drives Chrome; it imports nothing but the standard library.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

#: The page's own address. `.invalid` never resolves (RFC 6761), and https makes it a secure
#: context, as a page on the real web is.
ADDRESS = "https://poster.invalid/"

#: Media types of CSS that a page can be laid out for.
Media = Literal["screen", "print"]

#: Encodings that Chrome gives.
Format = Literal["png", "jpeg", "webp", "pdf"]

#: Chrome's largest surface in software compositing, in device pixels a side.
MAX_SIDE = 16_384
#: WebP's own limit (RFC 9649); Chrome returns no data for a larger picture.
MAX_WEBP_SIDE = 16_383
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
    """

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    kind: str
    hops: int = 0
    first: str = ""


@dataclass(frozen=True)
class Reply:
    """What a page gets for a request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


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
class CaptureOptions:
    """What is captured of a page, and how.

    Attributes:
        width: Viewport width in CSS pixels.
        height: Viewport height in CSS pixels; the height of a sheet for a PDF.
        scale: Device scale factor.
        format: Encoding.
        quality: 1 to 100, for jpeg and webp; None otherwise.
        full_page: The whole document instead of the viewport.
        background: RGBA under the page, channels 0 to 255; with alpha 0, what the page does not
            paint stays transparent.
        max_pixels: Limit on the device pixels of a full page.
        max_messages: Messages that Chrome may send unasked about the page.
        max_message_bytes: The same, in bytes.
        mobile: Whether the page is laid out as on a phone: `<meta name=viewport>` counts.
        environment: All else that is set before the page loads.
    """

    width: int
    height: int
    scale: float
    format: Format
    quality: int | None
    full_page: bool
    background: tuple[int, int, int, int]
    max_pixels: int
    max_messages: int = MAX_MESSAGES
    max_message_bytes: int = MAX_MESSAGE_BYTES
    mobile: bool = False
    environment: Environment = Environment()

    @property
    def viewport(self) -> "Viewport":
        """What the page is given before it loads."""
        return Viewport(self.width, self.height, self.scale, self.background, self.mobile)


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
    """The most device pixels that a side of a picture may have in an encoding."""
    return MAX_WEBP_SIDE if encoding == "webp" else MAX_SIDE
