"""One render from job to bytes; holds the one deadline, and every step takes what is left of it.

The caller need not be an HTTP request. Cancelling `render` at any point frees its Chrome at once.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from poster_service import clock
from poster_service.browser.chrome import Chrome
from poster_service.browser.glyphs import SEEN_KINDS, code_points
from poster_service.browser.page import CaptureOptions, PosterPage, Route
from poster_service.browser.pool import Pool
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
from poster_service.render.admission import Admission, Slot
from poster_service.render.encode import compressed, size_of_rows, threads
from poster_service.render.font_display import with_blocking_fonts
from poster_service.render.job import (
    CONTENT_TYPES,
    DEFAULT_HEIGHT,
    DEFAULT_QUALITY,
    DEFAULT_WIDTH,
    Limits,
    RenderJob,
    check_pixels,
)
from poster_service.render.markup import Templates
from poster_service.render.missing import add_findings
from poster_service.render.observations import Observations
from poster_service.render.page_route import PageSources, page_route
from poster_service.render.template import Template, check_files
from poster_service.render.warnings import Warnings
from poster_service.stats import Done, Phases, ignore

logger = logging.getLogger(__name__)

#: How often the memory of a Chrome that renders is looked at, in seconds; 0.9 ms of CPU each time.
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
        until: As long as this, on the monotonic clock, what the page fetched stays the same by its
            servers' own word; infinite where it fetched nothing.
        warnings: What the page went without, as the value of `X-Render-Warnings`; often empty.
        is_broken: Whether a server had an error instead of what the page asked for.
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
class Work:
    """A job with everything found and filled in that needs no Chrome; equal work, equal pictures.

    Attributes:
        template: None when the HTML is the caller's own.
        html: The page as Chrome gets it.
        picture: The look, with every default filled in.
        beside: The folder of a page that is a local file, for its relative addresses. No caller
            over HTTP has one.
    """

    job: RenderJob
    template: Template | None
    html: str
    picture: CaptureOptions
    beside: Path | None = None


class Deadline:
    """When a render must be done; may be moved while it runs.

    Attributes:
        when: On the loop's clock.
        milliseconds: What that was in the beginning, for the caller.
    """

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds
        self.when = asyncio.get_running_loop().time() + milliseconds / 1000
        self._alarm: asyncio.Timeout | None = None

    @property
    def left(self) -> float:
        """Seconds until then, 0 afterwards."""
        return max(0.0, self.when - asyncio.get_running_loop().time())

    @property
    def is_watched(self) -> bool:
        """Whether something runs that ends then."""
        return self._alarm is not None

    def move(self, when: float) -> None:
        """Another time, unless it is too late for that."""
        if self._alarm is not None:
            if self._alarm.expired():
                return
            self._alarm.reschedule(when)
        self.when = when

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """End what is inside when the time is up, with a TimeoutError."""
        async with asyncio.timeout_at(self.when) as alarm:
            self._alarm = alarm
            try:
                yield
            finally:
                self._alarm = None


class Renderer:
    """Takes jobs, gives pictures; holds what all renders share."""

    def __init__(
        self,
        pool: Pool,
        admission: Admission,
        templates: Templates,
        fetcher: Fetcher,
        limits: Limits,
        observe: Callable[[Done], None] = ignore,
        buffers: Buffers | None = None,
    ) -> None:
        self._buffers = buffers or Buffers()
        self._pool = pool
        self._admission = admission
        self._templates = templates
        self._fetcher = fetcher
        self._limits = limits
        self._observe = observe
        threads()  # made now and not in the first render: it reads how many processors there are
        #: When a render last succeeded, on the clock of `clock.py`; None before the first.
        self.last_success: float | None = None

    async def render(
        self, job: RenderJob, caller: str = "", beside: Path | None = None
    ) -> Rendered:
        """Render one job.

        Args:
            job: What to render.
            caller: Whose it is; an opaque name by which slots are shared out, told in the log.
            beside: The folder of a page that is a local file.

        Raises:
            CallerError: The job cannot be served as it is.
            LoadError: There is no room.
            RenderFailed: The page or its Chrome failed, or time ran out.
        """
        deadline = self.deadline(job)
        work = await asyncio.to_thread(self.prepare, job) if job.template else self.prepare(job)
        return await self.perform(replace(work, beside=beside), caller, deadline)

    def prepare(self, job: RenderJob) -> Work:
        """All that needs no Chrome; reads the disk for a template, so call it from a thread then.

        Raises:
            CallerError: The job cannot be served as it is.
            PageFailed: Its template is at fault.
        """
        template, html = self._markup(job)
        return Work(job, template, html, self._picture(job, template))

    def deadline(self, job: RenderJob) -> Deadline:
        """The job's own, from now on."""
        return Deadline(job.timeout_ms or self._limits.timeout_ms)

    async def perform(
        self,
        work: Work,
        caller: str,
        deadline: Deadline,
        keep: Callable[[Rendered], str] = lambda _: "",
        *,
        is_static: bool = False,
    ) -> Rendered:
        """Render what was prepared.

        Args:
            work: What to render.
            caller: As of `render`.
            deadline: When it must be done.
            keep: Told of the finished picture; gives the cache's word, for the log.
            is_static: Whether nothing on the page runs or moves, as far as is known.

        Raises:
            PosterError: As `render`.
        """
        job, picture, warnings, shelf = work.job, work.picture, Warnings(), CacheLifetime()
        folder, files = (
            (work.template.folder, work.template.files) if work.template else (None, None)
        )
        sources = PageSources(work.html, job.assets, folder, files, work.beside)
        route = page_route(sources, self._fetcher, warnings, shelf, caller)
        route = with_blocking_fonts(route, work.html)
        observations = Observations()
        cache = ""
        phases, begin, outcome, body = Phases(), time.monotonic(), "ok", b""
        try:
            try:
                with self._buffers.open() as share:
                    body = await self._within_deadline(
                        work,
                        deadline,
                        caller,
                        route,
                        phases,
                        observations,
                        share,
                        is_static=is_static,
                    )
            finally:
                add_findings(warnings, observations)
            if job.strict:
                check_whole(warnings)
            etag = await etag_of(body)
            rendered = Rendered(
                body,
                CONTENT_TYPES[job.format],
                phases,
                etag,
                shelf.until,
                warnings.header(),
                shelf.is_broken,
                warnings.is_reproducible,
            )
            cache = keep(rendered)
        except PosterError as error:
            outcome = error.code
            error.server_timing, error.warnings = phases.server_timing(), warnings.header()
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception:
            outcome = PosterError.code  # a fault of ours
            raise
        finally:
            seconds = time.monotonic() - begin
            done = Done(
                outcome,
                job.format,
                seconds,
                phases.milliseconds,
                len(body),
                observations.script_errors,
            )
            self._observe(done)
            self._log(job, caller, picture, done, warnings, cache)
        self.last_success = clock.now()
        return rendered

    def _markup(self, job: RenderJob) -> tuple[Template | None, str]:
        if job.template is None:
            return None, job.html or ""
        template = self._templates.find(job.template)
        check_files(template, job.assets)
        return template, self._templates.render(template, job.data or {})

    def _picture(self, job: RenderJob, template: Template | None) -> CaptureOptions:
        """The job with every default filled in: the caller's word, the template's, ours."""
        width = job.width or (template and template.width) or DEFAULT_WIDTH
        height = job.height or (template and template.height) or DEFAULT_HEIGHT
        check_pixels(job, width, height, self._limits)
        lossy = job.format in ("jpeg", "webp")
        return CaptureOptions(
            width=width,
            height=height,
            scale=job.device_scale_factor,
            format=job.format,
            quality=(job.quality or DEFAULT_QUALITY) if lossy else None,
            full_page=job.full_page,
            background=job.colour(),
            max_pixels=self._limits.max_pixels,
            max_messages=self._limits.max_messages,
            max_message_bytes=self._limits.max_message_bytes,
        )

    async def _within_deadline(
        self,
        work: Work,
        deadline: Deadline,
        caller: str,
        route: Route,
        phases: Phases,
        observations: Observations,
        share: Share,
        *,
        is_static: bool,
    ) -> bytes:
        """A slot, then the painting, until the time is up.

        The gate watches the deadline itself while the job waits, so that one who never had its
        turn is told so (503, come back), and not that its page was too slow (504).
        """
        with phases.phase("queue"):
            slot = await self._admission.acquire(caller, deadline.when)
        try:
            async with deadline.watch():
                body = await self._paint(
                    slot,
                    work.picture,
                    route,
                    phases,
                    observations,
                    deadline,
                    share,
                    is_static=is_static,
                )
                slot.rendered()
                share.set(len(body))
                if work.job.png_compression == "fast":
                    return body
                with phases.phase("encode"):
                    await share.fit(2 * len(body) + size_of_rows(body))
                    return await compressed(body, work.job.png_compression)
        except TimeoutError as error:
            raise self._out_of_time(slot, deadline) from error
        except RenderFailed as error:
            if self._admission.is_closed:  # its Chrome was taken away, it did not fail
                raise Stopping("the service stopped before the render was done") from error
            raise

    def too_late(self, deadline: Deadline) -> RenderTimeout:
        """What a caller is told whose time passed while the page was painted."""
        return RenderTimeout(
            f"the render was not done in {deadline.milliseconds} ms; more can be asked for with"
            f" timeout_ms, up to {self._limits.max_timeout_ms}"
        )

    def _out_of_time(self, slot: Slot, deadline: Deadline) -> PosterError:
        """What a caller is told: that it waited too long, or that its page is too slow."""
        lost_in_line = slot.waited_in_vain
        slot.rendered()
        if not lost_in_line:
            return self.too_late(deadline)
        return Overloaded("its turn came too late for its time", self._admission.retry_after())

    async def _paint(
        self,
        slot: Slot,
        picture: CaptureOptions,
        route: Route,
        phases: Phases,
        observations: Observations,
        deadline: Deadline,
        share: Share,
        *,
        is_static: bool,
    ) -> bytes:
        """Lease, page, bytes; undone in reverse, however it is left."""
        async with contextlib.AsyncExitStack() as undo:
            with phases.phase("lease"):
                lease = await undo.enter_async_context(self._pool.lease(slot.free))
            page = lease.chrome.page
            page.meter(share)
            watch = asyncio.ensure_future(self._watch_memory(lease.chrome))
            undo.callback(watch.cancel)
            undo.callback(_hear, page, observations)
            undo.callback(_listen_late(page, deadline).cancel)
            with phases.phase("setup"):
                await page.set_up(picture)
            with phases.phase("load"):
                await page.load(route, is_static=is_static)
            with phases.phase("wait"):
                await page.wait_painted(is_static=is_static)
            observations.notes += [(kind, {"reason": SEEN_KINDS[kind]}) for kind in page.seen]
            if page.text and (missing := await self._missing_glyphs(page)):
                observations.notes.append(("missing_glyph", code_points(missing)))
            with phases.phase("capture"):
                return await page.capture(picture)

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

        This needs no privilege and is a look four times a second, so a quick page may take more
        for a moment; a control group (POSTER_CHROME_MEMORY_MB) is the hard limit.
        """
        while True:
            await asyncio.sleep(MEMORY_SECONDS)
            held = await asyncio.to_thread(chrome.memory)
            chrome.trim()
            if held > self._limits.memory:
                event(logger, logging.WARNING, "a page takes too much memory", mib=held >> 20)
                chrome.page.give_up(
                    f"the page takes more memory than the {self._limits.memory >> 20} MiB allowed"
                )
                return

    def _log(
        self,
        job: RenderJob,
        caller: str,
        picture: CaptureOptions,
        done: Done,
        warnings: Warnings,
        cache: str,
    ) -> None:
        """One line for each render: names, sizes and times, never the page or its data."""
        level = logging.INFO if done.outcome in ("ok", "cancelled") else logging.WARNING
        event(
            logger,
            level,
            "render",
            outcome=done.outcome,
            **({"cache": cache} if cache else {}),
            **({"caller": caller} if caller else {}),
            source=job.template or "html",
            format=done.format,
            width=picture.width,
            height=picture.height,
            scale=picture.scale,
            html_chars=len(job.html or ""),
            bytes=done.size,
            warnings=len(warnings),
            ms=round(done.seconds * 1000, 1),
            phases={name: round(took, 1) for name, took in done.milliseconds.items()},
            **({"script_errors": list(done.script_errors)} if done.script_errors else {}),
        )


def _listen_late(page: PosterPage, deadline: Deadline) -> asyncio.TimerHandle:
    """Ask a page for its errors shortly before its time is up, since it may not be asked after."""
    when = max(deadline.when - LISTEN_SECONDS, deadline.when - deadline.left / 2)
    return asyncio.get_running_loop().call_at(when, page.listen)


def _hear(page: PosterPage, observations: Observations) -> None:
    """Take what is known of a page, however its render ends."""
    observations.script_errors = page.witness.script_errors
    observations.findings = page.witness.findings


async def etag_of(body: bytes) -> str:
    """The strong ETag of a picture's bytes, quotes included (RFC 9110, 8.8.3)."""
    if len(body) < LARGE_BYTES:
        return _etag(body)
    return await asyncio.to_thread(_etag, body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'  # half the time of BLAKE2 (measured)


def check_whole(warnings: Warnings) -> None:
    """What `strict` asks for: the page got all that it wanted.

    Raises:
        FetchDenied: A rule kept something from it; the addresses are named.
        FetchFailed: Something did not come or cannot be used; the addresses are named.
    """
    missing = warnings.missing()
    if not missing:
        return
    named = [f"{one.url or 'no address'} ({one.reason})" for one in missing[:MAX_NAMED]]
    more = len(missing) - len(named) + warnings.more
    what = ", ".join(named) + (f" and {more} more" if more else "")
    if any(one.verb == "denied" for one in missing):
        raise FetchDenied(f"the page asked for what it may not have: {what}")
    raise FetchFailed(f"the page did not get what it asked for: {what}")
