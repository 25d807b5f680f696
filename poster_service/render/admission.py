"""Who runs, who waits, who is turned away. One limit for running, one for waiting.

A slot is held until nothing of its render's Chrome is left, so that a flood of renders can never
outrun the cleaning.

Each caller (an opaque name; who it is, is not asked here) has a line of its own. Free slots go
round the lines that somebody stands in, and each line is first come, first served: one caller with
a thousand renders makes another wait for one of them, not for a thousand. The places to wait are
shared alike: when all are taken, the longest line gives up its last for a caller with fewer.

Nobody waits in vain: who would be too late by the running mean is told so at once, and whose time
passes in line leaves it at that moment, without ever having taken a Chrome.
"""

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass

from poster_service.errors import Overloaded, Stopping

#: Bounds on what a refused caller is told, in seconds.
SOONEST, LATEST = 1, 60


@dataclass(frozen=True)
class AdmissionStatistics:
    """Gauges and counters of the gate.

    Attributes:
        callers: How many different callers wait.
    """

    running: int
    waiting: int
    refused: int
    callers: int = 0


class Slot:
    """The right to run one render; `free` may be called more than once."""

    def __init__(self, gate: "Admission") -> None:
        self._gate: Admission | None = gate
        self._begin = time.monotonic()

    def free(self) -> None:
        """Give the slot to the next who waits."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.freed(time.monotonic() - self._begin)


Waiter = asyncio.Future[Slot]


class Lines:
    """Who waits: a line for each caller, and whose turn it is. Plain books, nothing is awaited."""

    def __init__(self) -> None:
        #: The order of the keys is the order of turns; an empty line is not kept.
        self._lines: dict[str, deque[Waiter]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def callers(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    def before(self, caller: str) -> int:
        """How many would get a slot before one who joined this caller's line now."""
        mine = len(self._lines.get(caller, ()))
        others = (len(line) for name, line in self._lines.items() if name != caller)
        # Every other line has a turn for each of ours, and one for the newcomer.
        return mine + sum(min(length, mine + 1) for length in others)

    def join(self, caller: str, waiter: Waiter) -> None:
        """To the end of the caller's line; a new line has its turn after all others."""
        self._lines.setdefault(caller, deque()).append(waiter)
        self._count += 1

    def leave(self, caller: str, waiter: Waiter) -> None:
        """Out of the line, wherever it stands; no fault if it is not there any more."""
        line = self._lines.get(caller)
        if line is not None and waiter in line:
            line.remove(waiter)
            self._taken(caller)

    def next(self) -> Waiter | None:
        """The first of the line whose turn it is; that line's next turn comes after all others."""
        if not self._lines:
            return None
        caller = next(iter(self._lines))
        line = self._lines.pop(caller)
        waiter = line.popleft()
        self._count -= 1
        if line:
            self._lines[caller] = line
        return waiter

    def yield_to(self, caller: str) -> Waiter | None:
        """The last of the longest line, if that is longer than this caller's with one more."""
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=caller)
        if len(self._lines.get(longest, ())) <= len(self._lines.get(caller, ())) + 1:
            return None
        waiter = self._lines[longest].pop()
        self._taken(longest)
        return waiter

    def _taken(self, caller: str) -> None:
        self._count -= 1
        if not self._lines[caller]:
            del self._lines[caller]


class Admission:
    """At most `running` slots out, at most `waiting` callers in line."""

    def __init__(self, *, running: int, waiting: int) -> None:
        self._limit = running
        self._line_limit = waiting
        self._running = 0
        self._refused = 0
        self._lines = Lines()
        self._closed = False
        self._seconds = 1.0
        self._idle = asyncio.Event()
        self._idle.set()

    def statistics(self) -> AdmissionStatistics:
        """The gauges at this moment."""
        return AdmissionStatistics(
            self._running, len(self._lines), self._refused, self._lines.callers
        )

    @property
    def is_closed(self) -> bool:
        """Whether everyone is turned away because the service stops."""
        return self._closed

    @property
    def mean_seconds(self) -> float:
        """How long a slot is held, by a running mean."""
        return self._seconds

    async def acquire(self, caller: str = "", deadline: float = math.inf) -> Slot:
        """Take a slot, waiting in line for it if there is room in the line and time enough.

        Args:
            caller: Whose render it is.
            deadline: On the loop's clock; later than that a slot would be of no use.

        Raises:
            Stopping: The service takes no more.
            Overloaded: The line is full, or its turn would come, or has not come, in time.
        """
        if self._closed:
            raise Stopping("the service is stopping; try another replica", retry_after=5)
        if self._running < self._limit:
            return self._give()
        loop = asyncio.get_running_loop()
        self._check_time(caller, deadline - loop.time())
        self._make_room(caller)
        waiter: Waiter = loop.create_future()
        self._lines.join(caller, waiter)
        alarm = None
        if deadline != math.inf:
            alarm = loop.call_at(deadline, self._time_is_up, caller, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().free()  # it came in the very moment we were cancelled
            self._lines.leave(caller, waiter)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
            self._look_idle()

    def wait_expected(self, caller: str) -> float:
        """Seconds until one who came now would get a slot, by the running mean."""
        if self._running < self._limit:
            return 0.0
        return (self._lines.before(caller) + 1) * self._seconds / self._limit

    def retry_after(self) -> int:
        """Whole seconds until the line will have moved on, as far as one can tell."""
        return whole(len(self._lines) * self._seconds / self._limit)

    def freed(self, seconds: float) -> None:
        """A slot came back after `seconds`; only `Slot.free` calls this."""
        self._running -= 1
        self._seconds += 0.1 * (seconds - self._seconds)  # a running mean, for the estimates
        while (waiter := self._lines.next()) is not None:
            if not waiter.done():
                waiter.set_result(self._give())
                break
        self._look_idle()

    def close(self) -> None:
        """Turn away all who come from now on; those who run or wait are served."""
        self._closed = True

    async def wait_idle(self) -> None:
        """Wait until nobody runs or waits."""
        await self._idle.wait()

    def _check_time(self, caller: str, patience: float) -> None:
        """Tell at once who would be too late; come back when the line is as much shorter."""
        late = self.wait_expected(caller) - patience
        if late > 0:
            self._refused += 1
            raise Overloaded("its turn would come after its time", whole(late))

    def _make_room(self, caller: str) -> None:
        if len(self._lines) < self._line_limit:
            return
        gone = self._lines.yield_to(caller)
        if gone is not None and gone.done():
            return  # it was leaving anyway
        self._refused += 1
        refusal = Overloaded("as many renders run and wait as may", self.retry_after())
        if gone is None:
            raise refusal
        gone.set_exception(refusal)

    def _time_is_up(self, caller: str, waiter: Waiter) -> None:
        self._lines.leave(caller, waiter)
        if not waiter.done():
            self._refused += 1
            again = whole(self.wait_expected(caller))
            waiter.set_exception(Overloaded("its time passed before its turn came", again))

    def _give(self) -> Slot:
        self._running += 1
        self._idle.clear()
        return Slot(self)

    def _look_idle(self) -> None:
        if not self._running and not self._lines:
            self._idle.set()


def whole(seconds: float) -> int:
    """Seconds as they are told to a caller."""
    return max(SOONEST, min(LATEST, math.ceil(seconds)))
