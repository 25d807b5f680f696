"""From a page that is set up to one that can be captured: added to, loaded, waited for.

Every step takes its time from the render's one deadline. With `on_timeout: capture` the steps that
may take long end a little before it, and what is there by then is captured.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from poster_service.browser.area import most_height
from poster_service.browser.page import PosterPage
from poster_service.browser.types import Awaited, Look, Route
from poster_service.errors import RenderTimeout
from poster_service.render.insertions import Insertions
from poster_service.render.job import Deadline, RenderJob
from poster_service.render.network_options import cookies_of
from poster_service.render.options import RenderOptions
from poster_service.render.page_options import WaitFor
from poster_service.render.report import RenderReport

#: The part of a render's time that is left for the capture when a page is given up, and the least
#: of it, in seconds; never more than half of what is left when the page begins to load.
RESERVE, MIN_RESERVE = 0.1, 1.0
#: The part of the time that is left in which style sheets must come, if the page may be given up.
SHEETS_SHARE = 1 / 3
#: The part of the time that is left in which a page is scrolled through.
SCROLL_SHARE = 1 / 2
#: For how long fonts and pictures are waited for where the load event is not, in seconds.
PATIENCE = 1.0
#: The part of the time that is left for fonts and pictures of a page that was given up.
LAST_PATIENCE = 1 / 3


class PageRun:
    """Brings one page to where it can be captured."""

    def __init__(
        self, page: PosterPage, job: RenderJob, report: RenderReport, route: Route
    ) -> None:
        self._page, self._job, self._report, self._route = page, job, report, route
        self._options = job.options
        self._may_give_up = job.options.on_timeout == "capture"
        #: What the page is being waited for.
        self._stage = ""

    async def run(self, address: str) -> None:
        """Do all of it.

        Args:
            address: Of the page.

        Raises:
            InvalidField: A selector is none.
            WaitFailed: The expression waited for fails.
            TimeoutError: The time is nearly up, and there is nothing to capture.
            RenderFailed: The page or its Chrome failed.
        """
        phases, page = self._report.phases, self._page
        with phases.phase("setup"):
            await self._prepare(address)
        alarm = asyncio.timeout_at(_last_moment(self._job.deadline) if self._may_give_up else None)
        try:
            async with alarm:
                await self._bring_up(address)
        except TimeoutError:
            if not (alarm.expired() and page.loading.has_document):
                raise
            self._report.observations.notes.append(("timeout", {"reason": self._stage}))
            await page.loading.stop()
        is_patient = self._options.wait_until in ("load", "networkidle0")
        patience = None if is_patient else PATIENCE
        if alarm.expired():
            patience = self._job.deadline.left * LAST_PATIENCE
        with phases.phase("wait"):
            await page.look.finish()
            await page.wait_painted(is_static=self._job.is_static, patience=patience)
            await page.look.freeze()

    async def _prepare(self, address: str) -> None:
        """Set the page up, with all that must be there before it loads."""
        options, page = self._options, self._page
        await page.set_up(self._job.page)
        if options.cookies:
            await page.set_cookies(cookies_of(options.cookies, address))
        await page.look.check_selectors(dict(_selectors(options)))
        if not (options.styles or options.hide or options.freeze or _event(options)):
            return
        limit = self._job.deadline.left * SHEETS_SHARE if self._may_give_up else None
        sheets = await self._insertions(address).sheets(options.styles, limit)
        await page.look.add(Look(sheets, options.hide, options.freeze, _event(options)))

    async def _bring_up(self, address: str) -> None:
        """Load the page, run what was added, wait for what was asked."""
        options, page, until = self._options, self._page, self._options.wait_until
        with self._phase("load", "load"):
            await page.loading.load(
                self._route,
                address,
                until,
                is_static=self._job.is_static,
                referrer=options.referrer or "",
            )
        if options.scripts:
            with self._phase("wait", "scripts"):
                await page.waits.run(await self._insertions(address).scripts(options.scripts))
        if options.scroll_page:
            with self._phase("wait", "scroll_page"):
                await self._scroll()
        if options.wait_for is not None:
            with self._phase("wait", "wait_for"):
                await self._wait_for(options.wait_for)
        if options.delay_ms:
            with self._phase("wait", "delay"):
                await page.waits.pause(options.delay_ms / 1000)

    async def _wait_for(self, given: WaitFor) -> None:
        """Wait for what the page must have or say, in the time that there is for that.

        Raises:
            RenderTimeout: It does not come in time, and the page is not to be captured without it.
        """
        limit = None if given.timeout_ms is None else given.timeout_ms / 1000
        try:
            async with asyncio.timeout(limit) as alarm:
                await self._page.waits.wait_for(awaited_of(self._options))
        except TimeoutError as error:
            if not alarm.expired():
                raise
            if not self._may_give_up:
                message = f"what is waited for has not come in {given.timeout_ms} ms"
                raise RenderTimeout(message) from error
            self._report.observations.notes.append(("timeout", {"reason": self._stage}))

    async def _scroll(self) -> None:
        """Scroll through the page, in a part of the time that is left."""
        job = self._job
        most = max(most_height(job.page.width, one) for one in job.captures)
        reason = await self._page.scrolling.through(job.deadline.left * SCROLL_SHARE, most)
        if reason:
            self._report.observations.notes.append(("endless_scroll", {"reason": reason}))

    def _insertions(self, address: str) -> Insertions:
        return Insertions(self._route, address, self._report.warnings)

    @contextmanager
    def _phase(self, phase: str, stage: str) -> Iterator[None]:
        self._stage = stage
        with self._report.phases.phase(phase):
            yield


def _last_moment(deadline: Deadline) -> float:
    """When a page is given up, on the event loop's clock."""
    reserve = max(MIN_RESERVE, RESERVE * deadline.milliseconds / 1000)
    return deadline.when - min(reserve, deadline.left / 2)


def awaited_of(options: RenderOptions) -> Awaited:
    """What the page is waited for, as the options have it."""
    given = options.wait_for
    if given is None:
        return Awaited()
    return Awaited(
        selector=given.selector or "",
        state=given.state,
        expression=given.expression or "",
        event=given.event or "",
    )


def _event(options: RenderOptions) -> str:
    return options.wait_for.event or "" if options.wait_for else ""


def _selectors(options: RenderOptions) -> Iterator[tuple[str, str]]:
    """Every selector, by the name of its option."""
    yield from ((f"hide.{at}", one) for at, one in enumerate(options.hide))
    for place, output in enumerate(options.captured):
        above = f"outputs.{place}." if options.outputs else ""
        if output.selector is not None:
            yield f"{above}selector", output.selector
        yield from ((f"{above}elements.{at}", one) for at, one in enumerate(output.elements))
    if options.wait_for is not None and options.wait_for.selector:
        yield "wait_for.selector", options.wait_for.selector
