"""Ready Chromes: leased for a render each, retired or renewed, replaced ahead of need.

The books (`books.py`) say what must be started or ended; here it is done. What ends goes on behind
the answer, in tasks the pool owns, and counts against the capacity until it is gone.
"""

import asyncio
import contextlib
import contextvars
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from poster_service.browser.chrome import Chrome, ChromeSpec
from poster_service.browser.demand import Demand
from poster_service.browser.pool_state import Place, PoolState, State
from poster_service.errors import ChromeDied, ChromeNotStarted, Stopping
from poster_service.logs import event
from poster_service.process.census import LEASE_BITS, Seen, look, unhealthy
from poster_service.process.instance_dir import InstanceDir, Swept, sweep
from poster_service.process.shim import remove_folder
from poster_service.process.spawn import Ending
from poster_service.stats import ignore

logger = logging.getLogger(__name__)

#: Pauses between failed starts, in seconds; the last one repeats.
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
#: How often survivors are looked at, in seconds.
SURVIVOR_SECONDS = 1.0
#: How often the processes of ready Chromes are looked at, in seconds: 1 to 2 ms of CPU each time,
#: more for root without CAP_SYS_RESOURCE (see `census.tag_of`).
ROUND_SECONDS = 1.0
#: How often what could not be removed is tried again, in seconds: lease folders, and what earlier
#: lives left.
TIDY_SECONDS = 30.0
#: How long the page of a ready Chrome may be silent, in seconds; it answers within milliseconds.
SILENT_SECONDS = 2.5
#: After so many failed starts in a row those who wait are told instead of kept waiting.
PATIENCE = 3


@dataclass(frozen=True)
class PoolStatistics:
    """The books at one moment, and what was counted since the start.

    Attributes:
        counts: Chromes by state; GONE ones are no longer counted.
        waiting: Leases that wait for a ready Chrome.
        started: Chromes that became ready.
        renewed: Leases after which a Chrome was made ready for another.
        failed_starts: Chromes that did not.
        endings: Ended Chromes by reason (see `Ending`), of those that had become ready.
        unclean: Endings that needed the backstop, those of failed starts too.
        survivors: Processes that outlived even that and are still there.
        leftovers: Files and folders of earlier lives that could not be removed so far.
    """

    counts: dict[str, int]
    waiting: int
    started: int
    renewed: int
    failed_starts: int
    endings: dict[str, int]
    unclean: int
    survivors: tuple[Seen, ...]
    leftovers: int = 0


class Lease:
    """The right to one Chrome for one render; useless once it has ended."""

    def __init__(self, chrome: Chrome) -> None:
        self._chrome: Chrome | None = chrome

    @property
    def chrome(self) -> Chrome:
        """The leased Chrome.

        Raises:
            RuntimeError: The lease has ended.
        """
        if self._chrome is None:
            raise RuntimeError("this lease has ended")
        return self._chrome

    def finish(self) -> None:
        """Make the lease useless; only the pool calls this."""
        self._chrome = None


class Pool:
    """Keeps Chromes started ahead, never more than `capacity` in all.

    Args:
        spec: What they are.
        ready: Kept ready when nobody comes.
        capacity: Chromes at most, those that are being ended too.
        most_ready: Kept ready when many come (see `Demand`); `ready` if None.
        starts: Chromes that may start at once, so that they do not slow the painting; None for any.
        on_ending: Told of each ending, and how long it took in seconds.
    """

    def __init__(
        self,
        spec: ChromeSpec,
        *,
        ready: int,
        capacity: int,
        most_ready: int | None = None,
        starts: int | None = None,
        on_ending: Callable[[Ending, float], None] = ignore,
    ) -> None:
        self.spec = spec
        self._on_ending = on_ending
        self._books = PoolState(capacity, ready, starts)
        self._demand = Demand(ready, max(ready, most_ready or 0))
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._started = 0
        self._renewed = 0
        self._failed_starts = 0
        self._unclean = 0
        self._stopping = False
        self._home: InstanceDir | None = None
        self._making_home = asyncio.Lock()
        self._unswept: dict[int, Swept] = {}
        self._tidying: asyncio.Task[None] | None = None
        self._endings: Counter[str] = Counter()
        self._survivors: dict[int, Seen] = {}
        self._watching: asyncio.Task[None] | None = None
        self._rounds: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the folder, sweep after earlier lives, and bring up the first Chrome.

        May be called again after a failure, with another spec.

        Raises:
            ChromeNotStarted: It did not come up, and nothing is left of it; or there is no folder.
        """
        if self._home is None:
            self._home = open_home(self.spec.home, shared=self.spec.user is not None)
            try:
                await self._sweep()
            except Exception:  # what an earlier life left is no reason not to start
                logger.exception("the sweep after earlier lives failed")
        await self._bring_up(self._books.enter())
        loop = asyncio.get_running_loop()
        self._rounds = loop.create_task(self._make_rounds())
        self._tidying = loop.create_task(self._keep_tidying())
        self._balance()

    @contextlib.asynccontextmanager
    async def lease(self, on_gone: Callable[[], None] = ignore) -> AsyncIterator[Lease]:
        """Lease a ready Chrome; when the block is left, in whatever way, it is killed at once.

        Where a Chrome serves more than one render, that is so after its last one, and after one
        that was not done: doubt means discard. Else its page is closed and seen gone.

        `on_gone` is called once nothing of that Chrome, or page, is left, or at once when none was
        leased.

        Raises:
            ChromeDied: Chromes fail to start again and again.
            Stopping: The pool is closing.
        """
        place = await self._take(on_gone)
        chrome = place.chrome
        if chrome is None:
            raise AssertionError("a leased place has a Chrome")
        lease = Lease(chrome)
        try:
            self._demand.leased(asyncio.get_running_loop().time())
            self._expect()  # the next one starts while this one paints
            yield lease
        except BaseException:
            lease.finish()
            self._retire(place, on_gone)
            raise
        lease.finish()
        self._give_back(place, chrome, on_gone)

    def statistics(self) -> PoolStatistics:
        """The books at this moment."""
        books = self._books
        counts = {state.value: books.count(state) for state in State if state is not State.GONE}
        return PoolStatistics(
            counts=counts,
            waiting=books.waiting(),
            started=self._started,
            renewed=self._renewed,
            failed_starts=self._failed_starts,
            endings=dict(self._endings),
            unclean=self._unclean,
            survivors=tuple(self._survivors.values()),
            leftovers=sum(found.leftovers for found in self._unswept.values()),
        )

    @property
    def is_ready(self) -> bool:
        """Whether a Chrome is ready or at work, or the next one is on its way as usual.

        With one Chrome kept ahead there is a moment after each render in which the next is still
        starting; that moment is no reason to take this replica out of service.
        """
        usual = (State.READY, State.LEASED) if self._failures else tuple(State)
        return not self._stopping and self._books.count(*usual) > 0

    async def close(self) -> None:
        """End every Chrome, leased ones too, and wait until nothing is left of any."""
        self._stopping = True
        self._books.fail_waiters(Stopping("the service is stopping"))
        for place in list(self._books.places.values()):
            if place.state is not State.STARTING:
                self._retire(place)
        for task in self._tasks:
            if task.get_name().startswith("start"):
                task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        for place in list(self._books.places.values()):
            self._books.gone(place)  # a start that was cancelled before its first step
        for beside in (self._watching, self._rounds, self._tidying):
            if beside is not None:
                beside.cancel()
        if self._home is not None:
            await asyncio.to_thread(self._home.close)
            self._home = None

    def __repr__(self) -> str:
        return repr(self._books)

    async def _take(self, on_gone: Callable[[], None]) -> Place:
        if self._stopping:
            on_gone()
            raise Stopping("the service is stopping")
        if (place := self._books.take()) is not None:
            return place
        waiter: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._books.waiters.append(waiter)
        self._balance()
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Leased to us in the very moment we were cancelled.
                self._retire(waiter.result(), on_gone)
            else:
                on_gone()
            raise

    def _expect(self) -> None:
        """Keep ready what the rate of leases asks for by now, and let go of what it does not."""
        books, now = self._books, asyncio.get_running_loop().time()
        if self.spec.renders > 1:  # they come back sooner than others would start
            books.busy = self._demand.busy(books.count(State.LEASED), now)
        else:
            books.ready = self._demand.ready(now)
        self._balance()

    def _balance(self) -> None:
        """Start what the books say is missing."""
        if self._stopping:
            return
        for place in self._books.surplus():
            self._retire(place)
        for place in self._books.to_start():
            self._own(self._start(place), f"start {place.number}")

    async def _start(self, place: Place) -> None:
        """Start one Chrome, after a pause when earlier starts failed."""
        if self._failures:
            await self._pause(place)
        try:
            await self._bring_up(place)
        except ChromeNotStarted as error:
            event(logger, logging.ERROR, str(error), failures=self._failures)
        except Exception:
            logger.exception("starting a Chrome failed in a way of its own")
        if self._failures >= PATIENCE:
            self._books.fail_waiters(ChromeDied("no Chrome can be started at the moment"))
        self._balance()

    async def _pause(self, place: Place) -> None:
        try:
            await asyncio.sleep(PAUSES[min(self._failures, len(PAUSES)) - 1])
        except asyncio.CancelledError:
            self._books.gone(place)
            raise

    async def _bring_up(self, place: Place) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        try:
            await self._ensure_home()
            chrome = await Chrome.start(
                self.spec, place.number, lambda ending: self._look_at(place, ending)
            )
        except ChromeNotStarted:
            self._failures += 1
            self._failed_starts += 1
            self._books.gone(place)
            raise
        except BaseException as error:  # whatever it was, the place comes back
            self._failures += not isinstance(error, asyncio.CancelledError)
            self._books.gone(place)
            raise
        self._failures = 0
        self._started += 1
        self._demand.started(loop.time() - begin)
        chrome.lost.add_done_callback(lambda _: self._lost(place))
        self._is_ready(place, chrome)

    def _without_folder(self) -> list[Place]:
        """Ready Chromes whose folder somebody has removed: they may fail in any way."""
        home = self.spec.home
        ready = self._books.some(State.READY)
        return [place for place in ready if not (home / str(place.number)).exists()]

    async def _ensure_home(self) -> None:
        """Make the folder of our leases again where somebody has removed it.

        Raises:
            ChromeNotStarted: It cannot be made; the next start tries again.
        """
        if self._home is None or self._home.is_there():
            return
        home = self._home
        async with self._making_home:
            if home.is_there():
                return
            try:
                await asyncio.to_thread(home.make_again)
            except OSError as error:
                raise _no_home(self.spec.home, error) from error
            told = "the work folder or its lock file was removed; created again"
            event(logger, logging.WARNING, told, folder=str(self.spec.home))

    async def _keep_tidying(self) -> None:
        """Try again, now and then, what could not be removed before."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await self._tidy()
                await self._sweep()
            except Exception:  # one attempt that failed is no reason not to try again
                logger.exception("removing leftovers failed")

    async def _tidy(self) -> None:
        """Remove the lease folders of which no Chrome is in the books any more."""
        found = await asyncio.to_thread(_entries, self.spec.home)
        in_books = {str(number) for number in self._books.places}  # read after the folders
        for folder in found:
            if folder.name not in in_books:
                resisted = await asyncio.to_thread(remove_folder, str(folder), None)
                if not resisted:
                    told = "a folder that could not be removed before is removed"
                    event(logger, logging.WARNING, told, folder=folder.name)

    def _is_ready(self, place: Place, chrome: Chrome) -> None:
        """Started, or made ready again; its page is a new one in either case."""
        chrome.page.crashed.add_done_callback(lambda _: self._lost(place))
        self._books.became_ready(place, chrome)
        if self._stopping:
            self._retire(place)

    def _lost(self, place: Place) -> None:
        """A Chrome left by itself: a ready one is replaced, a leased one's render will notice."""
        if place.state is State.READY:
            event(logger, logging.WARNING, "a ready Chrome died; replacing it", chrome=place.number)
            self._retire(place)

    async def _make_rounds(self) -> None:
        """Replace ready Chromes of which a part is stopped or dead.

        Such a Chrome says nothing: its pipe stays open. Its next caller would wait in vain, and the
        dead part is a zombie for as long as the Chrome is ready.
        """
        before: frozenset[tuple[int, int]] = frozenset()
        signs = SignsOfLife()
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            self._expect()
            self._give_up_starts()
            now = before
            if self._books.count(State.READY):
                try:
                    now = await asyncio.to_thread(unhealthy, self.spec.instance)
                except Exception:  # one look that failed is no reason to stop looking
                    logger.exception("looking at the ready Chromes failed")
            # Twice in a row, since every process is a zombie for the moment until it is reaped.
            leases = {lease for lease, _ in before & now}
            silent = signs.missing(self._books.some(State.READY), asyncio.get_running_loop().time())
            silent += await asyncio.to_thread(self._without_folder)
            for place in self._books.some(State.READY):
                if place.number % (1 << LEASE_BITS) in leases or place in silent:
                    told = "a part of a ready Chrome is stopped or dead; replacing it"
                    event(logger, logging.WARNING, told, chrome=place.number)
                    self._retire(place)
            before = now

    def _give_up_starts(self) -> None:
        """End starts that are not wanted any more.

        What is left of them after a second has lost a part, as a rule, and would be waited for
        until the start's own time is up.
        """
        unwanted = {f"start {place.number}" for place in self._books.unwanted()}
        for task in self._tasks:
            if task.get_name() in unwanted:
                task.cancel()

    def _give_back(self, place: Place, chrome: Chrome, on_gone: Callable[[], None]) -> None:
        """End a Chrome that has done its part, or have it made ready for another lease."""
        is_last = place.served + 1 >= self.spec.renders
        if is_last or self._stopping or place.state is not State.LEASED:
            self._retire(place, on_gone)
            return
        self._books.renew(place)
        self._own(self._renew(place, chrome, on_gone), f"renew {place.number}")

    async def _renew(self, place: Place, chrome: Chrome, on_gone: Callable[[], None]) -> None:
        """See the last page of a Chrome gone and open the next one, or replace that Chrome."""
        try:
            await chrome.renew()
        except Exception as error:  # of whatever kind: doubt means discard
            if not self._stopping:
                told = f"a Chrome is replaced after a render: {error}"
                event(logger, logging.WARNING, told, chrome=place.number)
            self._retire(place, on_gone)
            return
        if place.state is not State.RENEWING:  # the pool has closed meanwhile
            self._retire(place, on_gone)
            return
        self._renewed += 1
        self._is_ready(place, chrome)
        on_gone()
        self._balance()

    def _retire(self, place: Place, on_gone: Callable[[], None] = ignore) -> None:
        """Kill a Chrome now and see it gone later, in a task of ours.

        One that is being ended already, because the pool closes, is waited for like any other.
        """
        chrome = place.chrome
        if chrome is None or place.state is State.GONE:
            on_gone()
            return
        place.on_gone.append(on_gone)
        if not self._books.retire(place):
            return
        chrome.page.abandon()
        chrome.end()
        self._own(self._see_gone(place, chrome), f"end {place.number}")

    async def _see_gone(self, place: Place, chrome: Chrome) -> None:
        begin = time.perf_counter()
        try:
            ending = await chrome.wait_gone()
            self._on_ending(ending, time.perf_counter() - begin)
            self._note(place, ending)
        finally:
            self._books.gone(place)
            for told in place.on_gone:
                told()
            self._balance()

    def _note(self, place: Place, ending: Ending) -> None:
        """Count the ending of a Chrome that was ready."""
        self._endings[ending.reason] += 1
        self._look_at(place, ending)

    def _look_at(self, place: Place, ending: Ending) -> None:
        """Tell an ending that needed a backstop, also of a failed start; watch what one left."""
        if ending.clean:
            return
        self._unclean += 1
        event(
            logger,
            logging.ERROR,
            "a Chrome's shim did not report that nothing is left; the backstop swept",
            chrome=place.number,
            reason=ending.reason,
            swept=ending.swept,
        )
        for survivor in ending.survivors:
            event(logger, logging.ERROR, "a process survived SIGKILL", **asdict(survivor))
            self._survivors[survivor.pid] = survivor
        if self._survivors and self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch_survivors())

    async def _watch_survivors(self) -> None:
        """Keep every survivor on the list until it is gone; it was sent SIGKILL, so it will be."""
        while self._survivors:
            await asyncio.sleep(SURVIVOR_SECONDS)
            for pid, seen in list(self._survivors.items()):
                now = await asyncio.to_thread(look, pid, seen.tag)
                if now is None or now.zombie or now.started != seen.started:
                    del self._survivors[pid]
                    event(logger, logging.WARNING, "a survivor is gone at last", pid=pid)
        self._watching = None

    async def _sweep(self) -> None:
        """Remove what earlier lives left; what resists is told once, counted, and tried again."""
        before, self._unswept = self._unswept, {}
        for found in await sweep(self.spec.home.parent):
            if found.leftovers:
                self._unswept[found.instance] = found
            if found != before.get(found.instance):
                event(logger, logging.WARNING, "swept after an earlier life", **asdict(found))

    def _own(self, work: Any, name: str) -> None:
        # A context of its own: it outlives the request in which it happens to begin.
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(
            work, name=name, context=contextvars.Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the pool failed", exc_info=error)


class SignsOfLife:
    """Asks the pages of ready Chromes whether they are there, and tells who does not answer."""

    def __init__(self) -> None:
        self._asked: dict[tuple[int, int], tuple[asyncio.Future[Any], float]] = {}

    def missing(self, ready: list[Place], now: float) -> list[Place]:
        """Those of which a sign has been missing for too long; asks all others for the next."""
        before, self._asked, silent = self._asked, {}, []
        for place in ready:
            if place.chrome is None:
                continue
            key = (place.number, place.served)  # after a lease the page is another
            sign, since = before.get(key, (None, now))
            if sign is None or sign.done():
                try:
                    self._asked[key] = (place.chrome.page.ping(), now)
                except ChromeDied:
                    silent.append(place)
            elif now - since > SILENT_SECONDS:
                silent.append(place)
            else:
                self._asked[key] = (sign, since)
        return silent


def open_home(path: Path, *, shared: bool) -> InstanceDir:
    """Take possession of the folder that this life's leases are made in.

    Raises:
        ChromeNotStarted: It cannot be had, and why.
    """
    try:
        return InstanceDir.open(path, shared=shared)
    except OSError as error:
        raise _no_home(path, error) from error


def _no_home(path: Path, error: OSError) -> ChromeNotStarted:
    return ChromeNotStarted(f"POSTER_WORK_DIR={path.parent}: {error.strerror}")


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it is missing or cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []
