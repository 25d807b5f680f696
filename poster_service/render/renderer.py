"""Paints a render job with Chrome; holds its one deadline, and every step takes what is left of it.

Cancelling `render` at any point frees its Chrome at once.
"""

import asyncio
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from poster_service import clock
from poster_service.browser.chrome import Chrome
from poster_service.browser.glyphs import SEEN_KINDS, code_points
from poster_service.browser.page import PosterPage
from poster_service.browser.pools import Pools
from poster_service.browser.types import ADDRESS, CaptureOptions, Route
from poster_service.buffers import Buffers, Share
from poster_service.errors import (
    Overloaded,
    PosterError,
    RenderFailed,
    RenderTimeout,
    Stopping,
)
from poster_service.fetch.client import Fetcher
from poster_service.fetch.http_cache import CacheLifetime
from poster_service.fetch.own import Scopes, Secrets
from poster_service.isolation import LEVELS, Isolation
from poster_service.later import Later
from poster_service.logs import event
from poster_service.render.admission import TIMED_OUT_QUEUED, Admission, Slot
from poster_service.render.conditions import check_conditions
from poster_service.render.encode import (
    check_encoder,
    checksum,
    encoded,
    is_encoded_again,
    memory_of,
    threads,
)
from poster_service.render.font_display import with_blocking_fonts
from poster_service.render.header_footer import PictureSource, with_pictures
from poster_service.render.job import Deadline, RenderJob
from poster_service.render.missing import add_findings
from poster_service.render.network_options import sent_headers
from poster_service.render.observations import Observations
from poster_service.render.options import RenderOptions
from poster_service.render.outputs import capture_all, naming_output
from poster_service.render.page_route import PageSources, page_route
from poster_service.render.page_run import PageRun
from poster_service.render.pdf_metadata import finished, first_sheet
from poster_service.render.picture import Picture, Rendered
from poster_service.render.report import RenderReport
from poster_service.render.request import Limits
from poster_service.render.request_rules import RequestRules
from poster_service.render.source import Url
from poster_service.render.status_options import Statuses
from poster_service.render.visit import Visit
from poster_service.render.warnings import Warnings
from poster_service.stats import Phases

logger = logging.getLogger(__name__)

#: How often the memory of a Chrome that renders is measured, in seconds; 0.4 ms of CPU each time.
MEMORY_SECONDS = 0.25
#: How long before its time is up a page is asked what its scripts have failed with, in seconds.
LISTEN_SECONDS = 0.2
#: From here on a checksum takes longer than half a millisecond.
LARGE_BYTES = 4 << 20


@dataclass(frozen=True)
class Painting:
    """What the steps of one render work with.

    Attributes:
        route: Answers what the page asks for.
        lifetime: For how long what the page got stays the same.
        share: Its part of the memory for bodies and pictures in transit.
        visit: Of a page on the web; None of any other.
    """

    job: RenderJob
    report: RenderReport
    route: Route
    lifetime: CacheLifetime
    share: Share
    visit: Visit | None = None


class Renderer:
    """Paints jobs; holds what all renders share.

    Attributes:
        last_success: When a render last succeeded, on the clock of `clock.py`; None before.
        renders: Renders that had a Chrome, by isolation level.
        chrome_version: Of the program, such as 156.0.8078.79; "" while nothing is traced.
    """

    def __init__(
        self,
        pools: Pools,
        admission: Admission,
        fetcher: Fetcher,
        limits: Limits,
        buffers: Buffers | None = None,
    ) -> None:
        self._pools = pools
        self._admission = admission
        self._fetcher = fetcher
        self._limits = limits
        self._buffers = buffers or Buffers()
        self.last_success: float | None = None
        self.chrome_version = ""
        self.renders: Counter[Isolation] = Counter(dict.fromkeys(LEVELS, 0))
        threads()  # created now and not in the first render: it reads the number of processors

    async def render(self, job: RenderJob, report: RenderReport) -> Rendered:
        """Paint one job.

        Args:
            job: What to paint.
            report: Filled in as the render goes on, whether it succeeds or not.

        Raises:
            LoadError: There is no room, or its turn came too late.
            CallerError: The page broke one of the conditions of `fail_on` or `strict`.
            RenderFailed: The page or its Chrome failed, or time ran out.
        """
        for place, output in enumerate(job.options.captured):
            with naming_output(job.options, place):
                await check_encoder(output.format)
        lifetime, visit = CacheLifetime(), visit_of(job)
        route = self._route(job, visit, report.warnings, lifetime)
        try:
            with self._buffers.open() as share:
                painting = Painting(job, report, route, lifetime, share, visit)
                async with self._turn(job, report.phases) as slot:
                    bodies = await self._paint(slot, painting)
                    slot.rendered()
                    bodies = await self._encoded(bodies, painting)
                report.size = sum(map(len, bodies))
        finally:
            add_findings(report.warnings, report.observations)
        check_conditions(job.options.conditions, report.warnings, report.observations)
        rendered = Rendered(
            await pictures_of(job.options, bodies),
            report.phases,
            lifetime.until,
            report.warnings.header(),
            lifetime.is_broken,
            report.warnings.is_reproducible,
            visit.page if visit else None,
            report.isolation,
        )
        self.last_success = clock.now()
        return rendered

    def too_late(self, deadline: Deadline) -> RenderTimeout:
        """The error of a render whose time was up while the page was painted."""
        return RenderTimeout(
            f"the render was not done in {deadline.milliseconds} ms; timeout_ms may be up to"
            f" {self._limits.max_timeout_ms}"
        )

    def _route(
        self, job: RenderJob, visit: Visit | None, warnings: Warnings, lifetime: CacheLifetime
    ) -> Route:
        """The route that answers what the job's page asks for."""
        template = job.template
        sources = PageSources(
            job.html,
            job.request.files,
            template.folder if template else None,
            template.files if template else None,
            job.context.folder,
            visit,
            RequestRules.of(job.options),
            scopes_of(job.options),
            Statuses.of_resources(job.options.fail_on_status),
        )
        route = page_route(sources, self._fetcher, warnings, lifetime, job.caller)
        return with_blocking_fonts(route, None if visit else job.html)

    @contextlib.asynccontextmanager
    async def _turn(self, job: RenderJob, phases: Phases) -> AsyncIterator[Slot]:
        """Wait for a slot; what is done with it inside is cut off when the time is up.

        The admission watches the deadline itself while the job waits, so that one that never had
        its turn gets "come back later" (503), and not that its page was too slow (504).
        """
        with phases.phase("queue"):
            slot = await self._slot(job)
        try:
            async with job.deadline.watch():
                yield slot
        except TimeoutError as error:
            raise self._out_of_time(slot, job.deadline) from error
        except RenderFailed as error:
            if self._admission.is_closed:  # its Chrome was taken away, it did not fail
                raise Stopping("the service stopped before the render was done") from error
            raise

    async def _slot(self, job: RenderJob) -> Slot:
        if not job.context.is_background:
            return await self._admission.acquire(job.caller, job.deadline.when)
        slot = await self._admission.acquire_background(job.caller)
        job.deadline.restart()
        return slot

    async def _paint(self, slot: Slot, painting: Painting) -> list[bytes]:
        """Lease a Chrome and take the pictures; undone in reverse order, however it is left."""
        job, phases = painting.job, painting.report.phases
        observations = painting.report.observations
        async with contextlib.AsyncExitStack() as undo:
            with phases.phase("lease"):
                leasing = self._pools.lease(job.isolation, slot.free, job.warm)
                lease = await undo.enter_async_context(leasing)
            painting.report.isolation = job.isolation
            painting.report.chrome_version = self.chrome_version
            self.renders[job.isolation] += 1
            page = lease.chrome.page
            page.meter(painting.share)
            watching = functools.partial(self._watch_memory, lease.chrome)
            undo.callback(Later(MEMORY_SECONDS, watching).cancel)
            undo.callback(_note_findings, page, observations)
            undo.callback(_listen_late(page, job.deadline).cancel)
            address = painting.visit.address if painting.visit else ADDRESS
            await PageRun(page, job, painting.report, painting.route).run(address)
            seen = page.findings.seen
            observations.notes += [(kind, {"reason": SEEN_KINDS[kind]}) for kind in seen]
            if page.findings.text and (missing := await self._missing_glyphs(page)):
                observations.notes.append(("missing_glyph", code_points(missing)))
            if (visit := painting.visit) is not None and visit.page is not None:
                visit.page = visit.page.titled(await page.findings.title())
            with phases.phase("capture"):
                capture = functools.partial(self._capture, page, painting)
                bodies = await capture_all(job, capture, painting.share)
            painting.report.device_pixels = page.pixels_taken
            # A file that is newer than the template's version must not stay for that version.
            lease.may_stay = job.warm is not None and not painting.lifetime.is_broken
            lease.evicts = bool(job.request.files) or page.has_fetched
            return bodies

    async def _capture(
        self, page: PosterPage, painting: Painting, capture: CaptureOptions
    ) -> bytes:
        """Take one picture of a page, or print it with its header and footer."""
        if capture.pdf.header or capture.pdf.footer:
            visited = painting.visit and painting.visit.page
            base = visited.url if visited else ADDRESS
            source = PictureSource(base, painting.route, painting.report.warnings)
            capture = await with_pictures(capture, source)
            notes = await page.overflows(capture)
            painting.report.observations.notes += [("margin", note) for note in notes]
        body, pdf = await page.capture(capture), capture.pdf
        first = await page.capture(first_sheet(capture)) if pdf.skip_first else b""
        if first or pdf.metadata:
            return await finished(body, first, pdf, painting.share)
        return body

    async def _encoded(self, bodies: list[bytes], painting: Painting) -> list[bytes]:
        """The pictures, encoded again where the job asks for that."""
        share, done = painting.share, list(bodies)
        for place, output in enumerate(painting.job.options.captured):
            if not is_encoded_again(output):
                continue
            with painting.report.phases.phase("encode"):
                others = sum(map(len, done)) - len(done[place])
                await share.fit(others + memory_of(done[place], output))
                done[place] = await encoded(done[place], output)
        return done

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
        fonts, text = self._pools.spec.fonts, page.findings.text
        suspects = fonts.suspects(text)
        if suspects is None:  # the fonts have not been read yet, or have changed
            suspects = await asyncio.to_thread(fonts.lacking, text)
        return await page.findings.undrawn(suspects) if suspects else ""

    async def _watch_memory(self, chrome: Chrome) -> None:
        """Have the page fail when its Chrome takes more memory than one may.

        This needs no privilege and measures four times a second, so a quick page may take more for
        a moment; a control group (POSTER_CHROME_MEMORY_MIB) is the hard limit.
        """
        while True:
            used = await asyncio.to_thread(chrome.memory)
            chrome.trim()
            if used > self._limits.memory:
                event(logger, logging.WARNING, "a page takes too much memory", mib=used >> 20)
                chrome.page.give_up(
                    f"the page takes more memory than the {self._limits.memory >> 20} MiB allowed"
                )
                return
            await asyncio.sleep(MEMORY_SECONDS)


def visit_of(job: RenderJob) -> Visit | None:
    """The visit of a job whose page is on the web; None of any other."""
    source, options = job.request.source, job.options
    if not isinstance(source, Url):
        return None
    return Visit(
        source.url,
        Secrets(
            tuple(sent_headers(options.headers, options.credentials).items()), bool(options.cookies)
        ),
        allows_errors=options.allow_error_status,
        runs_scripts=options.javascript,
        failing=Statuses.of_page(options.fail_on_status),
    )


def scopes_of(options: RenderOptions) -> Scopes | None:
    """The headers that go to addresses of the caller's choice; None if there are none."""
    given = options.scoped_headers
    pairs = [(one.expression, tuple(one.headers.items())) for one in given]
    return Scopes(pairs) if pairs else None


def _listen_late(page: PosterPage, deadline: Deadline) -> asyncio.TimerHandle:
    """Ask a page for its errors shortly before its time is up, since it cannot be asked later."""
    when = max(deadline.when - LISTEN_SECONDS, deadline.when - deadline.left / 2)
    return asyncio.get_running_loop().call_at(when, page.findings.ask_for_errors)


def _note_findings(page: PosterPage, observations: Observations) -> None:
    """Record what is known of a page, however its render ends."""
    observations.findings = page.witness.findings
    observations.script_errors = page.witness.script_errors


async def pictures_of(options: RenderOptions, bodies: Sequence[bytes]) -> tuple[Picture, ...]:
    """Each of the bytes with what it is, in the order of the outputs."""
    formats = [one.format for one in options.captured]
    etags = [await etag_of(body) for body in bodies]
    return tuple(map(Picture, formats, bodies, etags, options.names))


async def etag_of(body: bytes) -> str:
    """The strong ETag of a picture's bytes, quotes included (RFC 9110, 8.8.3)."""
    if len(body) < LARGE_BYTES:
        return f'"{checksum(body)}"'
    return f'"{await asyncio.to_thread(checksum, body)}"'
