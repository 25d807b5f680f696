"""Paints a render job with Chrome; holds its one deadline, and every step takes what is left of it.

Cancelling `render` at any point frees its Chrome at once.
"""

import asyncio
import contextlib
import hashlib
import logging
from dataclasses import dataclass

from poster_service import clock
from poster_service.browser.chrome import Chrome
from poster_service.browser.glyphs import SEEN_KINDS, code_points
from poster_service.browser.page import PosterPage
from poster_service.browser.pool import Pool
from poster_service.browser.types import Route
from poster_service.buffers import Buffers, Share
from poster_service.errors import (
    FetchDenied,
    FetchFailed,
    Overloaded,
    PosterError,
    RenderFailed,
    RenderTimeout,
    Stopping,
)
from poster_service.fetch.client import Fetcher
from poster_service.fetch.http_cache import CacheLifetime
from poster_service.logs import event
from poster_service.render.admission import TIMED_OUT_QUEUED, Admission, Slot
from poster_service.render.encode import compressed, size_of_rows, threads
from poster_service.render.font_display import with_blocking_fonts
from poster_service.render.job import Deadline, RenderJob
from poster_service.render.missing import add_findings
from poster_service.render.observations import Observations
from poster_service.render.options import CONTENT_TYPES
from poster_service.render.page_route import PageSources, page_route
from poster_service.render.report import RenderReport
from poster_service.render.request import Limits
from poster_service.render.warnings import Warnings
from poster_service.stats import Phases

logger = logging.getLogger(__name__)

#: How often the memory of a Chrome that renders is measured, in seconds; 0.9 ms of CPU each time.
MEMORY_SECONDS = 0.25
#: How long before its time is up a page is asked what its scripts have failed with, in seconds.
LISTEN_SECONDS = 0.2
#: Addresses that the error of a `strict` render names; the header has more.
MAX_NAMED = 8
#: From here on hashing takes longer than a millisecond.
LARGE_BYTES = 1 << 20


@dataclass(frozen=True)
class Rendered:
    """A finished picture.

    Attributes:
        body: Its bytes.
        content_type: Its media type.
        phases: Where the time went.
        etag: Of the bytes: equal bytes have the same, whichever render they come from.
        until: Until then, on the monotonic clock, what the page fetched stays the same, as its
            servers declare; infinite where it fetched nothing.
        warnings: What the page did not get, as the value of `X-Render-Warnings`; often empty.
        is_broken: Whether a server answered with an error instead of what the page asked for.
        is_reproducible: Whether the page has these warnings, if any, each time.
    """

    body: bytes
    content_type: str
    phases: Phases
    etag: str
    until: float
    warnings: str = ""
    is_broken: bool = False
    is_reproducible: bool = True


@dataclass(frozen=True)
class Painting:
    """What the steps of one render work with.

    Attributes:
        route: Answers what the page asks for.
        share: Its part of the memory for bodies and pictures in transit.
    """

    job: RenderJob
    report: RenderReport
    route: Route
    share: Share


class Renderer:
    """Paints jobs; holds what all renders share.

    Attributes:
        last_success: When a render last succeeded, on the clock of `clock.py`; None before.
    """

    def __init__(
        self,
        pool: Pool,
        admission: Admission,
        fetcher: Fetcher,
        limits: Limits,
        buffers: Buffers | None = None,
    ) -> None:
        self._pool = pool
        self._admission = admission
        self._fetcher = fetcher
        self._limits = limits
        self._buffers = buffers or Buffers()
        self.last_success: float | None = None
        threads()  # created now and not in the first render: it reads the number of processors

    async def render(self, job: RenderJob, report: RenderReport) -> Rendered:
        """Paint one job.

        Args:
            job: What to paint.
            report: Filled in as the render goes on, whether it succeeds or not.

        Raises:
            LoadError: There is no room, or its turn came too late.
            CallerError: `strict` was asked for, and the page did not get all that it asked for.
            RenderFailed: The page or its Chrome failed, or time ran out.
        """
        lifetime = CacheLifetime()
        route = self._route(job, report.warnings, lifetime)
        try:
            with self._buffers.open() as share:
                body = await self._within_deadline(Painting(job, report, route, share))
                report.size = len(body)
        finally:
            add_findings(report.warnings, report.observations)
        if job.options.strict:
            check_whole(report.warnings)
        rendered = Rendered(
            body,
            CONTENT_TYPES[job.options.format],
            report.phases,
            await etag_of(body),
            lifetime.until,
            report.warnings.header(),
            lifetime.is_broken,
            report.warnings.is_reproducible,
        )
        self.last_success = clock.now()
        return rendered

    def too_late(self, deadline: Deadline) -> RenderTimeout:
        """The error of a render whose time was up while the page was painted."""
        return RenderTimeout(
            f"the render was not done in {deadline.milliseconds} ms; more can be asked for with"
            f" timeout_ms, up to {self._limits.max_timeout_ms}"
        )

    def _route(self, job: RenderJob, warnings: Warnings, lifetime: CacheLifetime) -> Route:
        """The route that answers what the job's page asks for."""
        template = job.template
        sources = PageSources(
            job.html,
            job.request.files,
            template.folder if template else None,
            template.files if template else None,
            job.context.folder,
        )
        route = page_route(sources, self._fetcher, warnings, lifetime, job.caller)
        return with_blocking_fonts(route, job.html)

    async def _within_deadline(self, painting: Painting) -> bytes:
        """Wait for a slot, paint and compress, until the time is up.

        The admission watches the deadline itself while the job waits, so that one that never had
        its turn gets "come back later" (503), and not that its page was too slow (504).
        """
        job, phases = painting.job, painting.report.phases
        with phases.phase("queue"):
            slot = await self._admission.acquire(job.caller, job.deadline.when)
        try:
            async with job.deadline.watch():
                body = await self._paint(slot, painting)
                slot.rendered()
                return await self._compressed(body, painting)
        except TimeoutError as error:
            raise self._out_of_time(slot, job.deadline) from error
        except RenderFailed as error:
            if self._admission.is_closed:  # its Chrome was taken away, it did not fail
                raise Stopping("the service stopped before the render was done") from error
            raise

    async def _paint(self, slot: Slot, painting: Painting) -> bytes:
        """Lease a Chrome and take the picture; undone in reverse order, however it is left."""
        job, phases = painting.job, painting.report.phases
        observations = painting.report.observations
        async with contextlib.AsyncExitStack() as undo:
            with phases.phase("lease"):
                lease = await undo.enter_async_context(self._pool.lease(slot.free))
            page = lease.chrome.page
            page.meter(painting.share)
            undo.callback(asyncio.ensure_future(self._watch_memory(lease.chrome)).cancel)
            undo.callback(_note_findings, page, observations)
            undo.callback(_listen_late(page, job.deadline).cancel)
            with phases.phase("setup"):
                await page.set_up(job.capture)
            with phases.phase("load"):
                await page.load(painting.route, is_static=job.is_static)
            with phases.phase("wait"):
                await page.wait_painted(is_static=job.is_static)
            observations.notes += [(kind, {"reason": SEEN_KINDS[kind]}) for kind in page.seen]
            if page.text and (missing := await self._missing_glyphs(page)):
                observations.notes.append(("missing_glyph", code_points(missing)))
            with phases.phase("capture"):
                return await page.capture(job.capture)

    async def _compressed(self, body: bytes, painting: Painting) -> bytes:
        """The picture, compressed again where the job asks for that."""
        painting.share.set(len(body))
        compression = painting.job.options.png_compression
        if compression == "fast":
            return body
        with painting.report.phases.phase("encode"):
            await painting.share.fit(2 * len(body) + size_of_rows(body))
            return await compressed(body, compression)

    def _out_of_time(self, slot: Slot, deadline: Deadline) -> PosterError:
        """The error of a render that waited too long, or whose page is too slow."""
        lost_in_line = slot.waited_in_vain
        slot.rendered()
        if not lost_in_line:
            return self.too_late(deadline)
        return Overloaded(TIMED_OUT_QUEUED, self._admission.retry_after())

    async def _missing_glyphs(self, page: PosterPage) -> str:
        """The characters that the page displays as boxes.

        The page is asked again only where no installed font has one that it may show.
        """
        fonts = self._pool.spec.fonts
        suspects = fonts.suspects(page.text)
        if suspects is None:  # the fonts have not been read yet, or have changed
            suspects = await asyncio.to_thread(fonts.lacking, page.text)
        return await page.undrawn(suspects) if suspects else ""

    async def _watch_memory(self, chrome: Chrome) -> None:
        """Have the page fail when its Chrome takes more memory than one may.

        This needs no privilege and measures four times a second, so a quick page may take more for
        a moment; a control group (POSTER_CHROME_MEMORY_MIB) is the hard limit.
        """
        while True:
            await asyncio.sleep(MEMORY_SECONDS)
            used = await asyncio.to_thread(chrome.memory)
            chrome.trim()
            if used > self._limits.memory:
                event(logger, logging.WARNING, "a page takes too much memory", mib=used >> 20)
                chrome.page.give_up(
                    f"the page takes more memory than the {self._limits.memory >> 20} MiB allowed"
                )
                return


def _listen_late(page: PosterPage, deadline: Deadline) -> asyncio.TimerHandle:
    """Ask a page for its errors shortly before its time is up, since it cannot be asked later."""
    when = max(deadline.when - LISTEN_SECONDS, deadline.when - deadline.left / 2)
    return asyncio.get_running_loop().call_at(when, page.listen)


def _note_findings(page: PosterPage, observations: Observations) -> None:
    """Record what is known of a page, however its render ends."""
    observations.findings = page.witness.findings
    observations.script_errors = page.witness.script_errors


async def etag_of(body: bytes) -> str:
    """The strong ETag of a picture's bytes, quotes included (RFC 9110, 8.8.3)."""
    if len(body) < LARGE_BYTES:
        return _etag(body)
    return await asyncio.to_thread(_etag, body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'  # half the time of BLAKE2 (measured)


def check_whole(warnings: Warnings) -> None:
    """Check for `strict` that the page got all that it asked for.

    Raises:
        FetchDenied: A rule kept something from it; the addresses are named.
        FetchFailed: Something did not come or cannot be used; the addresses are named.
    """
    missing = warnings.missing()
    if not missing:
        return
    named = [f"{one.url or 'no address'} ({one.reason})" for one in missing[:MAX_NAMED]]
    more = len(missing) - len(named) + warnings.more
    listed = ", ".join(named) + (f" and {more} more" if more else "")
    if any(one.verb == "denied" for one in missing):
        raise FetchDenied(f"the page asked for what it may not have: {listed}")
    raise FetchFailed(f"the page did not get what it asked for: {listed}")
