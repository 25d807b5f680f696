"""Drives Chrome's display clock: a frame is drawn when it is of use, and none in between.

On its own clock Chrome repaints a page sixty times a second while it is still loading, and a
screenshot waits for the next tick. Headless-shell lets its client drive the clock (CDP:
Target.createTarget with `enableBeginFrameControl`, HeadlessExperimental.beginFrame); full Chromium
does not. That saves the waiting, a sixth of a poster's time (measured), and no CPU.

A page that paints by frames (requestAnimationFrame, lazy pictures, animations) must have them, so
they come while it loads and settles, only more slowly.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from poster_service.browser.pieces import Base64
from poster_service.errors import RenderFailed
from poster_service.later import Later

#: Switches that headless-shell needs for this; the second makes a frame wait until it is complete.
SWITCHES = ("--enable-begin-frame-control", "--run-all-compositor-stages-before-draw")
#: A page that has not loaded after so many seconds may need frames to go on.
PATIENCE = 0.05
#: The same of a static page, while it loads and while it settles: only a late font needs a frame,
#: and each is painted for nothing.
STILL = 0.25
#: Time between two frames of such a page, in seconds.
SLOW = 1 / 30
#: Time between two frames of a page that settles, in seconds: as on a display.
STEADY = 1 / 60
#: A frame in which nothing has changed may come without a screenshot; so many frames are tried.
TRIES = 3
#: So many more, `STEADY` apart, where the page must draw another part of it first: a second.
LATE_TRIES = 60

Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class Frames:
    """Draws the frames of one page, one at a time."""

    def __init__(self, send: Send) -> None:
        """`send` sends a command to the page and returns its answer, or raises."""
        self._send = send
        self._one_at_a_time = asyncio.Lock()

    async def draw(self, screenshot: dict[str, Any] | None = None) -> Base64:
        """Have the page draw a frame; returns its picture in base64, "" without one.

        Args:
            screenshot: Encoding of the picture (CDP: ScreenshotParams); None for no picture.
        """
        parameters = {} if screenshot is None else {"screenshot": screenshot}
        async with self._one_at_a_time:
            answer = await self._send("HeadlessExperimental.beginFrame", parameters)
        data: Base64 = answer.get("screenshotData", "")
        return data

    async def picture(self, screenshot: dict[str, Any], *, is_moved: bool = False) -> Base64:
        """What the surface shows as of the next frame, in base64; empty if Chrome returns none.

        Args:
            screenshot: As of `draw`.
            is_moved: Whether the page must draw another part first, before there is a picture.
        """
        for n in range(TRIES + LATE_TRIES if is_moved else TRIES):
            if n >= TRIES:
                await asyncio.sleep(STEADY)
            if data := await self.draw(screenshot):
                return data
        return ""

    def going(self, after: float, every: float) -> "Going":
        """While inside, draw a frame after `after` seconds and then every `every` seconds.

        After a normal exit no frame is under way; after an error one may be, since a render that
        was cut off does not wait for Chrome.
        """
        return Going(self, after, every)


class Going:
    """Draws frames of a page while inside; see `Frames.going`."""

    def __init__(self, frames: Frames, after: float, every: float) -> None:
        self._frames, self._after, self._every = frames, after, every
        self._enough = asyncio.Event()
        self._ticking: Later | None = None

    async def __aenter__(self) -> None:
        """Begin."""
        self._ticking = Later(self._after, self._tick)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End; without an error, wait until no frame is under way."""
        if self._ticking is None:
            return
        task = self._ticking.task
        if task is None or kind is not None:
            self._ticking.cancel()
        else:
            self._enough.set()
            await task

    async def _tick(self) -> None:
        """Draw until there is enough. The call that waits for the page reports its failure."""
        while not self._enough.is_set():
            try:
                await self._frames.draw()
            except RenderFailed:
                return  # also after a frame that Chrome refused: the page goes on without frames
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._enough.wait()
