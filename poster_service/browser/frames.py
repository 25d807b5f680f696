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
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from poster_service.browser.pieces import Base64
from poster_service.errors import RenderFailed

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

    @contextlib.asynccontextmanager
    async def going(self, after: float, every: float) -> AsyncIterator[None]:
        """While inside, draw a frame after `after` seconds and then every `every` seconds.

        After a normal exit no frame is under way; after an error one may be, since a render that
        was cut off does not wait for Chrome.
        """
        enough = asyncio.Event()
        ticking = asyncio.ensure_future(self._tick(enough, after, every))
        # After an error nothing waits for it any more.
        ticking.add_done_callback(_retrieve_exception)
        try:
            yield
        except BaseException:
            ticking.cancel()
            raise
        enough.set()
        await ticking

    async def _tick(self, enough: asyncio.Event, pause: float, every: float) -> None:
        """Draw until `enough` is set. The call that waits for the page reports its failure."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await enough.wait()
                    return
            try:
                await self.draw()
            except RenderFailed:
                return  # also after a frame that Chrome refused: the page goes on without frames
            pause = every


def _retrieve_exception(ticking: "asyncio.Task[None]") -> None:
    """Retrieve its exception, so that asyncio does not log it as never retrieved."""
    if not ticking.cancelled():
        ticking.exception()
