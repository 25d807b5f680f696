"""The pool's books: who is starting, ready, leased, renewing or retiring, and who waits.

Plain functions that change state at once and say what must be started or ended; nothing in here
awaits, starts or kills, so a cancellation can never leave them half written. A file of its own so
that every order of events can be tried on them without a single Chrome.
"""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from types import MappingProxyType

from poster_service.browser.chrome import Chrome


class State(Enum):
    """Where a Chrome is in its life."""

    STARTING = "starting"
    READY = "ready"
    LEASED = "leased"
    RENEWING = "renewing"
    RETIRING = "retiring"
    GONE = "gone"


#: The only moves there are.
MOVES = MappingProxyType(
    {
        State.STARTING: {State.READY, State.RETIRING, State.GONE},
        State.READY: {State.LEASED, State.RETIRING},
        State.LEASED: {State.RENEWING, State.RETIRING},
        State.RENEWING: {State.READY, State.RETIRING},
        State.RETIRING: {State.GONE},
        State.GONE: set[State](),
    }
)


class Place:
    """One Chrome's line in the books."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = State.STARTING
        self.chrome: Chrome | None = None
        #: Leases that it has served to their end.
        self.served = 0
        #: Called by the pool once nothing of it is left.
        self.on_gone: list[Callable[[], None]] = []

    def move(self, to: State) -> None:
        """Change state; only along MOVES."""
        if to not in MOVES[self.state]:
            raise AssertionError(f"Chrome {self.number}: {self.state.value} to {to.value}")
        self.state = to


class PoolState:
    """Who is starting, ready, leased, renewing or retiring, and who waits.

    Never awaits, starts or kills.

    Attributes:
        capacity: Chromes at most, those that are being ended too.
        ready: Chromes to be kept ready; may be changed at any time.
        busy: Leases at once that are to be expected. Where Chromes come back from their leases, so
            many are kept for them; 0 where they do not.
        starts: Chromes that may start at once.
    """

    def __init__(self, capacity: int, ready: int, starts: int | None = None) -> None:
        self.capacity = capacity
        self.ready = ready
        self.busy = 0
        self.starts = starts or capacity
        self.places: dict[int, Place] = {}
        self.waiters: deque[asyncio.Future[Place]] = deque()
        self._numbers = itertools.count(1)

    def count(self, *states: State) -> int:
        """How many are in any of these states."""
        return sum(place.state in states for place in self.places.values())

    def some(self, state: State) -> list[Place]:
        """Those in a state, in the order of the books."""
        return [place for place in self.places.values() if place.state is state]

    def _kept(self) -> int:
        """Chromes that are to be ready, or on their way: for who waits, comes back, or may come."""
        returning = max(0, self.busy - self.count(State.LEASED))
        return self.ready + returning + self.waiting()

    def to_start(self) -> list[Place]:
        """Enter as many new places as need and capacity say; the caller starts them."""
        self._drop_gone_waiters()
        coming = self.count(State.STARTING, State.READY, State.RENEWING)
        wanted = self.ready + self.waiting() - coming
        room = self.capacity - len(self.places)
        may = self.starts - self.count(State.STARTING)
        return [self.enter() for _ in range(max(0, min(wanted, room, may)))]

    def surplus(self) -> list[Place]:
        """Ready Chromes beyond those to be kept and waited for.

        Their callers have hung up, or there are fewer callers than there were.
        """
        return self.some(State.READY)[self._kept() :]

    def unwanted(self) -> list[Place]:
        """Starts that nobody waits for any more, the newest first to go."""
        there = self.count(State.READY, State.RENEWING)
        return self.some(State.STARTING)[max(0, self._kept() - there) :]

    def became_ready(self, place: Place, chrome: Chrome) -> None:
        """Note a started or renewed Chrome and hand it to the first who waits."""
        place.chrome = chrome
        place.move(State.READY)
        self.places[place.number] = self.places.pop(place.number)  # `take` goes by this order
        self.serve_waiters()

    def take(self) -> Place | None:
        """Lease the ready Chrome that has waited longest, if there is one."""
        for place in self.places.values():
            if place.state is State.READY:
                place.move(State.LEASED)
                return place
        return None

    def serve_waiters(self) -> None:
        """Give ready Chromes to those who wait, first come first served."""
        self._drop_gone_waiters()
        while self.waiters and (place := self.take()) is not None:
            self.waiters.popleft().set_result(place)
            self._drop_gone_waiters()

    def renew(self, place: Place) -> None:
        """Note that a lease has ended well and its Chrome is made ready for another."""
        place.served += 1
        place.move(State.RENEWING)

    def retire(self, place: Place) -> bool:
        """Mark a Chrome as ending; False when it was already."""
        if place.state in (State.RETIRING, State.GONE):
            return False
        place.move(State.RETIRING)
        return True

    def gone(self, place: Place) -> None:
        """Strike a Chrome of which nothing is left."""
        place.move(State.GONE)
        del self.places[place.number]

    def fail_waiters(self, error: Exception) -> None:
        """Tell everyone who waits that there will be nothing."""
        self._drop_gone_waiters()
        while self.waiters:
            self.waiters.popleft().set_exception(error)
            self._drop_gone_waiters()

    def waiting(self) -> int:
        """How many wait who have not hung up."""
        return sum(not waiter.done() for waiter in self.waiters)

    def enter(self) -> Place:
        """Open a new line in the books, for a Chrome about to be started."""
        place = Place(next(self._numbers))
        self.places[place.number] = place
        return place

    def _drop_gone_waiters(self) -> None:
        while self.waiters and self.waiters[0].done():
            self.waiters.popleft()

    def __repr__(self) -> str:
        counts = Counter(place.state.value for place in self.places.values())
        told = ", ".join(f"{counts[state.value]} {state.value}" for state in State)
        return f"<PoolState {told}, {self.waiting()} waiting, capacity {self.capacity}>"
