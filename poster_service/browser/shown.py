"""What of a page its frames show: the viewport in device pixels, or a part of the document.

Its own file because the picture of a frame (`frames.py`) is of what the surface shows, and this is
what makes the surface that of a picture. It is what Page.captureScreenshot does before it captures:
the page is laid out as before and notices nothing, only the surface has another size and shows
another part, painted larger (CDP: Emulation.setDeviceMetricsOverride with `scale` or `viewport`).
The pictures are the same, byte for byte (docs/facts.md, "A frame of any part").
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from poster_service.browser.area import Area
from poster_service.browser.frames import Send
from poster_service.browser.page_setup import viewport_size
from poster_service.browser.pipe import ProtocolError
from poster_service.browser.types import Viewport
from poster_service.errors import PageFailed


@dataclass(frozen=True)
class Shown:
    """What a surface shows of a page.

    Attributes:
        viewport: With which the page is set up.
        area: The part of the document; None for the viewport.
    """

    viewport: Viewport
    area: Area | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the surface, in device pixels."""
        if self.area is not None:
            return self.area.width, self.area.height
        scale = self.viewport.scale
        return round(self.viewport.width * scale), round(self.viewport.height * scale)

    @property
    def is_exact(self) -> bool:
        """Whether a frame of it has the pixels of Page.captureScreenshot.

        They are others where the viewport has no whole number of device pixels (measured).
        """
        scale = self.viewport.scale
        lengths = self.viewport.width * scale, self.viewport.height * scale
        return self.area is not None or all(length == round(length) for length in lengths)

    def metrics(self) -> dict[str, Any]:
        """The parameters of Emulation.setDeviceMetricsOverride."""
        _, metrics = viewport_size(self.viewport)
        part: dict[str, Any] = {"scale": self.viewport.scale}
        if self.area is not None:
            part = {"scale": 1, "viewport": self.area.clip()}
        return {**metrics, **part, "dontSetVisibleSize": True}


class Surface:
    """The surface of one page, which its frames are drawn on.

    Attributes:
        is_untouched: Whether it has shown nothing but the viewport as the page was set up. If so,
            any frame is of that; otherwise one may still be of what it showed before.
    """

    def __init__(self, send: Send) -> None:
        """`send` sends a command to the page and returns its answer, or raises."""
        self._send = send
        self._shown: Shown | None = None
        self.is_untouched = True

    async def show(self, shown: Shown) -> bool:
        """Have the next picture of a frame show it; False if this Chrome refuses.

        A picture of a surface comes with the first frame of that surface, and each new size makes a
        new one. Where the size stays, a frame may be drawn before the page has moved to the other
        part (measured: 20 of 120); so it has another size in between.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        if shown == self._shown:
            return True
        width, height = shown.size
        calls = [self._send("Emulation.setDeviceMetricsOverride", shown.metrics())]
        if not self.is_untouched or shown.size == (shown.viewport.width, shown.viewport.height):
            calls.append(self._resize(width, height + 1))
        self._shown, self.is_untouched = shown, False
        try:
            await asyncio.gather(*calls, self._resize(width, height))
        except PageFailed as error:
            if not isinstance(error.__cause__, ProtocolError):
                raise
            return False
        return True

    async def restore(self) -> None:
        """Have the surface show the viewport again, for another way to capture.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        self.is_untouched = False
        if self._shown is not None:
            viewport, self._shown = self._shown.viewport, None
            await self._send(*viewport_size(viewport))

    def take_over(self, before: "Surface") -> None:
        """Go on where another object for the same page's surface has left it."""
        self._shown, self.is_untouched = before._shown, before.is_untouched

    def note_set_up(self) -> None:
        """Note that the page's viewport was set, so that the surface shows it and nothing else."""
        self._shown = None

    def _resize(self, width: int, height: int) -> Awaitable[dict[str, Any]]:
        return self._send("Emulation.setVisibleSize", {"width": width, "height": height})
