"""One limit for the memory in transit: request bodies being read, pictures being made and sent.

Each of them has a limit of its own elsewhere; their sum is limited here. For one event loop:
nothing is awaited between checking and taking.

A new body is refused when there is no room (`Share.require`); a render that has begun waits for
room (`Share.add`, `Share.fit`) and blocks nothing else. There is no deadlock: one share at a time
may exceed the limit, so that the waiting ones are served when it is closed, and a share that ends
never needs more room. Large shares leave a quarter of the room to small ones, and a peer that has
stalled is evicted for one that needs its room.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator

from poster_service.errors import Overloaded

#: A share of up to this many bytes may use all of the room; larger ones leave a quarter of it.
SMALL = 256 << 10
LARGE_PART = 0.75
#: A peer that has sent or read less than `STEP` bytes in `STALLED_SECONDS` has stalled.
STALLED_SECONDS, STEP = 5.0, 64 << 10
#: Retry-After of a refusal, in whole seconds.
RETRY_SECONDS = 2


class Share:
    """The memory that one body or picture takes; created by `Buffers.open`.

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
        """Check whether there would be room.

        Raises:
            Overloaded: There is no room for `size` bytes in all.
        """
        self._buffers.check(size, self.size)

    def waits_for(self, evict: Callable[[], None] | None) -> None:
        """Wait for a peer from now on, which `evict` cuts off if it stalls; None for no longer."""
        self._evict = evict
        self.moved()

    def require(self, size: int) -> None:
        """Take at least `size` bytes in all.

        Raises:
            Overloaded: There is no room.
        """
        if size > self.size:
            self._buffers.check(size, self.size)
            self.set(size)

    def set(self, size: int) -> None:
        """Count `size` bytes in all, room or not: they are allocated, or freed, already."""
        if self._is_open:
            change, self.size = size - self.size, size
            self._buffers.changed(change)

    def add(self, size: int) -> "asyncio.Future[None] | None":
        """Count `size` more bytes, allocated already; a future to await before the next ones."""
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
        """Note that the peer has sent or read another `STEP` bytes."""
        self._moved = self._buffers.clock()

    @property
    def stalled_since(self) -> float | None:
        """When its peer last made progress; None if it does not wait for a peer."""
        return self._moved if self._evict is not None and self._is_open else None

    def give_way(self) -> None:
        """Close it and cut off its peer, so that another gets the room."""
        evict, self._evict = self._evict, None
        self.close()
        if evict is not None:
            evict()

    def close(self) -> None:
        """Release its memory; may be called more than once."""
        self.set(0)
        self._is_open = False
        self._buffers.closed(self)


class Buffers:
    """All shares, and the limit of their sum.

    Attributes:
        limit: Most bytes.
        used: Bytes of all shares.
        refused: Refusals because there was no room.
        evicted: Stalled peers that were cut off.
    """

    def __init__(
        self, limit: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self.clock = clock
        self.used = self.refused = self.evicted = 0
        self._shares: dict[Share, None] = {}
        self._waiting: deque[tuple[Share, int, asyncio.Future[None]]] = deque()
        #: The one share that may exceed the limit.
        self._over: Share | None = None
        self._bodies: dict[int, tuple[Share, int]] = {}

    def statistics(self) -> dict[str, float]:
        """Gauges and counters, by name."""
        return {
            "limit_bytes": self.limit if self.limit != math.inf else 0,
            "used_bytes": self.used,
            "refused": self.refused,
            "evicted": self.evicted,
            "waiting": len(self._waiting),
        }

    @contextlib.contextmanager
    def open(self, evict: Callable[[], None] | None = None) -> Iterator[Share]:
        """An empty share, which is closed at the end.

        Args:
            evict: Cuts off its peer if that stalls; None if there is no peer to wait for.
        """
        share = Share(self, evict)
        self._shares[share] = None
        try:
            yield share
        finally:
            share.close()

    @contextlib.contextmanager
    def sending(self, body: bytes, evict: Callable[[], None]) -> Iterator[Share]:
        """A share while a response is sent; a body sent to several clients at once counts once."""
        with self.open(evict) as share, self._held(body):
            yield share

    @contextlib.contextmanager
    def _held(self, body: bytes) -> Iterator[None]:
        key = id(body)  # unique while the body is referenced
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
        """Check whether there is room, after cutting off stalled peers.

        Args:
            size: Bytes of the whole share.
            has: Bytes that it has already.

        Raises:
            Overloaded: There is no room; with Retry-After.
        """
        most = self.limit if size <= SMALL else self.limit * LARGE_PART
        if self.used - has + size > most:
            self._evict_for(size - has, most)
        if self.used - has + size > most:
            self.refused += 1
            raise Overloaded(
                "the memory for request bodies and pictures (POSTER_BUFFER_BYTES) is in use",
                RETRY_SECONDS,
            )

    def may_go_on(self, share: Share, more: int = 0) -> bool:
        """Whether a share may take `more` bytes now."""
        if self.used + more > self.limit:
            self._evict_for(more, self.limit)
        if self.used + more <= self.limit and (not self._waiting or share.size + more <= SMALL):
            return True
        if self._over in (None, share) and not self._waiting:
            self._over = share
        return self._over is share

    def join(self, share: Share, size: int) -> "asyncio.Future[None]":
        """Queue a share for room for `size` bytes in all, or for any room if `size` is 0."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, size, place))
        return place

    def changed(self, size: int) -> None:
        """Count bytes taken or released; only `Share.set` calls this."""
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
        """Serve the queue, as far as there is room."""
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
        """Cut off stalled peers, the longest stalled first, until there is room."""
        late = self.clock() - STALLED_SECONDS
        stalled = [one for one in self._shares if (one.stalled_since or math.inf) < late]
        for share in sorted(stalled, key=lambda one: one.stalled_since or 0):
            if self.used + more <= most:
                return
            self.evicted += 1
            share.give_way()
