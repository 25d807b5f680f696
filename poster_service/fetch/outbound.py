"""Bounds on the connections to servers that pages fetch from: overall, and shared fairly.

A fetch waits here for its turn before its own time begins, so that a page with many pictures loses
none by waiting; its render's deadline, or its caller's hanging up, ends the wait. Turns go round
the pages that wait. No caller and no host has all places, so that servers that never answer cost
others nothing but some of them.

A connection that is kept open for the next fetch of its host takes no place, but it counts against
the descriptors: the oldest of these is closed where a new one would be one too many.
"""

import asyncio
import errno
import itertools
import socket
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import aiohttp

#: Places and sockets where nothing else is said.
CONNECTIONS = 96

_numbers = itertools.count()


@dataclass(frozen=True)
class Owner:
    """Who a fetch is for.

    Attributes:
        caller: As of the render; opaque.
        page: A number of the page's own.
    """

    caller: str = ""
    page: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True)
class OutboundStatistics:
    """Gauges.

    Attributes:
        running: Fetches that have a place.
        waiting: Fetches that wait for one.
    """

    running: int
    waiting: int


@dataclass(eq=False)
class _Turn:
    """A fetch that waits for a place, or has one, and the sockets that it has made."""

    owner: Owner
    host: str
    given: "asyncio.Future[None]"
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def is_connecting(self) -> bool:
        """Whether it has a socket already: any further one is for another address of its host."""
        return any(one.fileno() != -1 for one in self.sockets)


#: The fetch that a socket is made for.
_current: ContextVar[_Turn | None] = ContextVar("fetch", default=None)


class Outbound:
    """Places for fetches: `limit` in all, three quarters for one caller, half for one host."""

    def __init__(self, limit: int = CONNECTIONS) -> None:
        self._limit = limit
        self._of_caller = max(1, limit * 3 // 4)
        self._of_host = max(1, limit // 2)
        self._running = 0
        self._callers: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        #: A line for each page that waits, in the order of their turns.
        self._lines: OrderedDict[int, deque[_Turn]] = OrderedDict()

    def statistics(self) -> OutboundStatistics:
        """The gauges at this moment."""
        return OutboundStatistics(self._running, sum(map(len, self._lines.values())))

    @asynccontextmanager
    async def place(self, owner: Owner, host: str) -> AsyncIterator[None]:
        """Have a place while inside; waits for it, for as long as its task is not cancelled."""
        turn = _Turn(owner, host, asyncio.get_running_loop().create_future())
        self._lines.setdefault(owner.page, deque()).append(turn)
        self._give()
        before = _current.set(turn)
        try:
            await turn.given
            yield
        finally:
            _current.reset(before)
            self._done(turn)

    def _done(self, turn: _Turn) -> None:
        if turn.given.done() and not turn.given.cancelled():
            self._count(turn, -1)
        else:
            self._leave(turn)
        self._give()

    def _leave(self, turn: _Turn) -> None:
        """Cancelled before its turn came."""
        line = self._lines.get(turn.owner.page)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[turn.owner.page]

    def _give(self) -> None:
        """Give places to those whose turn it is, as far as there are any."""
        while self._running < self._limit and (turn := self._next()) is not None:
            self._count(turn, 1)
            turn.given.set_result(None)

    def _next(self) -> _Turn | None:
        """The first of the next page that may have a place; that page's next turn comes last."""
        for page, line in self._lines.items():
            for turn in line:
                if self._may_run(turn):
                    line.remove(turn)
                    self._lines.move_to_end(page)
                    if not line:
                        del self._lines[page]
                    return turn
        return None

    def _may_run(self, turn: _Turn) -> bool:
        return (
            not turn.given.done()
            and self._callers[turn.owner.caller] < self._of_caller
            and self._hosts[turn.host] < self._of_host
        )

    def _count(self, turn: _Turn, step: int) -> None:
        self._running += step
        for counter, name in ((self._callers, turn.owner.caller), (self._hosts, turn.host)):
            counter[name] += step
            if not counter[name]:
                del counter[name]


class ReusingConnector(aiohttp.TCPConnector):
    """A connector whose idle connections can be closed one by one, the oldest first.

    aiohttp bounds those in use and the age of the idle ones, not their number.
    """

    def oldest_idle(self) -> float | None:
        """Since when its oldest idle connection is idle, on the monotonic clock; None for none."""
        return min((line[0][1] for line in self._conns.values() if line), default=None)

    def close_oldest_idle(self) -> None:
        """Close that, at once and without waiting for a good-bye of TLS."""
        key = min((key for key, line in self._conns.items() if line), key=self._since)
        protocol, _ = self._conns[key].popleft()
        if not self._conns[key]:
            del self._conns[key]
        protocol.abort()

    def _since(self, key: Any) -> float:
        return self._conns[key][0][1]


class OpenSockets:
    """The sockets that are open to servers, by several connectors together."""

    def __init__(self, limit: int = CONNECTIONS) -> None:
        self._limit = limit
        self._open: list[socket.socket] = []
        self.connectors: list[ReusingConnector] = []

    def __len__(self) -> int:
        self._open = [one for one in self._open if one.fileno() != -1]
        return len(self._open)

    def new(self, family: int, kind: int, protocol: int) -> socket.socket:
        """One more; where that is one too many, an idle connection is closed for it.

        The first socket of a fetch is always made, since `Outbound` bounds the fetches. Those for
        further addresses of its host (RFC 8305) are made only as long as there is room, so that
        all together never are more than twice the limit.

        Raises:
            OSError: There is no room.
        """
        turn = _current.get()
        is_extra = turn is None or turn.is_connecting
        if len(self) >= self._limit and not self._close_oldest_idle() and is_extra:
            raise OSError(errno.EMFILE, "too many connections are open")
        made = socket.socket(family, kind, protocol)
        self._open.append(made)
        if turn is not None:
            turn.sockets.append(made)
        return made

    def _close_oldest_idle(self) -> bool:
        oldest = [(at, one) for one in self.connectors if (at := one.oldest_idle()) is not None]
        if not oldest:
            return False
        min(oldest, key=lambda pair: pair[0])[1].close_oldest_idle()
        return True
