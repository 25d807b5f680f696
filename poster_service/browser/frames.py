"""Chrome's display clock, ticked by us: a frame where one is of use, and none in between.

On its own clock Chrome paints a page anew sixty times a second while it is still loading, and a
screenshot waits for the next tick. Headless-shell gives the clock away (CDP: Target.createTarget
with `enableBeginFrameControl`, HeadlessExperimental.beginFrame); full Chromium does not. That saves
the waiting, a sixth of a poster's time (measured), and no CPU.

A page that paints by frames (requestAnimationFrame, lazy pictures, animations) must have them, so
they come while it loads and settles, only more slowly.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from poster_service.browser.pieces import Base64
from poster_service.errors import RenderFailed

#: What headless-shell needs to be told at its start; the second makes a frame wait for all of it.
SWITCHES = ("--enable-begin-frame-control", "--run-all-compositor-stages-before-draw")
#: A page that has not loaded by then may need frames to go on, in seconds.
PATIENCE = 0.05
#: Between two frames of such a page, in seconds.
SLOW = 1 / 30
#: Between two frames of a page that settles, in seconds: a display's own.
STEADY = 1 / 60
#: Frames in which nothing has changed give no screenshot; so many are tried.
TRIES = 3

Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class Frames:
    """The frames of one page, one at a time."""

    def __init__(self, send: Send) -> None:
        """`send` sends a command to the page and returns its answer, or raises."""
        self._send = send
        self._one_at_a_time = asyncio.Lock()

    async def draw(self, screenshot: dict[str, Any] | None = None) -> Base64:
        """Have the page draw a frame; its picture in base64 if asked for and if there is one."""
        wanted = {} if screenshot is None else {"screenshot": screenshot}
        async with self._one_at_a_time:
            answer = await self._send("HeadlessExperimental.beginFrame", wanted)
        data: Base64 = answer.get("screenshotData", "")
        return data

    async def picture(self, screenshot: dict[str, Any]) -> Base64:
        """The viewport as it is in the next frame, in base64; empty if Chrome gives none."""
        for _ in range(TRIES):
            if data := await self.draw(screenshot):
                return data
        return ""

    @contextlib.asynccontextmanager
    async def going(self, after: float, every: float) -> AsyncIterator[None]:
        """While inside, a frame after so many seconds and then every so many.

        Left normally, no frame is under way any more; left with an error it may be, since whoever
        is cut off does not wait for Chrome.
        """
        enough = asyncio.Event()
        ticking = asyncio.ensure_future(self._tick(enough, after, every))
        ticking.add_done_callback(_look_at)  # after an error nobody waits for it any more
        try:
            yield
        except BaseException:
            ticking.cancel()
            raise
        enough.set()
        await ticking

    async def _tick(self, enough: asyncio.Event, pause: float, every: float) -> None:
        """Draw until it is enough. A page that fails meanwhile is told of by what waits for it."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await enough.wait()
                    return
            try:
                await self.draw()
            except RenderFailed:
                return  # also after a frame that Chrome refused: the page goes on with fewer
            pause = every


def _look_at(ticking: "asyncio.Task[None]") -> None:
    """Retrieve what ended it, so that it is not reported as lost."""
    if not ticking.cancelled():
        ticking.exception()
