"""How a picture is taken of a page that has loaded: the viewport, the full page, or a PDF.

A module of its own because what Chrome does during a capture decides whether the picture is right.
It speaks CDP through two things of the page (`Send` and its `Frames`) and knows no pyppeteer.
"""

import contextlib
import math
from typing import TYPE_CHECKING, Any

from poster_service.browser.frames import STEADY, Frames, Send
from poster_service.browser.pieces import Base64
from poster_service.browser.printing import ExpectData, Printing
from poster_service.errors import PageFailed, PictureTooLarge

if TYPE_CHECKING:
    from poster_service.browser.page import CaptureOptions

#: Chrome's largest surface in software compositing, in device pixels a side.
MAX_SIDE = 16_384
#: WebP's own bound (RFC 9649); of a larger one Chrome gives nothing at all.
MAX_WEBP_SIDE = 16_383


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

    async def take(self, picture: "CaptureOptions") -> Base64:
        """The picture or PDF, in base64.

        Raises:
            PictureTooLarge: The full page is larger than allowed.
            PageFailed: Chrome could not.
        """
        if picture.format == "pdf":
            async with self._frames_going():
                return await Printing(self._send, self._expect_data).pdf(picture)
        data = await self._drawn(picture) or await self._screenshot(picture)
        if not data:
            raise PageFailed("Chrome gave no picture of the page")
        return data

    async def _drawn(self, picture: "CaptureOptions") -> Base64:
        """The picture out of a frame, in base64; empty where that cannot be.

        A frame is of the viewport, and in CSS pixels whatever the device scale factor.
        """
        if self._frames is None or picture.full_page or picture.scale != 1:
            return ""
        with self._expect_data():
            return await self._frames.picture(encoding(picture))

    async def _screenshot(self, picture: "CaptureOptions") -> Base64:
        """The picture by Chrome's own way, which waits for its display clock, in base64.

        A full page is a clip larger than the viewport, and not `captureBeyondViewport`. That one
        makes the viewport 1 x 1 for a moment and then what it was (measured in 156; a way round an
        error of Chrome's own): media queries change and change back, `resize` fires, transitions
        start and are in the picture half way, and at times a frame is waited for that never comes.
        All else that it does is to have Chrome record what lies outside the viewport, which
        `BLINK_SETTINGS` (chrome.py) do from the start. So nothing is laid out again: `100vh` and
        what is fixed or sticky are the viewport's. Compared on 31 pages, at scale 1 and 2, pixels
        are the same.

        Raises:
            PictureTooLarge: The full page has more pixels than allowed.
        """
        parameters = encoding(picture)
        async with self._frames_going():
            if picture.full_page:
                width, height = await self._content_size()
                check_size(width, height, picture)
                parameters["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            with self._expect_data():
                answer = await self._send("Page.captureScreenshot", parameters)
        data: Base64 = answer["data"]
        return data

    def _frames_going(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Frames while inside, where they are ours to give."""
        return self._frames.going(0, STEADY) if self._frames else contextlib.nullcontext()

    async def _content_size(self) -> tuple[int, int]:
        """Size of the whole document in CSS pixels, never less than the viewport's."""
        size = (await self._send("Page.getLayoutMetrics", {}))["cssContentSize"]
        return math.ceil(size["width"]), math.ceil(size["height"])


def encoding(picture: "CaptureOptions") -> dict[str, Any]:
    """How a picture is encoded, as CDP has it."""
    if picture.format == "png":  # 40 instead of 150 ms of CPU (FACTS, "Capture")
        return {"format": "png", "optimizeForSpeed": True}
    return {"format": picture.format, "quality": picture.quality}


def max_side(form: str) -> int:
    """The most device pixels a side of a picture may have in an encoding."""
    return MAX_WEBP_SIDE if form == "webp" else MAX_SIDE


def check_size(width: int, height: int, picture: "CaptureOptions") -> None:
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
