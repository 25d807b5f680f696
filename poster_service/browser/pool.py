"""Ready Chromes: leased for a render each, retired or renewed, replaced ahead of need.

`pool_state.py` decides what must be started or ended; here it is done. A Chrome is ended after the
response, in a task that the pool owns, and counts against the capacity until nothing of it is left.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from poster_service.browser.chrome import Chrome
from poster_service.browser.demand import Demand
from poster_service.browser.lease import Lease, PoolSize
from poster_service.browser.pool_health import HealthCheck
from poster_service.browser.pool_record import PoolRecord
from poster_service.browser.pool_state import PoolEntry, PoolState, PoolStatistics, State
from poster_service.browser.pool_tasks import PoolTasks
from poster_service.browser.premises import Premises
from poster_service.browser.spec import ChromeSpec
from poster_service.browser.warm import WarmKey, WarmPage
from poster_service.browser.warm_state import WarmPages
from poster_service.errors import ChromeDied, ChromeNotStarted, Stopping
from poster_service.logs import event
from poster_service.process.spawn import Ending
from poster_service.stats import ignore

__all__ = ["Lease", "Pool", "PoolSize"]

logger = logging.getLogger(__name__)

#: How often ready Chromes are checked, in seconds: 1 to 2 ms of CPU each time, more for root
#: without CAP_SYS_RESOURCE (see `census.tag_of`).
CHECK_SECONDS = 1.0


class Pool:
    """Keeps Chromes started ahead, never more than `size.capacity` in all.

    Args:
        spec: What all its Chromes share.
        size: How many there are.
        on_ending: Called with each ending, and how long it took in seconds.
        premises: What it shares with other pools, which opens and closes it; its own without.
    """

    def __init__(
        self,
        spec: ChromeSpec,
        size: PoolSize,
        *,
        on_ending: Callable[[Ending, float], None] = ignore,
        premises: Premises | None = None,
    ) -> None:
        self.spec = spec
        self._on_ending = on_ending
        self._premises = premises or Premises(spec.instance_dir, size.capacity)
        self._owns_premises = premises is None
        self._premises.pools.append(self)
        self._state = PoolState(self._premises.capacity, size.ready, size.starts)
        self._demand = Demand(size.ready, max(size.ready, size.most_ready or 0), size.leases)
        self.warm_pages = WarmPages(self._state, size.warm)
        self._record = PoolRecord()
        self._tasks = PoolTasks()
        self._upkeep: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Create the folder, remove leftovers of previous instances, start the first Chrome.

        May be called again after a failure, with another spec.

        Raises:
            ChromeNotStarted: The Chrome did not start, and nothing is left of it; or the folder
                cannot be created.
        """
        self._record.failed_starts.in_a_row = 0
        await self._premises.open(shared=self.spec.user is not None)
        await self._bring_up(self._state.add())
        self.start_without_chrome()

    def start_without_chrome(self) -> None:
        """The same, but no Chrome is started before it is needed, nor is the folder created."""
        self._upkeep = [asyncio.get_running_loop().create_task(self._keep_checking())]
        self.balance()

    @contextlib.asynccontextmanager
    async def lease(
        self, on_gone: Callable[[], None] = ignore, warm: WarmKey | None = None
    ) -> AsyncIterator[Lease]:
        """Lease a ready Chrome; it is killed at once when the block is left in any way.

        Where a Chrome serves more than one render, it is killed after the last one, and after one
        that failed or was cut off: doubt means discard. Otherwise only its page is closed, and the
        pool waits until the page's processes have exited.

        Args:
            on_gone: Called once nothing of that Chrome, or page, is left, or at once when none was
                leased.
            warm: What a page must be of that the render may share; None if it may share none.
                Without such a page it gets a new one, which others may have after it.

        Raises:
            ChromeDied: Chromes fail to start again and again.
            Stopping: The pool is closing.
        """
        entry = None if warm is None else self._state.take_warm(warm)
        is_warm = entry is not None
        if entry is None:
            entry = await self._take(on_gone)
            entry.warm = None if warm is None else WarmPage(warm)
        chrome = entry.chrome
        if chrome is None:
            raise AssertionError("a leased entry has a Chrome")
        lease = Lease(chrome)
        try:
            if not is_warm:
                self._demand.leased(asyncio.get_running_loop().time())
                self._adapt()  # the next one starts while this one paints
            yield lease
        except BaseException:
            lease.finish()
            self._retire(entry, on_gone)
            raise
        lease.finish()
        self._give_back(entry, chrome, lease, on_gone)

    def statistics(self) -> PoolStatistics:
        """The state at this moment, frozen."""
        state, record = self._state, self._record
        counts = {each.value: state.count(each) for each in State if each is not State.GONE}
        return PoolStatistics(
            counts=counts,
            waiting=state.waiting(),
            started=record.started,
            renewed=record.renewed,
            failed_starts=record.failed_starts.count,
            endings=dict(record.endings),
            unclean=record.unclean,
            survivors=record.survivors.seen,
            leftovers=self._premises.folder.leftovers,
        )

    def chromes(self) -> dict[int, str]:
        """The state of every Chrome by its number; may be called from any thread."""
        return {entry.number: entry.state.value for entry in [*self._state.entries.values()]}

    @property
    def is_ready(self) -> bool:
        """Whether a Chrome is ready or at work, or the next one is starting as usual.

        With one Chrome kept ahead there is a moment after each render in which the next is still
        starting; that moment is no reason to take this replica out of service.
        """
        failed = self._record.failed_starts.in_a_row
        counted = (State.READY, State.LEASED) if failed else tuple(State)
        return not self._stopping and self._state.count(*counted) > 0

    async def close(self) -> None:
        """End every Chrome, leased ones too, and wait until nothing is left of any."""
        self._stopping = True
        self._state.fail_waiters(Stopping("the service is stopping"))
        for entry in list(self._state.entries.values()):
            if entry.state is not State.STARTING:
                self._retire(entry)
        self._tasks.cancel(lambda name: name.startswith("start"))
        await self._tasks.wait_all()
        for entry in list(self._state.entries.values()):
            self._state.remove(entry)  # a start that was cancelled before its first step
        for task in self._upkeep:
            task.cancel()
        self._record.survivors.close()
        if self._owns_premises:
            await self._premises.close()

    def __repr__(self) -> str:
        return repr(self._state)

    async def _take(self, on_gone: Callable[[], None]) -> PoolEntry:
        if self._stopping:
            on_gone()
            raise Stopping("the service is stopping")
        if (entry := self._state.take()) is not None:
            return entry
        waiter: asyncio.Future[PoolEntry] = asyncio.get_running_loop().create_future()
        self._state.waiters.append(waiter)
        self.balance()
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Leased to this caller in the very moment in which it was cancelled.
                self._retire(waiter.result(), on_gone)
            else:
                on_gone()
            raise

    def _adapt(self) -> None:
        """Adapt the number of ready Chromes to the rate of leases."""
        state, now = self._state, asyncio.get_running_loop().time()
        if self.spec.renders > 1:  # they return, mostly sooner than others would start
            state.busy = self._demand.busy(state.count(State.LEASED), now)
            state.ready = self._demand.spare(state.busy, now)
        else:
            state.ready = self._demand.ready(now)
        self.balance()

    def balance(self) -> None:
        """Start the Chromes that are missing and end those that are not needed."""
        if self._stopping:
            return
        for entry in self._state.surplus():
            self._retire(entry)
        for entry in self._state.to_start():
            self._tasks.start(self._start(entry), f"start {entry.number}")
        if lacking := self._state.lacking():
            self._premises.shed(self, lacking)

    @property
    def waiting(self) -> int:
        """How many callers wait for a Chrome."""
        return self._state.waiting()

    def shed(self, most: int) -> int:
        """End ready Chromes that no caller waits for, as another pool needs the room.

        Returns:
            How many, up to `most`.
        """
        idle = self._state.idle()[:most]
        for entry in idle:
            self._retire(entry)
        return len(idle)

    async def _start(self, entry: PoolEntry) -> None:
        """Start one Chrome; after several starts that failed, callers that wait get an error."""
        failed = self._record.failed_starts
        try:
            await self._bring_up(entry)
        except ChromeNotStarted as error:
            event(logger, logging.ERROR, str(error), failures=failed.in_a_row)
        except Exception:
            logger.exception("starting a Chrome failed unexpectedly")
        if failed.are_many:
            self._state.fail_waiters(ChromeDied("no Chrome can be started at the moment"))
        self.balance()

    async def _bring_up(self, entry: PoolEntry) -> None:
        """Start one Chrome, after a pause when earlier starts failed."""
        loop = asyncio.get_running_loop()
        failed = self._record.failed_starts
        try:
            await failed.pause()
            begin = loop.time()
            await self._premises.folder.ensure()
            unclean = functools.partial(self._record.note_unclean, entry.number)
            chrome = await Chrome.start(self.spec, entry.number, unclean)
        except BaseException as error:  # after any failure: the entry must not stay
            if not isinstance(error, asyncio.CancelledError):
                failed.add()
            self._state.remove(entry)
            raise
        failed.in_a_row = 0
        self._record.started += 1
        self._demand.started(loop.time() - begin)
        chrome.lost.add_done_callback(lambda _: self._lost(entry))
        self._became_ready(entry, chrome)

    def _became_ready(self, entry: PoolEntry, chrome: Chrome) -> None:
        """Take in a Chrome that was started or renewed; its page is a new one in either case."""
        chrome.page.crashed.add_done_callback(lambda _: self._lost(entry))
        self._state.became_ready(entry, chrome)
        if self._stopping:
            self._retire(entry)

    def _lost(self, entry: PoolEntry) -> None:
        """Replace a ready Chrome that died; the render of a leased one notices by itself."""
        if entry.state in (State.READY, State.WARM):
            event(logger, logging.WARNING, "a ready Chrome died; replacing it", chrome=entry.number)
            self._retire(entry)

    async def _keep_checking(self) -> None:
        """Adapt to the demand and replace unfit Chromes, at intervals, for ever."""
        state = self._state
        check = HealthCheck(
            self.spec.instance_dir,
            lambda: state.in_state(State.READY) + state.in_state(State.WARM),
        )
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._check(check)
            except Exception:  # one check that failed is no reason to stop checking
                logger.exception("checking the ready Chromes failed")

    async def _check(self, check: HealthCheck) -> None:
        self._adapt()
        self._give_up_starts()
        for entry in self.warm_pages.useless(self.spec):
            self._retire(entry)
        for entry in await check.unfit():
            message = "a part of a ready Chrome is stopped or dead; replacing it"
            event(logger, logging.WARNING, message, chrome=entry.number)
            self._retire(entry)

    def _give_up_starts(self) -> None:
        """Cancel starts that are not needed any more.

        A start that takes longer than a second has usually lost a part, and would be waited for
        until its own time is up.
        """
        unwanted = {f"start {entry.number}" for entry in self._state.unwanted()}
        self._tasks.cancel(unwanted.__contains__)

    def _give_back(
        self, entry: PoolEntry, chrome: Chrome, lease: Lease, on_gone: Callable[[], None]
    ) -> None:
        """End a Chrome that has served its renders, or make it ready for another lease."""
        warm = entry.warm
        if self._stopping or entry.state is not State.LEASED:
            self._retire(entry, on_gone)
            return
        if warm is not None and lease.may_stay and self.warm_pages.may_stay(warm, self.spec):
            for other in self.warm_pages.surplus():
                self._retire(other)
            self._state.clean(entry)
            work, done = chrome.clean(warm, evicts=lease.evicts), self._became_warm
        elif warm is None and entry.served + 1 < self.spec.renders:
            self._state.renew(entry)
            work, done = self._renew(chrome), self._became_renewed
        else:
            self._retire(entry, on_gone)
            return
        self._tasks.start(self._tidy_up(entry, work, done, on_gone), f"tidy {entry.number}")

    async def _tidy_up(
        self,
        entry: PoolEntry,
        work: Coroutine[Any, Any, None],
        done: Callable[[PoolEntry, Chrome], None],
        on_gone: Callable[[], None],
    ) -> None:
        """Have a Chrome ready for another lease once the last one is gone, or replace it."""
        state, chrome = entry.state, entry.chrome
        try:
            await work
        except Exception as error:  # of any kind: doubt means discard
            if not self._stopping:
                message = f"a Chrome is replaced after a render: {error}"
                event(logger, logging.WARNING, message, chrome=entry.number)
            self._retire(entry, on_gone)
            return
        if entry.state is not state or chrome is None:  # the pool has closed meanwhile
            self._retire(entry, on_gone)
            return
        done(entry, chrome)
        on_gone()
        self._premises.balance()

    async def _renew(self, chrome: Chrome) -> None:
        """As `Chrome.renew`, and note how long it takes."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await chrome.renew()
        self._demand.renewed(loop.time() - begin)

    def _became_renewed(self, entry: PoolEntry, chrome: Chrome) -> None:
        self._record.renewed += 1
        self._became_ready(entry, chrome)

    def _became_warm(self, entry: PoolEntry, chrome: Chrome) -> None:
        chrome.page.crashed.add_done_callback(lambda _: self._lost(entry))
        self._state.became_warm(entry)

    def _retire(self, entry: PoolEntry, on_gone: Callable[[], None] = ignore) -> None:
        """Kill a Chrome now and wait in a task of the pool until nothing of it is left.

        One that is being ended already, because the pool closes, is waited for like any other.
        """
        chrome = entry.chrome
        if chrome is None or entry.state is State.GONE:
            on_gone()
            return
        entry.on_gone.append(on_gone)
        if not self._state.retire(entry):
            return
        chrome.page.abandon()
        chrome.end()
        self._tasks.start(self._wait_gone(entry, chrome), f"end {entry.number}")

    async def _wait_gone(self, entry: PoolEntry, chrome: Chrome) -> None:
        begin = time.perf_counter()
        try:
            ending = await chrome.wait_gone()
            self._on_ending(ending, time.perf_counter() - begin)
            self._record.ended(entry.number, ending)
        finally:
            self._state.remove(entry)
            for callback in entry.on_gone:
                callback()
            self._premises.balance()
