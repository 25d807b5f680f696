"""Scrolls through a page as a reader does, so that it loads and shows what waits for that.

A page may load more each time, and never end; so the steps are counted, and time and height
limited.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Literal

from poster_service.browser.frames import STEADY
from poster_service.browser.page_access import PageAccess
from poster_service.browser.traffic import Traffic

#: Steps of one viewport's height, and how often a page may grow.
MOST_STEPS, MOST_GROWTHS = 500, 50
#: For how long a step waits for frames, and for what it began to load, in seconds.
FRAMES_SECONDS, LOAD_SECONDS = 1.0, 2.0
#: How soon after a frame the requests that it led to have come to the service, in seconds.
REQUEST_SECONDS = 0.03

#: Observers and listeners are called with the frame after the page has been scrolled.
_SCROLL = """((y) => new Promise((done) => {
    scrollTo({top: y, behavior: 'instant'});
    requestAnimationFrame(() => requestAnimationFrame(() => done(null)));
}))(%d)"""

#: Why a page was not scrolled to its end: it is too high, it took too many steps, or too long.
Unfinished = Literal["", "height", "steps", "time"]


@dataclass(frozen=True)
class Position:
    """Where a page is scrolled to, in CSS pixels.

    Attributes:
        top: From its upper edge.
        viewport: Height of what is seen.
        height: Of all of the page.
    """

    top: float
    viewport: float
    height: float


class Scrolling:
    """Scrolls one page.

    Attributes:
        has_grown: Whether the page became higher than it was.
    """

    def __init__(self, access: PageAccess, traffic: Traffic) -> None:
        """`traffic` counts what the page requests."""
        self._calls, self._world, self._frames = access.calls, access.world, access.frames
        self._traffic = traffic
        self.has_grown = False

    async def through(self, seconds: float, most_height: float) -> Unfinished:
        """Scroll from where the page is to its end, and back.

        Args:
            seconds: The time for it, after which no further step is begun.
            most_height: In CSS pixels; a page that grows beyond it is scrolled no further.

        Returns:
            Why the end was not reached; empty where it was.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        until = asyncio.get_running_loop().time() + seconds
        async with self._frames(0, STEADY):
            begin = await self._position()
            reason = await self._down(begin, until, most_height)
            await self._step(begin.top)
        return reason

    async def _down(self, begin: Position, until: float, most_height: float) -> Unfinished:
        """Scroll down by whole viewports, also if the page scrolls itself meanwhile."""
        growths, top, height = 0, begin.top, begin.height
        for _ in range(MOST_STEPS):
            if height > most_height and self.has_grown:
                return "height"
            if asyncio.get_running_loop().time() > until:
                return "time"
            is_last = top + begin.viewport >= height - 1
            if is_last:
                await self._wait_quiet()
            else:
                top += begin.viewport
                await self._step(top)
            here = await self._position()
            if here.height > height:
                self.has_grown, growths = True, growths + 1
            elif is_last:
                return ""
            if growths > MOST_GROWTHS:
                return "steps"
            height = here.height
        return "steps"

    async def _wait_quiet(self) -> None:
        """Wait until nothing has been loaded for a while; what comes may make the page grow."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOAD_SECONDS):
                await self._traffic.quiet(0)

    async def _step(self, top: float) -> None:
        """Scroll to a place and wait for frames, and for what they began to load."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FRAMES_SECONDS):
                await self._world.value(_SCROLL % top)
        await asyncio.sleep(REQUEST_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOAD_SECONDS):
                await self._traffic.quiet(0, REQUEST_SECONDS)

    async def _position(self) -> Position:
        metrics = await self._calls.send("Page.getLayoutMetrics")
        layout, size = metrics["cssLayoutViewport"], metrics["cssContentSize"]
        return Position(layout["pageY"], layout["clientHeight"], size["height"])
