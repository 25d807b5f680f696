"""Limits on the connections to the servers that pages fetch from: in total, and shared fairly.

A fetch waits here for a slot before its own time limit begins, so that a page with many images does
not lose the last of them to the wait; the render's deadline or the caller's disconnecting ends the
wait. Slots go to the waiting pages in round-robin order. No caller and no host can have all slots,
so servers that never answer cost the others only a part of them.

An idle connection, kept open for the next fetch from its host, takes no slot, but it counts against
the file descriptors: the oldest idle one is closed where a new socket would exceed the limit.
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

#: The default number of slots and of sockets.
CONNECTIONS = 96

_numbers = itertools.count()


@dataclass(frozen=True)
class Owner:
    """The page and the caller that a fetch is for.

    Attributes:
        caller: The caller of the render; opaque here.
        page: A number that no other page has.
    """

    caller: str = ""
    page: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True)
class OutboundStatistics:
    """Gauges.

    Attributes:
        running: Fetches that have a slot.
        waiting: Fetches that wait for one.
    """

    running: int
    waiting: int


@dataclass(eq=False)
class _Turn:
    """A fetch that waits for a slot, or has one, and the sockets that it opened."""

    owner: Owner
    host: str
    granted: "asyncio.Future[None]"
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def is_connecting(self) -> bool:
        """Whether it has a socket already; another one is for a further address of its host."""
        return any(sock.fileno() != -1 for sock in self.sockets)


#: The fetch that a socket is opened for.
_current: ContextVar[_Turn | None] = ContextVar("fetch", default=None)


class Outbound:
    """Slots for fetches: `limit` in total, three quarters for one caller, half for one host."""

    def __init__(self, limit: int = CONNECTIONS) -> None:
        self._limit = limit
        self._of_caller = max(1, limit * 3 // 4)
        self._of_host = max(1, limit // 2)
        self._running = 0
        self._callers: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        #: A queue for each page that waits; the page that is next stands first.
        self._queues: OrderedDict[int, deque[_Turn]] = OrderedDict()

    def statistics(self) -> OutboundStatistics:
        """The gauges at this moment."""
        return OutboundStatistics(self._running, sum(map(len, self._queues.values())))

    @asynccontextmanager
    async def slot(self, owner: Owner, host: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it inside the block; only cancelling the task ends the wait."""
        turn = _Turn(owner, host, asyncio.get_running_loop().create_future())
        self._queues.setdefault(owner.page, deque()).append(turn)
        self._grant()
        token = _current.set(turn)
        try:
            await turn.granted
            yield
        finally:
            _current.reset(token)
            self._release(turn)

    def _release(self, turn: _Turn) -> None:
        if turn.granted.done() and not turn.granted.cancelled():
            self._count(turn, -1)
        else:
            self._leave_queue(turn)
        self._grant()

    def _leave_queue(self, turn: _Turn) -> None:
        """Remove a fetch that was cancelled before it got a slot."""
        queue = self._queues.get(turn.owner.page)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[turn.owner.page]

    def _grant(self) -> None:
        """Grant the free slots to the fetches that are next."""
        while self._running < self._limit and (turn := self._next()) is not None:
            self._count(turn, 1)
            turn.granted.set_result(None)

    def _next(self) -> _Turn | None:
        """The next fetch that may run; its page goes to the end of the round."""
        for page, queue in self._queues.items():
            for turn in queue:
                if self._may_run(turn):
                    queue.remove(turn)
                    self._queues.move_to_end(page)
                    if not queue:
                        del self._queues[page]
                    return turn
        return None

    def _may_run(self, turn: _Turn) -> bool:
        return (
            not turn.granted.done()
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
        """When its oldest idle connection became idle, on the monotonic clock; None without one."""
        return min((idle[0][1] for idle in self._conns.values() if idle), default=None)

    def close_oldest_idle(self) -> None:
        """Close that connection at once, without waiting for TLS's close_notify."""
        key = min((key for key, idle in self._conns.items() if idle), key=self._idle_since)
        protocol, _ = self._conns[key].popleft()
        if not self._conns[key]:
            del self._conns[key]
        protocol.abort()

    def _idle_since(self, key: Any) -> float:
        return self._conns[key][0][1]


class OpenSockets:
    """The open sockets to servers, of all connectors together."""

    def __init__(self, limit: int = CONNECTIONS) -> None:
        self._limit = limit
        self._open: list[socket.socket] = []
        self.connectors: list[ReusingConnector] = []

    def __len__(self) -> int:
        self._open = [sock for sock in self._open if sock.fileno() != -1]
        return len(self._open)

    def new(self, family: int, kind: int, protocol: int) -> socket.socket:
        """Open a socket; at the limit the oldest idle connection is closed for it.

        The first socket of a fetch is always opened, since `Outbound` bounds the fetches. Those for
        further addresses of its host (RFC 8305) are opened only below the limit, so that the total
        is never more than twice the limit.

        Raises:
            OSError: The limit is reached and no connection is idle.
        """
        turn = _current.get()
        is_extra = turn is None or turn.is_connecting
        if len(self) >= self._limit and not self._close_oldest_idle() and is_extra:
            raise OSError(errno.EMFILE, "too many connections are open")
        opened = socket.socket(family, kind, protocol)
        self._open.append(opened)
        if turn is not None:
            turn.sockets.append(opened)
        return opened

    def _close_oldest_idle(self) -> bool:
        oldest = [
            (since, connector)
            for connector in self.connectors
            if (since := connector.oldest_idle()) is not None
        ]
        if not oldest:
            return False
        min(oldest, key=lambda pair: pair[0])[1].close_oldest_idle()
        return True
