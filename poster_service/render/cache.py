"""The render cache: finished pictures in memory, and equal renders under way shared.

Only deterministic pages are cached: nothing in the page runs or moves, and all that it fetched
declares for how long it stays the same. A caller who knows better says so with `cache_ttl`. The
cache key is made of the page as Chrome gets it, not of the request. So the order of JSON's keys and
defaults spelled out make no difference, and a template that writes a random number gives another
key each time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cachetools import TLRUCache, TTLCache

from poster_service import telemetry
from poster_service.errors import Overloaded, RenderTimeout, Stopping
from poster_service.render.admission import TIMED_OUT_QUEUED, Admission
from poster_service.render.job import Deadline, RenderJob
from poster_service.render.picture import Rendered
from poster_service.render.renderer import Renderer
from poster_service.render.report import RenderReport, recorded
from poster_service.render.store import Entry, Store
from poster_service.render.visit import PageInfo
from poster_service.single_flight import Flight, Flights
from poster_service.stats import Done, Phases, ignore

#: The values of `X-Cache`: cached before; painted now and cached; painted now for several; painted
#: now for this caller only.
HIT, MISS, COALESCED, BYPASS = STATUSES = ("hit", "miss", "coalesced", "bypass")

#: What one entry costs beside its picture, in bytes, roughly.
OVERHEAD = 2048
#: For how long, in seconds, and how many pages are remembered whose picture could not be cached
#: because it may differ each time: callers of such a page do not wait for each other's render.
DIFFERING_SECONDS, DIFFERING_MOST = 60, 4096

#: How long a render may take to end when its time is up, before its caller gets the error without
#: waiting for that, in seconds.
UNDO_SECONDS = 1.0


@dataclass(frozen=True)
class CacheLimits:
    """Bounds of the cache.

    Attributes:
        max_bytes: Of all pictures; 0 caches and shares nothing.
        max_seconds: The longest that a picture is cached.
    """

    max_bytes: int
    max_seconds: float


@dataclass(frozen=True)
class CachedImage:
    """A picture and how long it is good.

    Attributes:
        since: When it was finished, on the monotonic clock.
        until: Until then the same page gives the same picture, as far as the service can tell.
    """

    rendered: Rendered
    since: float
    until: float

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return OVERHEAD + self.rendered.size

    @property
    def is_whole(self) -> bool:
        """Whether the page got all that it asked for and its scripts did not fail.

        Warnings that are the same each time, such as a missing glyph, are cached with it.
        """
        return self.rendered.is_reproducible and not self.rendered.is_broken

    @classmethod
    def of(cls, entry: Entry) -> "CachedImage":
        """What another replica cached, on this process's clock."""
        now = time.monotonic()
        shift = now - time.time()
        since, until = min(now, entry.since + shift), entry.until + shift
        page = PageInfo(*entry.page) if entry.page else None
        rendered = Rendered(
            entry.pictures, Phases(), until, entry.warnings, page=page, isolation=entry.isolation
        )
        return cls(rendered, since, until)

    def entry(self) -> Entry:
        """As other replicas may have it."""
        image, shift = self.rendered, time.time() - time.monotonic()
        since, until = self.since + shift, self.until + shift
        page = (image.page.url, image.page.status, image.page.title) if image.page else None
        return Entry(image.pictures, since, until, image.warnings, page, image.isolation)

    def is_good(self, job: RenderJob, now: float) -> bool:
        """Whether it will do for this job, by all that its caller says."""
        max_age = job.context.cache_control.max_age
        return now - self.since <= max_age and self.left(job, now) > 0

    def left(self, job: RenderJob, now: float) -> float:
        """Seconds for which it may still be given to this job; the caller's `cache_ttl` wins."""
        ttl = job.options.cache_ttl
        until = self.until if ttl is None else self.since + ttl
        return max(0.0, until - now)


@dataclass(frozen=True)
class Painted:
    """What a render under way gives to those who wait for it: a picture, and its cache status.

    Attributes:
        trace: The span of the request that it was painted for; None while nothing is traced.
    """

    image: CachedImage
    cache_status: str
    trace: telemetry.TraceContext | None = None


@dataclass(frozen=True)
class Answer:
    """What a caller gets.

    Attributes:
        cache_status: One of `STATUSES`.
        age: Whole seconds since it was painted.
        left: Seconds for which it may be cached further on; 0 when not at all.
        server_timing: The value of a Server-Timing header.
    """

    rendered: Rendered
    cache_status: str
    age: int
    left: float
    server_timing: str


class RenderCache:
    """The cached pictures, and the renders under way that may be shared.

    Attributes:
        store: What replicas have in common; asked once for equal requests, before painting.
        answers: Answers by their cache status.
    """

    def __init__(
        self,
        renderer: Renderer,
        admission: Admission,
        limits: CacheLimits,
        observe: Callable[[Done], None] = ignore,
        store: Store | None = None,
    ) -> None:
        """Start empty.

        Args:
            renderer: Paints what is not cached.
            admission: Says when to come back.
            limits: Bounds of the cache.
            observe: Called for each render that was painted, however it ended.
            store: Where other replicas have their pictures; closed with this cache.
        """
        self._renderer = renderer
        self._admission = admission
        self._max_seconds = limits.max_seconds
        self._observe = observe
        self.store = store
        self._images: TLRUCache[bytes, CachedImage] = TLRUCache(
            limits.max_bytes, self._expires_at, time.monotonic, lambda image: image.size
        )
        self._differing: TTLCache[bytes, None] = TTLCache(DIFFERING_MOST, DIFFERING_SECONDS)
        self._flights: Flights[Painted, Deadline] = Flights()
        self.answers: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))

    def statistics(self) -> dict[str, Any]:
        """Gauges and counters."""
        return {
            "pictures": len(self._images),
            "bytes": int(self._images.currsize),
            "max_bytes": int(self._images.maxsize),
            "answers": dict(self.answers),
            **({"redis": dict(self.store.outcomes)} if self.store else {}),
        }

    async def get(self, job: RenderJob) -> Answer:
        """The picture of a job: cached, shared with an equal job, or painted now.

        Raises:
            PosterError: As `Renderer.render`.
        """
        stores = job.may_be_cached and self._images.maxsize > 0
        while stores and not self._is_painted_anyway(job):
            if (image := self._find(job)) is not None:
                return self._hit(image, job)
            if job.context.is_background:  # others must not wait for what waits behind them
                return self._answer_found(await self._find_or_paint(job), job)
            if job.options.on_timeout == "capture":  # when it is given up is this caller's time
                break
            if (answer := await self._get_shared(job)) is not None:
                return answer
        return self._answer_painted(await self.paint(job, stores=stores), job)

    async def paint(self, job: RenderJob, *, stores: bool = False) -> Painted:
        """Paint a job now, past the cache; with `stores` the picture is cached if it may be.

        Raises:
            PosterError: As `Renderer.render`.
        """
        with recorded(job, self._observe) as report:
            rendered = await self._renderer.render(job, report)
            now = time.monotonic()
            image = CachedImage(rendered, now, rendered.until if job.may_be_static else 0.0)
            report.cache_status = self._put(job, image, now) if stores else BYPASS
        return Painted(image, report.cache_status, telemetry.context_of())

    async def close(self) -> None:
        """End the renders under way."""
        await self._flights.close()
        if self.store is not None:
            await self.store.close()

    def _is_painted_anyway(self, job: RenderJob) -> bool:
        """Whether a picture that is cached will not do: for the caller, or as it may differ."""
        is_differing = job.options.cache_ttl is None and job.cache_key in self._differing
        return job.context.cache_control.no_cache or is_differing

    def _find(self, job: RenderJob) -> CachedImage | None:
        image = self._images.get(job.cache_key)
        return image if image is not None and image.is_good(job, time.monotonic()) else None

    def _hit(self, image: CachedImage, job: RenderJob) -> Answer:
        self._log_unpainted(job, HIT, "ok", image.rendered.size)
        timing = f"cache;dur={(time.monotonic() - job.begin) * 1000:.1f}"
        return self._answer(image, HIT, job, timing)

    def _answer_found(self, painted: Painted, job: RenderJob) -> Answer:
        is_hit = painted.cache_status == HIT
        return self._hit(painted.image, job) if is_hit else self._answer_painted(painted, job)

    async def _get_shared(self, job: RenderJob) -> Answer | None:
        """Join the render that is under way, or begin one that others may join.

        It waits in the line of the caller who began it, and ends when its last caller has left or
        when the time of the most patient one is up. None when this caller should look in the cache
        again: what it waited for was not for others, came from the store under another caller's
        conditions, or failed for a reason that was not its own.
        """
        flight, own = self._flights.find(job.cache_key), job.deadline.when
        leads = flight is None
        if flight is None:
            flight = self._flights.start(job.cache_key, self._find_or_paint(job), job.deadline)
        elif own > flight.about.when:
            flight.about.move(own)
        try:
            painted = await self._wait(flight, own, job.deadline, leads=leads)
        except (RenderTimeout, Overloaded) as error:
            if not leads and job.deadline.left:
                return None
            if not flight.task.done():  # it goes on for others, and logs its own end
                self._log_unpainted(job, COALESCED, error.code)
            raise
        except asyncio.CancelledError:
            if not flight.is_abandoned:  # it goes on for others
                self._log_unpainted(job, COALESCED, "cancelled")
            raise
        return self._landed(painted, job, leads=leads)

    def _landed(self, painted: Painted, job: RenderJob, *, leads: bool) -> Answer | None:
        """The answer from a render that several waited for; None as for `_get_shared`."""
        image = painted.image
        if leads:
            return self._answer_found(painted, job)
        if painted.cache_status == HIT:
            return None
        if not image.left(job, image.since):
            return None
        telemetry.current().link(painted.trace)
        self._log_unpainted(job, COALESCED, "ok", image.rendered.size)
        return self._answer_painted(Painted(image, COALESCED), job)

    async def _wait(
        self, flight: Flight[Painted, Deadline], own: float, deadline: Deadline, *, leads: bool
    ) -> Painted:
        """Wait for a render, until the caller's own time is up.

        Raises:
            RenderTimeout: The caller's time is up, and others go on waiting.
            Overloaded: The same, and the render has not had its turn yet.
            PosterError: Of the render itself.
        """
        now = asyncio.get_running_loop().time()
        with flight.aboard() as task:
            await asyncio.wait({task}, timeout=max(0.0, own - now))
            if not task.done() and not flight.is_shared and (leads or flight.about.is_watched):
                flight.about.move(own)  # the last one's time is the render's time
                await asyncio.wait({task}, timeout=UNDO_SECONDS)
            if not task.done():
                raise self._too_late(flight, deadline)
            if task.cancelled():
                raise Stopping("the service stopped before the render was done")
            return task.result()

    def _too_late(self, flight: Flight[Painted, Deadline], deadline: Deadline) -> Exception:
        if flight.about.is_watched:
            return self._renderer.too_late(deadline)
        again = self._admission.retry_after()
        return Overloaded(TIMED_OUT_QUEUED, again)

    async def _find_or_paint(self, job: RenderJob) -> Painted:
        """What another replica has painted, else painted here."""
        entry = None if self.store is None else await self.store.find(job.cache_key)
        if entry is not None:
            image, now = CachedImage.of(entry), time.monotonic()
            is_fit = image.size <= self._images.maxsize and now < self._expires_at(b"", image, now)
            if is_fit and image.is_good(job, now):
                self._images[job.cache_key] = image  # where the others find it who wait for it
                return Painted(image, HIT)
        return await self.paint(job, stores=True)

    def _put(self, job: RenderJob, image: CachedImage, now: float) -> str:
        """Cache a picture if that may be; the cache status."""
        if image.until > now:
            self._differing.pop(job.cache_key, None)
        else:
            self._differing[job.cache_key] = None
        if not image.is_whole or not image.left(job, now) or image.size > self._images.maxsize:
            return BYPASS
        self._images[job.cache_key] = image
        if self.store is not None:
            self.store.keep(job.cache_key, image.entry())
        return MISS

    def _expires_at(self, _: bytes, image: CachedImage, now: float) -> float:
        """When a picture leaves the cache in any case."""
        return image.since + self._max_seconds

    def _answer_painted(self, painted: Painted, job: RenderJob) -> Answer:
        timing = painted.image.rendered.phases.server_timing()
        return self._answer(painted.image, painted.cache_status, job, timing)

    def _answer(self, image: CachedImage, cache_status: str, job: RenderJob, timing: str) -> Answer:
        self.answers[cache_status] += 1
        now = time.monotonic()
        left = image.left(job, now) if image.is_whole else 0.0
        return Answer(image.rendered, cache_status, int(now - image.since), left, timing)

    def _log_unpainted(
        self, job: RenderJob, cache_status: str, outcome: str, size: int = 0
    ) -> None:
        """Log a request for which nothing was painted."""
        report = RenderReport(cache_status)
        report.outcome, report.size = outcome, size
        report.write(job)
