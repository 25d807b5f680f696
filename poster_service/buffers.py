"""One budget for the memory of what is in transit: bodies that come, pictures made and sent.

Each of them has a bound of its own elsewhere; what all of them take together is bounded here. Plain
books for one event loop: nothing is awaited between looking and taking.

What is new is refused when there is no room (`Share.require`), what has a render behind it waits
for room (`Share.add`, `Share.fit`) and holds up nothing but itself. Nothing can lock up: one at a
time may go beyond the limit, so that whoever waits is served when that one is done, and what comes
to an end never needs more room to do so. Large things leave a quarter of the room to small ones,
and a peer that has stalled gives way to one that needs its room.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator

from poster_service.errors import Overloaded

#: Up to here a thing is small, in bytes, and may use all of the room; larger ones leave a quarter.
SMALL = 256 << 10
LARGE_PART = 0.75
#: A peer that has sent or taken less than `STEP` bytes in so many seconds has stalled.
STALLED_SECONDS, STEP = 5.0, 64 << 10
#: Whole seconds after which one who was refused is to come back.
RETRY_SECONDS = 2


class Share:
    """What one thing in transit takes; made by `Buffers.open`.

    Attributes:
        size: Bytes, as far as known.
    """

    def __init__(self, buffers: "Buffers", evict: Callable[[], None] | None) -> None:
        self.size = 0
        self._buffers = buffers
        self._evict = evict
        self._moved = buffers.clock()
        self._is_open = True

    def check(self, size: int) -> None:
        """Refuse now what there would be no room for.

        Raises:
            Overloaded: There is no room for `size` bytes in all.
        """
        self._buffers.check(size, self.size)

    def waits_for(self, evict: Callable[[], None] | None) -> None:
        """Wait for a peer from now on, which `evict` cuts off if it stalls; None for no longer."""
        self._evict = evict
        self.moved()

    def require(self, size: int) -> None:
        """Have room for at least `size` bytes in all.

        Raises:
            Overloaded: There is none.
        """
        if size > self.size:
            self._buffers.check(size, self.size)
            self.set(size)

    def set(self, size: int) -> None:
        """Take `size` bytes in all, room or not: they are there already, or gone."""
        if self._is_open:
            change, self.size = size - self.size, size
            self._buffers.changed(change)

    def add(self, size: int) -> "asyncio.Future[None] | None":
        """Take `size` bytes more that are there already; a future to wait for before the next."""
        self.set(self.size + size)
        if not self._is_open or self._buffers.may_go_on(self):
            return None
        return self._buffers.join(self, 0)

    async def fit(self, size: int) -> None:
        """Wait until there is room for `size` bytes in all, and take them."""
        if size <= self.size or self._buffers.may_go_on(self, size - self.size):
            self.set(size)
        else:
            await self._buffers.join(self, size)

    def moved(self) -> None:
        """The peer has sent or taken `STEP` bytes since it was last said to have."""
        self._moved = self._buffers.clock()

    @property
    def stalled_since(self) -> float | None:
        """When its peer last did anything; None where nobody waits for a peer."""
        return self._moved if self._evict is not None and self._is_open else None

    def give_way(self) -> None:
        """End it, so that another has its room."""
        evict, self._evict = self._evict, None
        self.close()
        if evict is not None:
            evict()

    def close(self) -> None:
        """Give back what it took; may be called more than once."""
        self.set(0)
        self._is_open = False
        self._buffers.closed(self)


class Buffers:
    """All shares, and how much they may take together.

    Attributes:
        limit: Bytes.
        used: Bytes.
        refused: How often something new found no room.
        evicted: How often a stalled peer gave way.
    """

    def __init__(
        self, limit: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self.clock = clock
        self.used = self.refused = self.evicted = 0
        self._shares: dict[Share, None] = {}
        self._waiting: deque[tuple[Share, int, asyncio.Future[None]]] = deque()
        #: The one that may go beyond the limit.
        self._over: Share | None = None
        self._bodies: dict[int, tuple[Share, int]] = {}

    def statistics(self) -> dict[str, float]:
        """Gauges and counters."""
        return {
            "limit_bytes": self.limit if self.limit != math.inf else 0,
            "used_bytes": self.used,
            "refused": self.refused,
            "evicted": self.evicted,
            "waiting": len(self._waiting),
        }

    @contextlib.contextmanager
    def open(self, evict: Callable[[], None] | None = None) -> Iterator[Share]:
        """A share of nothing yet, closed in the end.

        Args:
            evict: Ends it when its peer has stalled; None where there is no peer to wait for.
        """
        share = Share(self, evict)
        self._shares[share] = None
        try:
            yield share
        finally:
            share.close()

    @contextlib.contextmanager
    def sending(self, body: bytes, evict: Callable[[], None]) -> Iterator[Share]:
        """A share while an answer is sent; a body that several are sent at once counts once."""
        with self.open(evict) as share, self._held(body):
            yield share

    @contextlib.contextmanager
    def _held(self, body: bytes) -> Iterator[None]:
        key = id(body)  # nobody else's while we hold it
        held, count = self._bodies.get(key) or (Share(self, None), 0)
        held.set(len(body))
        self._bodies[key] = held, count + 1
        try:
            yield
        finally:
            held, count = self._bodies[key]
            if count > 1:
                self._bodies[key] = held, count - 1
            else:
                del self._bodies[key]
                held.close()

    def check(self, size: int, has: int = 0) -> None:
        """Refuse what there is no room for; stalled peers give way first.

        Args:
            size: Bytes of the whole of it.
            has: Bytes that it takes already.

        Raises:
            Overloaded: With the time to come back.
        """
        most = self.limit if size <= SMALL else self.limit * LARGE_PART
        if self.used - has + size > most:
            self._evict_for(size - has, most)
        if self.used - has + size > most:
            self.refused += 1
            raise Overloaded(
                "the memory for bodies and pictures in transit is in use", RETRY_SECONDS
            )

    def may_go_on(self, share: Share, more: int = 0) -> bool:
        """Whether one that is under way may take `more` bytes now, or go on as it is."""
        if self.used + more > self.limit:
            self._evict_for(more, self.limit)
        if self.used + more <= self.limit and (not self._waiting or share.size + more <= SMALL):
            return True
        if self._over in (None, share) and not self._waiting:
            self._over = share
        return self._over is share

    def join(self, share: Share, size: int) -> "asyncio.Future[None]":
        """Wait behind all who wait for room for `size` bytes in all, or for any if that is 0."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, size, place))
        return place

    def changed(self, size: int) -> None:
        """Count bytes taken or given back; only `Share.set` calls this."""
        self.used += size
        if size < 0:
            self._serve()

    def closed(self, share: Share) -> None:
        """Forget a share; only `Share.close` calls this."""
        self._shares.pop(share, None)
        if self._over is share:
            self._over = None
        for waiter in [one for one in self._waiting if one[0] is share]:
            self._waiting.remove(waiter)
            waiter[2].cancel()
        self._serve()

    def _serve(self) -> None:
        """Let those go on whose turn it is."""
        while self._waiting:
            share, size, place = self._waiting[0]
            more = max(0, size - share.size)
            if place.done():
                self._waiting.popleft()
                continue
            if self.used + more > self.limit:
                if self._over is not None:
                    return
                self._over = share
            self._waiting.popleft()
            place.set_result(None)
            if more:
                share.set(size)

    def _evict_for(self, more: int, most: float) -> None:
        """Have stalled peers give way, the longest stalled first, until there is room."""
        late = self.clock() - STALLED_SECONDS
        stalled = [one for one in self._shares if (one.stalled_since or math.inf) < late]
        for share in sorted(stalled, key=lambda one: one.stalled_since or 0):
            if self.used + more <= most:
                return
            self.evicted += 1
            share.give_way()
