"""Same request, same picture: finished pictures kept in memory, equal renders under way shared.

Only where the picture cannot come out differently, as far as can be known: the page runs nothing
and moves nothing, and all that it fetched says for how long it stays the same. The caller may know
better, and says so with `cache_ttl`. What is equal is decided on the page as Chrome gets it, not on
the words of the request, so that the order of JSON's keys, defaults spelled out, or a template with
a random number in it need no thought.
"""

import asyncio
import hashlib
import json
import logging
import math
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cachetools import TLRUCache, TTLCache

from poster_service.browser.fonts import Fonts
from poster_service.errors import Overloaded, RenderTimeout, Stopping
from poster_service.logs import event
from poster_service.render.admission import Admission
from poster_service.render.job import RenderJob
from poster_service.render.renderer import Deadline, Rendered, Renderer, Work
from poster_service.render.store import Entry, Store
from poster_service.single_flight import Flight, Flights
from poster_service.stats import Phases

logger = logging.getLogger(__name__)

#: The words of `X-Cache`: kept from before; made now and kept; made now for several; made now for
#: this caller only.
HIT, MISS, COALESCED, BYPASS = WORDS = ("hit", "miss", "coalesced", "bypass")

#: What one entry costs beside its picture, in bytes, roughly.
OVERHEAD = 2048
#: Pages that turned out to differ each time are remembered for so long, so that callers do not wait
#: for each other in vain; and so many.
DIFFERING_SECONDS, DIFFERING_MOST = 60, 4096

#: For so long it is taken for the same Chrome without another look at its file, in seconds.
IDENTITY_SECONDS = 1.0
#: Up to here a page is looked at in the event loop: half a millisecond.
QUICK_CHARACTERS = 1 << 13

#: What a render may take to end when its time is up, before its caller is told without its word.
UNDO_SECONDS = 1.0

#: Options that do not change the picture. Every other one is part of the key, new ones too.
KEY_EXCLUDES = frozenset(("html", "template", "data", "timeout_ms", "cache_ttl"))

#: What may run or move in a page, in lower case. Rather once too often: all it costs is a render.
DYNAMIC_MARKERS = (
    "<script", "javascript:", "<iframe", "<frame", "<object", "<embed", "<fencedframe", "srcdoc",
    "animation", "@starting-style", "<animate", "<set", "<marquee", "<video", "<audio",
    "<progress", "autofocus",
)  # fmt: skip
#: An event handler's attribute. Bounded and possessive, so that no text makes it slow.
EVENT_HANDLER_ATTRIBUTE = re.compile(r"[\s\"'/]on[a-z]{1,40}+\s*+=")
#: Characters looked at in one go, and those seen twice: the search keeps the interpreter to itself
#: (20 ns a character), and 16 MB at once would hold up everybody.
CHUNK, OVERLAP = 1 << 16, 1 << 10


@dataclass(frozen=True)
class CacheControl:
    """What a caller says of caching, by its `Cache-Control`.

    Attributes:
        anew: Render it now, and keep that (no-cache).
        pass_by: Neither look nor keep (no-store).
        max_age: The oldest picture that will do, in seconds.
    """

    anew: bool = False
    pass_by: bool = False
    max_age: float = float("inf")


@dataclass(frozen=True)
class Kept:
    """A picture and how long it is good.

    Attributes:
        since: When it was finished, on the monotonic clock.
        until: As long as this the same page gives the same picture, as far as we know by ourselves.
    """

    rendered: Rendered
    since: float
    until: float

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return OVERHEAD + len(self.rendered.body)

    @property
    def is_whole(self) -> bool:
        """Whether the page got all that it asked for and its scripts did not fail.

        Warnings of what would be the same each time, as a missing glyph, are cached with it.
        """
        told = self.rendered
        return told.is_reproducible and not told.is_broken

    @classmethod
    def of(cls, entry: Entry) -> "Kept":
        """What another replica kept, in our time."""
        now = time.monotonic()
        shift = now - time.time()
        since, until = min(now, entry.since + shift), entry.until + shift
        rendered = Rendered(
            entry.body, entry.content_type, Phases(), entry.etag, until, entry.warnings
        )
        return cls(rendered, since, until)

    def entry(self) -> Entry:
        """As other replicas may have it."""
        told, shift = self.rendered, time.time() - time.monotonic()
        since, until = self.since + shift, self.until + shift
        return Entry(told.body, told.content_type, told.etag, since, until, told.warnings)

    def is_good(self, job: RenderJob, wish: CacheControl, now: float) -> bool:
        """Whether it will do for this job, by all that its caller says."""
        return now - self.since <= wish.max_age and self.left(job, now) > 0

    def left(self, job: RenderJob, now: float) -> float:
        """Seconds for which it may still be given to this job; the caller's own word wins."""
        until = self.until if job.cache_ttl is None else self.since + job.cache_ttl
        return max(0.0, until - now)


@dataclass(frozen=True)
class Answer:
    """What a caller gets.

    Attributes:
        word: One of `WORDS`.
        age: Whole seconds since it was painted.
        left: Seconds for which it may be kept further on; 0 when not at all.
        timing: The value of a Server-Timing header.
    """

    rendered: Rendered
    word: str
    age: int
    left: float
    timing: str


Landed = tuple[Kept, str]


class RenderCache:
    """The kept pictures, and the renders under way that may be shared.

    Attributes:
        outcomes: Answers by their word.
    """

    def __init__(
        self,
        renderer: Renderer,
        admission: Admission,
        program: Path,
        *,
        max_bytes: int,
        max_seconds: float,
        shared: bool,
        store: Store | None = None,
        fonts: Fonts | None = None,
    ) -> None:
        """Keep nothing yet.

        Args:
            renderer: Makes the pictures.
            admission: Tells when to come back.
            program: Chrome; another one paints another picture.
            max_bytes: Bound on all that is kept; 0 keeps and shares nothing.
            max_seconds: The longest that anything is kept.
            shared: Whether callers get each other's pictures.
            store: Where other replicas have theirs; closed with us.
            fonts: What text is drawn with; others draw another picture.
        """
        self._renderer = renderer
        self._admission = admission
        self._program = program
        self._fonts = fonts or Fonts()
        self._identity, self._identity_until = "", -math.inf
        self._max_seconds = max_seconds
        self._shared = shared
        #: What replicas have in common; asked by whoever would paint, so once for equal requests.
        self.store = store
        self._kept: TLRUCache[bytes, Kept] = TLRUCache(
            max_bytes, self._gone_at, time.monotonic, lambda kept: kept.size
        )
        self._differing: TTLCache[bytes, None] = TTLCache(DIFFERING_MOST, DIFFERING_SECONDS)
        self._flights: Flights[Landed, Deadline] = Flights()
        self.outcomes: Counter[str] = Counter(dict.fromkeys(WORDS, 0))

    def statistics(self) -> dict[str, Any]:
        """Gauges and counters."""
        return {
            "pictures": len(self._kept),
            "bytes": int(self._kept.currsize),
            "max_bytes": int(self._kept.maxsize),
            "answers": dict(self.outcomes),
            **({"redis": dict(self.store.outcomes)} if self.store else {}),
        }

    async def get(
        self, job: RenderJob, caller: str = "", wish: CacheControl | None = None
    ) -> Answer:
        """The picture of a job: kept, shared or painted now.

        Args:
            job: What to render.
            caller: Whose it is, as of `Renderer.render`.
            wish: What the caller wants of the cache.

        Raises:
            PosterError: As `Renderer.render`.
        """
        begin, deadline, wish = (
            time.perf_counter(),
            self._renderer.deadline(job),
            wish or CacheControl(),
        )
        work, key, still = await self._prepared(job, caller)
        hopeful = still if job.cache_ttl is None else job.cache_ttl > 0
        if not hopeful or not self._kept.maxsize or wish.pass_by:
            return await self._alone(work, caller, deadline, None, still)
        while True:
            if wish.anew or (job.cache_ttl is None and key in self._differing):
                return await self._alone(work, caller, deadline, key, still)
            if (kept := self._find(key, job, wish)) is not None:
                return self._hit(kept, work, caller, begin)
            answer = await self._together(work, caller, wish, deadline, key, still, begin)
            if answer is not None:
                return answer

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()
        if self.store is not None:
            await self.store.close()

    async def _prepared(self, job: RenderJob, caller: str) -> tuple[Work, bytes, bool]:
        """The work, its key, and whether the page keeps still; in a thread where that reads files.

        A template's files are looked at once, for its page and for its part of the key: the two
        are of the same moment.
        """
        if job.template is not None:
            return await asyncio.to_thread(self._prepare, job, caller)
        work = self._renderer.prepare(job)
        if self._is_quick(work):
            return work, *self._look(work, caller)
        return work, *(await asyncio.to_thread(self._look, work, caller))

    def _prepare(self, job: RenderJob, caller: str) -> tuple[Work, bytes, bool]:
        work = self._renderer.prepare(job)
        return work, *self._look(work, caller)

    def _is_quick(self, work: Work) -> bool:
        """Whether a look at this work reads no file, and takes less than a thread's turn would."""
        is_small = len(work.html) <= QUICK_CHARACTERS and not work.job.assets
        return is_small and time.monotonic() < self._identity_until

    def _look(self, work: Work, caller: str) -> tuple[bytes, bool]:
        """The key, and whether the page keeps still. Looks at a file unless `_is_quick`."""
        template = work.template
        version = template.files.digest if template else ""
        whose = "" if self._shared else caller
        if time.monotonic() >= self._identity_until:
            self._identity = f"{identity(self._program)} {self._fonts.identity()}"
            self._identity_until = time.monotonic() + IDENTITY_SECONDS
        place = (whose, template and template.name, version, self._identity)
        return key_of(work, place), is_static(work.html)

    def _find(self, key: bytes, job: RenderJob, wish: CacheControl) -> Kept | None:
        kept, now = self._kept.get(key), time.monotonic()
        return kept if kept is not None and kept.is_good(job, wish, now) else None

    def _hit(self, kept: Kept, work: Work, caller: str, begin: float) -> Answer:
        timing = f"cache;dur={(time.perf_counter() - begin) * 1000:.1f}"
        self._tell(work, caller, HIT, "ok", begin, len(kept.rendered.body))
        return self._answer(kept, HIT, work.job, timing)

    async def _alone(
        self, work: Work, caller: str, deadline: Deadline, key: bytes | None, still: bool
    ) -> Answer:
        """Render for this caller only; kept for others if there is a key to keep it under."""
        kept, word = await self._render(work, caller, deadline, key, still)
        return self._answer(kept, word, work.job, kept.rendered.phases.server_timing())

    async def _together(
        self,
        work: Work,
        caller: str,
        wish: CacheControl,
        deadline: Deadline,
        key: bytes,
        still: bool,
        begin: float,
    ) -> Answer | None:
        """Join the render that is under way, or begin one that others may join.

        It stands in the line of whoever began it, and ends when its last caller has left or when
        the time of the most patient is up. None when this caller should look again: what it waited
        for was not for others, came from the store by another's wish, or failed for a reason that
        was not its own.
        """
        flight, own = self._flights.find(key), deadline.when
        leads = flight is None
        if flight is None:
            rendering = self._find_or_render(work, caller, wish, deadline, key, still)
            flight = self._flights.start(key, rendering, deadline)
        elif own > flight.about.when:
            flight.about.move(own)
        try:
            kept, word = await self._wait(flight, own, deadline, leads)
        except (RenderTimeout, Overloaded) as error:
            if not leads and deadline.left:
                return None
            if not flight.task.done():  # it goes on for others and tells its own end
                self._tell(work, caller, COALESCED, error.code, begin, 0)
            raise
        except asyncio.CancelledError:
            if not flight.is_abandoned:  # it goes on for others
                self._tell(work, caller, COALESCED, "cancelled", begin, 0)
            raise
        if word == HIT:
            return self._hit(kept, work, caller, begin) if leads else None
        if leads:
            return self._answer(kept, word, work.job, kept.rendered.phases.server_timing())
        if not kept.left(work.job, kept.since):
            return None
        self._tell(work, caller, COALESCED, "ok", begin, len(kept.rendered.body))
        return self._answer(kept, COALESCED, work.job, kept.rendered.phases.server_timing())

    async def _wait(
        self, flight: Flight[Landed, Deadline], own: float, deadline: Deadline, leads: bool
    ) -> Landed:
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

    def _too_late(self, flight: Flight[Landed, Deadline], deadline: Deadline) -> Exception:
        if flight.about.is_watched:
            return self._renderer.too_late(deadline)
        again = self._admission.retry_after()
        return Overloaded("its time passed before its turn came", again)

    async def _find_or_render(
        self,
        work: Work,
        caller: str,
        wish: CacheControl,
        deadline: Deadline,
        key: bytes,
        still: bool,
    ) -> Landed:
        """What another replica has painted, else our own."""
        entry = None if self.store is None else await self.store.find(key)
        if entry is not None:
            kept, now = Kept.of(entry), time.monotonic()
            fits = kept.size <= self._kept.maxsize and now < self._gone_at(key, kept, now)
            if fits and kept.is_good(work.job, wish, now):
                self._kept[key] = kept  # where the others find it who wait for it
                return kept, HIT
        return await self._render(work, caller, deadline, key, still)

    async def _render(
        self, work: Work, caller: str, deadline: Deadline, key: bytes | None, still: bool
    ) -> Landed:
        landed: list[Landed] = []

        def keep(rendered: Rendered) -> str:
            now = time.monotonic()
            kept = Kept(rendered, now, rendered.until if still else 0.0)
            landed.append((kept, self._keep(key, work.job, kept, now)))
            return landed[0][1]

        await self._renderer.perform(work, caller, deadline, keep, is_static=still)
        return landed[0]

    def _keep(self, key: bytes | None, job: RenderJob, kept: Kept, now: float) -> str:
        """Keep a picture if that may be; the word that tells."""
        if key is None:
            return BYPASS
        if kept.until > now:
            self._differing.pop(key, None)
        else:
            self._differing[key] = None
        if not kept.is_whole or not kept.left(job, now) or kept.size > self._kept.maxsize:
            return BYPASS
        self._kept[key] = kept
        if self.store is not None:
            self.store.keep(key, kept.entry())
        return MISS

    def _gone_at(self, _: bytes, kept: Kept, now: float) -> float:
        """When a picture leaves the cache, whoever might still want it."""
        return kept.since + self._max_seconds

    def _answer(self, kept: Kept, word: str, job: RenderJob, timing: str) -> Answer:
        self.outcomes[word] += 1
        now = time.monotonic()
        left = kept.left(job, now) if kept.is_whole else 0.0
        return Answer(kept.rendered, word, int(now - kept.since), left, timing)

    def _tell(
        self, work: Work, caller: str, word: str, outcome: str, begin: float, size: int
    ) -> None:
        """The line of a request for which nothing was painted; the renderer has that of others."""
        event(
            logger,
            logging.INFO,
            "render",
            outcome=outcome,
            cache=word,
            **({"caller": caller} if caller else {}),
            source=work.job.template or "html",
            format=work.job.format,
            bytes=size,
            ms=round((time.perf_counter() - begin) * 1000, 1),
        )


def key_of(work: Work, place: tuple[object, ...]) -> bytes:
    """What equal work has in common, and nothing else has.

    Every option counts unless it is named in `KEY_EXCLUDES`, with the defaults filled in, and bytes
    (assets that came with the job) by their digest.
    """
    asked = work.job.model_dump(exclude=set(KEY_EXCLUDES)) | asdict(work.picture)
    words = json.dumps([place, asked], sort_keys=True, default=_digest)
    digest = hashlib.blake2b(words.encode(), digest_size=32)
    digest.update(work.html.encode("utf-8", "surrogatepass"))
    return digest.digest()


def _digest(value: object) -> str:
    if isinstance(value, bytes):
        return hashlib.blake2b(value, digest_size=32).hexdigest()
    raise TypeError(f"a {type(value).__name__} in a job has no place in a key")


def is_static(html: str) -> bool:
    """Whether nothing in a page's own markup runs or moves, as far as words tell."""
    text = html.lower()
    return not any(word in text for word in DYNAMIC_MARKERS) and not any(
        EVENT_HANDLER_ATTRIBUTE.search(text, at, at + CHUNK + OVERLAP)
        for at in range(0, len(text), CHUNK)
    )


def identity(program: Path) -> str:
    """Which Chrome this is: an upgrade in place is another."""
    try:
        told = program.stat()
    except OSError:
        return ""
    return f"{program} {told.st_size} {told.st_mtime_ns}"
