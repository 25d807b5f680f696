"""The pool's state: which Chromes are starting, ready, leased, renewing or retiring, and who waits.

Plain functions that change the state at once and return what must be started or ended. Nothing in
here awaits, starts or kills, so a cancellation can never leave the state half changed. A file of
its own so that tests can try every order of events without a single Chrome.
"""

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from poster_service.browser.chrome import Chrome
from poster_service.browser.warm import WarmKey, WarmPage
from poster_service.process.census import Seen


class State(Enum):
    """Where a Chrome is in its life."""

    STARTING = "starting"
    READY = "ready"
    LEASED = "leased"
    RENEWING = "renewing"
    CLEANING = "cleaning"
    WARM = "warm"
    RETIRING = "retiring"
    GONE = "gone"


#: The only legal changes of state.
MOVES = MappingProxyType(
    {
        State.STARTING: {State.READY, State.RETIRING, State.GONE},
        State.READY: {State.LEASED, State.RETIRING},
        State.LEASED: {State.RENEWING, State.CLEANING, State.RETIRING},
        State.RENEWING: {State.READY, State.RETIRING},
        State.CLEANING: {State.WARM, State.RETIRING},
        State.WARM: {State.LEASED, State.RETIRING},
        State.RETIRING: {State.GONE},
        State.GONE: set[State](),
    }
)


class PoolEntry:
    """One Chrome of the pool, from before its start until nothing of it is left.

    Attributes:
        number: Its number within the pool, from 1; also the number of its lease folder and tag.
        state: Where it is in its life.
        chrome: None until it is ready for the first time.
        served: Leases that it has served to their end.
        warm: Its page, where that is used again; None for a page that is not.
        since: When its page last proved that it answers, on the monotonic clock: it became ready,
            or clean after a render.
        on_gone: Called by the pool once nothing of it is left.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = State.STARTING
        self.chrome: Chrome | None = None
        self.served = 0
        self.warm: WarmPage | None = None
        self.since = 0.0
        self.on_gone: list[Callable[[], None]] = []

    def move(self, to: State) -> None:
        """Change the state.

        Raises:
            AssertionError: The change is not in MOVES.
        """
        if to not in MOVES[self.state]:
            raise AssertionError(f"Chrome {self.number}: {self.state.value} to {to.value}")
        self.state = to


@dataclass(frozen=True)
class PoolStatistics:
    """The state of a pool at one moment, and its counters since the start.

    Attributes:
        counts: Chromes by state; GONE ones are not counted.
        waiting: Leases that wait for a ready Chrome.
        started: Chromes that became ready.
        renewed: Leases after which a Chrome was made ready for another.
        failed_starts: Chrome starts that failed.
        endings: Ended Chromes by reason (see `Ending`), of those that had become ready.
        unclean: Endings that needed the backstop, those of failed starts too.
        survivors: Processes that outlived even the backstop and are still there.
        leftovers: Files and folders of previous instances that could not be removed so far.
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


class Capacity:
    """How many Chromes there may be, of one pool or of several together, and their numbers.

    Attributes:
        most: As the pools count, those that are being ended included.
        states: The states of the pools that share it.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.states: list[PoolState] = []
        self._numbers = itertools.count(1)

    @property
    def room(self) -> int:
        """Chromes that may still be started; those of warm pages that wait do not count."""
        return self.most - sum(
            len(state.entries) - state.count(State.WARM) for state in self.states
        )

    def retiring(self) -> int:
        """Chromes that are being ended, after which there is room."""
        return sum(state.count(State.RETIRING) for state in self.states)

    def number(self) -> int:
        """A number that no other Chrome of these pools has."""
        return next(self._numbers)


class PoolState:
    """All entries of a pool, and the callers that wait for one.

    Never awaits, starts or kills.

    Attributes:
        shared: How many Chromes there may be, of this pool and those that share it.
        ready: Chromes to keep ready; may be changed at any time.
        busy: Concurrent leases to expect. Where Chromes return from their leases, so many are kept
            for them; 0 where they do not.
        starts: Chromes that may start at once.
        entries: By number, those that are ready in the order in which they became so.
        waiters: Futures of the callers that wait for a ready Chrome, the first in line first.
    """

    def __init__(self, capacity: int | Capacity, ready: int, starts: int | None = None) -> None:
        """Begin without an entry; several states may have the same `Capacity`."""
        self.shared = Capacity(capacity) if isinstance(capacity, int) else capacity
        self.shared.states.append(self)
        self.ready = ready
        self.busy = 0
        self.starts = starts or self.capacity
        self.entries: dict[int, PoolEntry] = {}
        self.waiters: deque[asyncio.Future[PoolEntry]] = deque()

    @property
    def capacity(self) -> int:
        """Chromes at most, including those that are being ended; of all pools that share it."""
        return self.shared.most

    def count(self, *states: State) -> int:
        """How many entries are in any of these states."""
        return sum(entry.state in states for entry in self.entries.values())

    def in_state(self, state: State) -> list[PoolEntry]:
        """The entries in a state, in the order of `entries`."""
        return [entry for entry in self.entries.values() if entry.state is state]

    def _target(self) -> int:
        """Chromes that should be ready or coming: for waiters, returning leases and new ones."""
        returning = max(0, self.busy - self.count(State.LEASED))
        return self.ready + returning + self.waiting()

    def to_start(self) -> list[PoolEntry]:
        """Add as many entries as are needed and fit; the caller starts their Chromes."""
        self._drop_done_waiters()
        needed = self.ready + self.waiting() - self._coming()
        may_start = self.starts - self.count(State.STARTING)
        return [self.add() for _ in range(max(0, min(needed, self.shared.room, may_start)))]

    def lacking(self) -> int:
        """How many callers wait for whom no Chrome is coming, for lack of room."""
        coming = self._coming() + self.shared.retiring()
        return max(0, self.waiting() - coming) if self.shared.room <= 0 else 0

    def idle(self) -> list[PoolEntry]:
        """Ready Chromes that no caller of this pool waits for, the oldest first."""
        return [] if self.waiting() else self.in_state(State.READY)

    def _coming(self) -> int:
        return self.count(State.STARTING, State.READY, State.RENEWING)

    def surplus(self) -> list[PoolEntry]:
        """Ready Chromes beyond the target.

        Their callers have hung up, or there are fewer callers than there were.
        """
        return self.in_state(State.READY)[self._target() :]

    def unwanted(self) -> list[PoolEntry]:
        """Starts beyond the target, of which the newest are given up."""
        there = self.count(State.READY, State.RENEWING)
        return self.in_state(State.STARTING)[max(0, self._target() - there) :]

    def became_ready(self, entry: PoolEntry, chrome: Chrome) -> None:
        """Note that a Chrome was started or renewed, and give it to the first waiter."""
        entry.chrome, entry.since = chrome, time.monotonic()
        entry.move(State.READY)
        self.entries[entry.number] = self.entries.pop(entry.number)  # `take` uses this order
        self.serve_waiters()

    def take(self) -> PoolEntry | None:
        """Lease the Chrome that has been ready longest; None if none is ready."""
        for entry in self.entries.values():
            if entry.state is State.READY:
                entry.move(State.LEASED)
                return entry
        return None

    def take_warm(self, key: WarmKey) -> PoolEntry | None:
        """Lease the Chrome whose page of this key was used last; None if there is none."""
        for entry in reversed(self.in_state(State.WARM)):
            if entry.warm is not None and entry.warm.key == key:
                entry.move(State.LEASED)
                return entry
        return None

    def clean(self, entry: PoolEntry) -> None:
        """Note that a lease ended well and its page is cleaned for another."""
        entry.served += 1
        entry.move(State.CLEANING)

    def became_warm(self, entry: PoolEntry) -> None:
        """Note that a page is clean."""
        entry.since = time.monotonic()
        entry.move(State.WARM)
        self.entries[entry.number] = self.entries.pop(entry.number)  # the last one used is the last

    def serve_waiters(self) -> None:
        """Give ready Chromes to the waiters, first come, first served."""
        self._drop_done_waiters()
        while self.waiters and (entry := self.take()) is not None:
            self.waiters.popleft().set_result(entry)
            self._drop_done_waiters()

    def renew(self, entry: PoolEntry) -> None:
        """Note that a lease ended well and its Chrome is made ready for another."""
        entry.served += 1
        entry.move(State.RENEWING)

    def retire(self, entry: PoolEntry) -> bool:
        """Mark a Chrome as ending; False if it was already."""
        if entry.state in (State.RETIRING, State.GONE):
            return False
        entry.move(State.RETIRING)
        return True

    def remove(self, entry: PoolEntry) -> None:
        """Remove the entry of a Chrome of which nothing is left."""
        entry.move(State.GONE)
        del self.entries[entry.number]

    def fail_waiters(self, error: Exception) -> None:
        """Fail every waiter with this error."""
        self._drop_done_waiters()
        while self.waiters:
            self.waiters.popleft().set_exception(error)
            self._drop_done_waiters()

    def waiting(self) -> int:
        """How many callers wait that have not hung up."""
        return sum(not waiter.done() for waiter in self.waiters)

    def add(self) -> PoolEntry:
        """Add the entry of a Chrome that is about to be started."""
        entry = PoolEntry(self.shared.number())
        self.entries[entry.number] = entry
        return entry

    def _drop_done_waiters(self) -> None:
        while self.waiters and self.waiters[0].done():
            self.waiters.popleft()

    def __repr__(self) -> str:
        counts = Counter(entry.state.value for entry in self.entries.values())
        states = ", ".join(f"{counts[state.value]} {state.value}" for state in State)
        return f"<PoolState {states}, {self.waiting()} waiting, capacity {self.capacity}>"
