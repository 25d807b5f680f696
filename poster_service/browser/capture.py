"""How a page that has loaded is captured: the viewport, the full page, or a PDF.

A module of its own because what Chrome does during a capture decides whether the picture is right.
It speaks CDP through the page's `Send` and its `Frames` only.
"""

import contextlib
import math
from typing import Any

from poster_service.browser.frames import STEADY, Frames, Send
from poster_service.browser.pieces import Base64
from poster_service.browser.printing import ExpectData, Printing
from poster_service.browser.types import CaptureOptions, max_side
from poster_service.errors import PageFailed, PictureTooLarge


class Capture:
    """Captures one page."""

    def __init__(self, send: Send, expect_data: ExpectData, frames: Frames | None) -> None:
        """Take what reaches the page.

        Args:
            send: Sends a command to the page and returns its answer, or raises.
            expect_data: While inside, an answer may be as large as a picture. Not to be used around
                commands whose answer the page decides, which could be of any size too.
            frames: None where Chrome has a display clock of its own.
        """
        self._send = send
        self._expect_data = expect_data
        self._frames = frames

    async def take(self, options: CaptureOptions) -> Base64:
        """The picture or PDF, in base64.

        Raises:
            PictureTooLarge: The full page is larger than allowed.
            PageFailed: Chrome could not.
        """
        if options.format == "pdf":
            async with self._frames_going():
                return await Printing(self._send, self._expect_data).pdf(options)
        data = await self._drawn(options) or await self._screenshot(options)
        if not data:
            raise PageFailed("Chrome returned no picture of the page")
        return data

    async def _drawn(self, options: CaptureOptions) -> Base64:
        """The picture out of a frame, in base64; empty where that is not possible.

        A frame shows the viewport, at scale 1 for any device scale factor.
        """
        if self._frames is None or options.full_page or options.scale != 1:
            return ""
        with self._expect_data():
            return await self._frames.picture(encoding(options))

    async def _screenshot(self, options: CaptureOptions) -> Base64:
        """The picture by Page.captureScreenshot, which waits for the display clock, in base64.

        A full page is a clip larger than the viewport, and not `captureBeyondViewport`. That option
        makes the viewport 1 x 1 for a moment and then restores it (measured in 156; a workaround
        for a bug of Chrome's own): media queries change and change back, `resize` fires,
        transitions start and are captured half way, and at times Chrome waits for a frame that
        never comes. All else that it does is to have Chrome record what lies outside the viewport,
        which `BLINK_SETTINGS` (spec.py) do from the start. So nothing is laid out again:
        `100vh` and fixed or sticky elements refer to the viewport. Compared on 31 pages, at scale 1
        and 2, pixels are the same.

        Raises:
            PictureTooLarge: The full page has more pixels than allowed.
        """
        parameters = encoding(options)
        async with self._frames_going():
            if options.full_page:
                width, height = await self._content_size()
                check_size(width, height, options)
                parameters["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            with self._expect_data():
                answer = await self._send("Page.captureScreenshot", parameters)
        data: Base64 = answer["data"]
        return data

    def _frames_going(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Frames while inside, where this Chrome leaves its display clock to us."""
        return self._frames.going(0, STEADY) if self._frames else contextlib.nullcontext()

    async def _content_size(self) -> tuple[int, int]:
        """Size of the whole document in CSS pixels, never less than the viewport's."""
        size = (await self._send("Page.getLayoutMetrics", {}))["cssContentSize"]
        return math.ceil(size["width"]), math.ceil(size["height"])


def encoding(options: CaptureOptions) -> dict[str, Any]:
    """The parameters of CDP that say how a picture is encoded."""
    if options.format == "png":  # 40 instead of 150 ms of CPU (docs/facts.md, "Capture")
        return {"format": "png", "optimizeForSpeed": True}
    return {"format": options.format, "quality": options.quality}


def check_size(width: int, height: int, options: CaptureOptions) -> None:
    """Refuse a full page that is larger than a picture may be.

    Raises:
        PictureTooLarge: With the size and the limits.
    """
    across, down = math.ceil(width * options.scale), math.ceil(height * options.scale)
    most = max_side(options.format)
    if max(across, down) > most or across * down > options.max_pixels:
        raise PictureTooLarge(
            f"the full page is {across} x {down} device pixels; at most {most} a side"
            f" and {options.max_pixels} in all are allowed"
        )
