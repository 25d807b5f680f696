"""How a picture is taken of a page that has loaded: the viewport, the full page, or a PDF.

A module of its own because what Chrome does during a capture decides whether the picture is right.
It speaks CDP through two things of the page (`Send` and its `Frames`) and knows no pyppeteer.
"""

import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from poster_service.browser.frames import STEADY, Frames
from poster_service.errors import PageFailed, PictureTooLarge

if TYPE_CHECKING:
    from poster_service.browser.page import Picture

#: Sends a command to the page and returns its answer.
Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
#: While inside, an answer may be large.
ExpectData = Callable[[], contextlib.AbstractContextManager[None]]

#: Chrome's largest surface in software compositing, in device pixels a side.
MAX_SIDE = 16_384
#: WebP's own bound (RFC 9649); of a larger one Chrome gives nothing at all.
MAX_WEBP_SIDE = 16_383
#: The tallest PDF page that readers are sure to show: 14,400 points, in CSS pixels.
MAX_PDF_SIDE = 19_200
#: CSS pixels to an inch (CSS Values and Units), in which CDP measures paper.
PIXELS_PER_INCH = 96

# A full page is one sheet, whatever the page says of sheets.
ONE_SHEET = """(() => {
    const style = document.createElement('style');
    style.textContent = '@page { margin: 0 !important; size: auto !important } * {' +
        ' break-before: auto !important; break-after: auto !important }';
    document.documentElement.append(style);
})()"""


class Capture:
    """Takes the picture of one page."""

    def __init__(self, send: Send, expect_data: ExpectData, frames: Frames | None) -> None:
        """Say how the page is reached.

        Args:
            send: Sends a command to the page and returns its answer, or raises.
            expect_data: While inside, an answer may be as large as a picture. Not around commands
                to which the page itself has an answer, which could be of any size too.
            frames: None where Chrome has a display clock of its own.
        """
        self._send = send
        self._expect_data = expect_data
        self._frames = frames

    async def take(self, picture: "Picture") -> str | bytes:
        """The picture or PDF, in base64.

        Raises:
            PictureTooLarge: The full page is larger than allowed.
            PageFailed: Chrome could not.
        """
        if picture.format == "pdf":
            async with self._frames_going():
                return await self._print(picture)
        data = await self._drawn(picture) or await self._screenshot(picture)
        if not data:
            raise PageFailed("Chrome gave no picture of the page")
        return data

    async def _drawn(self, picture: "Picture") -> str | bytes:
        """The picture out of a frame, in base64; empty where that cannot be.

        A frame is of the viewport, and in CSS pixels whatever the device scale factor.
        """
        if self._frames is None or picture.full_page or picture.scale != 1:
            return ""
        with self._expect_data():
            return await self._frames.picture(encoding(picture))

    async def _screenshot(self, picture: "Picture") -> str | bytes:
        """The picture by Chrome's own way, which waits for its display clock, in base64.

        Raises:
            PictureTooLarge: The full page has more pixels than allowed.
        """
        parameters = encoding(picture)
        async with self._frames_going():
            if picture.full_page:
                width, height = await self._content_size()
                check_size(width, height, picture)
                parameters["captureBeyondViewport"] = True
                parameters["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            with self._expect_data():
                answer = await self._send("Page.captureScreenshot", parameters)
        data: str | bytes = answer["data"]
        return data

    def _frames_going(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Frames while inside, where they are ours to give."""
        return self._frames.going(0, STEADY) if self._frames else contextlib.nullcontext()

    async def _print(self, picture: "Picture") -> str | bytes:
        height = await self._one_sheet(picture) if picture.full_page else picture.height
        margins = dict.fromkeys(("marginTop", "marginBottom", "marginLeft", "marginRight"), 0)
        paper = {
            "paperWidth": picture.width / PIXELS_PER_INCH,
            "paperHeight": height / PIXELS_PER_INCH,
            "printBackground": True,
            "preferCSSPageSize": not picture.full_page,
            **margins,
        }
        with self._expect_data():
            answer = await self._send("Page.printToPDF", paper)
        data: str | bytes = answer["data"]
        return data

    async def _one_sheet(self, picture: "Picture") -> int:
        """Make the page one sheet and return its height in CSS pixels.

        Raises:
            PictureTooLarge: No reader would show it.
        """
        await self._send("Runtime.evaluate", {"expression": ONE_SHEET})
        height = (await self._content_size())[1]
        if max(height, picture.width) > MAX_PDF_SIDE:
            raise PictureTooLarge(
                f"the page is {picture.width} x {height} CSS pixels; one PDF page has at most"
                f" {MAX_PDF_SIDE} a side; without full_page it is cut into pages"
            )
        return height + 1  # Chrome rounds to whole points; one more keeps it on one sheet

    async def _content_size(self) -> tuple[int, int]:
        """Size of the whole document in CSS pixels, never less than the viewport's."""
        size = (await self._send("Page.getLayoutMetrics", {}))["cssContentSize"]
        return math.ceil(size["width"]), math.ceil(size["height"])


def encoding(picture: "Picture") -> dict[str, Any]:
    """How a picture is encoded, as CDP has it."""
    if picture.format == "png":  # 40 instead of 150 ms of CPU (FACTS, "Capture")
        return {"format": "png", "optimizeForSpeed": True}
    return {"format": picture.format, "quality": picture.quality}


def max_side(form: str) -> int:
    """The most device pixels a side of a picture may have in an encoding."""
    return MAX_WEBP_SIDE if form == "webp" else MAX_SIDE


def check_size(width: int, height: int, picture: "Picture") -> None:
    """Refuse a full page that is larger than a picture may be.

    Raises:
        PictureTooLarge: Telling the size and the bounds.
    """
    across, down = math.ceil(width * picture.scale), math.ceil(height * picture.scale)
    most = max_side(picture.format)
    if max(across, down) > most or across * down > picture.max_pixels:
        raise PictureTooLarge(
            f"the full page is {across} x {down} device pixels; at most {most} a side"
            f" and {picture.max_pixels} in all are allowed"
        )
