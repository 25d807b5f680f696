"""Who runs, who waits, who is turned away. One limit for running, one for waiting.

A slot is held until nothing of its render's Chrome is left, so that a flood of renders can never
outrun the cleaning.

Each caller (an opaque name; who it is, is not asked here) has a line of its own. Free slots go
round the lines that somebody stands in, and each line is first come, first served: one caller with
a thousand renders makes another wait for one of them, not for a thousand. The places to wait are
shared alike: when all are taken, the longest line gives up its last for a caller with fewer.

Nobody waits in vain: a caller whose turn, and the render after it, would come too late by the
running means is refused at once; one whose turn comes when there is no time left for a render is
refused then; and one whose time passes in line leaves it at that moment. None of them takes a
Chrome. A free slot is given without any estimate.
"""

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass

from poster_service.errors import Overloaded, Stopping
from poster_service.render.estimate import Mean

#: Bounds on what a refused caller is told, in seconds.
SOONEST, LATEST = 1, 60
#: Of the mean time of a render, what must be left of a caller's time when its turn comes. Less than
#: all of it, since many renders are quicker than the mean.
NEEDED = 0.75
#: The least that a wait counts for, in seconds: one that was short was a wait.
TICK = 1e-6
#: Up to so many times the mean a render takes as long as renders take.
USUAL = 2.0


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
    """The right to run one render; `free` may be called more than once.

    Attributes:
        waited: Seconds in line for it.
    """

    def __init__(self, gate: "Admission", waited: float = 0.0) -> None:
        self._gate: Admission | None = gate
        self._admission = gate
        self._begin = time.monotonic()
        self.waited = waited

    def rendered(self) -> None:
        """Note the time of a render that is done, or out of time; the cleaning comes after it."""
        self._admission.rendering.note(self.held)

    @property
    def held(self) -> float:
        """Seconds since it was given."""
        return time.monotonic() - self._begin

    @property
    def waited_in_vain(self) -> bool:
        """Whether a render that is out of time now lost it in line, and not by its own slowness."""
        usual = self._admission.rendering.seconds * USUAL
        return self.waited > 0 and self.held <= max(usual, self.waited)

    def free(self) -> None:
        """Give the slot to the next who waits."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.freed(time.monotonic() - self._begin)


class Waiter(asyncio.Future[Slot]):
    """One who waits in line.

    Attributes:
        deadline: On the loop's clock, when the picture must be done.
        since: On the same clock, since when.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.deadline = deadline
        self.since = self.get_loop().time()


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

    def _longest(self, caller: str) -> str | None:
        """The longest line, if it is longer than this caller's with one more."""
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=caller)
        mine = len(self._lines.get(caller, ())) + 1
        return longest if len(self._lines.get(longest, ())) > mine else None

    def would_yield_to(self, caller: str) -> bool:
        """Whether there is a line that would give up its last place for this caller."""
        return self._longest(caller) is not None

    def yield_to(self, caller: str) -> Waiter | None:
        """The last of the longest line, if that is longer than this caller's with one more."""
        longest = self._longest(caller)
        if longest is None:
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
        #: How long a slot is held, cleaning included: how the line moves.
        self.holding = Mean(1.0)
        #: How long a render takes once it has a slot; nothing is known of that in the beginning.
        self.rendering = Mean(0.0)
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
        return self.holding.seconds

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
        waiter = Waiter(deadline)
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

    def check(self, caller: str = "") -> None:
        """Refuse now one who would be refused whatever it asks for; takes nothing.

        Raises:
            Stopping: The service takes no more.
            Overloaded: The line is full, and nobody in it would give up a place for this caller.
        """
        if self._closed:
            raise Stopping("the service is stopping; try another replica", retry_after=5)
        is_full = self._running >= self._limit and len(self._lines) >= self._line_limit
        if is_full and not self._lines.would_yield_to(caller):
            self._refused += 1
            raise Overloaded("as many renders run and wait as may", self.retry_after())

    def wait_expected(self, caller: str) -> float:
        """Seconds until one who came now would get a slot, by the running mean."""
        if self._running < self._limit:
            return 0.0
        return (self._lines.before(caller) + 1) * self.holding.seconds / self._limit

    def retry_after(self) -> int:
        """Whole seconds until the line will have moved on, as far as one can tell."""
        return whole(len(self._lines) * self.holding.seconds / self._limit)

    def freed(self, seconds: float) -> None:
        """A slot came back after `seconds`; only `Slot.free` calls this."""
        self._running -= 1
        self.holding.note(seconds)
        while (waiter := self._lines.next()) is not None:
            if not waiter.done() and self._is_in_time(waiter):
                waited = max(TICK, waiter.get_loop().time() - waiter.since)
                waiter.set_result(self._give(waited))
                break
        self._look_idle()

    def close(self) -> None:
        """Turn away all who come from now on; those who run or wait are served."""
        self._closed = True

    async def wait_idle(self) -> None:
        """Wait until nobody runs or waits."""
        await self._idle.wait()

    @property
    def needed(self) -> float:
        """Seconds that a render needs when its turn has come, so that it is worth beginning."""
        return self.rendering.seconds * NEEDED

    def _check_time(self, caller: str, patience: float) -> None:
        """Tell at once who would be too late; come back when the line is as much shorter."""
        late = self.wait_expected(caller) + self.needed - patience
        if late > 0:
            self._refused += 1
            raise Overloaded("its turn would come too late for its time", whole(late))

    def _is_in_time(self, waiter: Waiter) -> bool:
        """Whether one whose turn it is has the time for a render; tell it so if not.

        The last one in line is let try: what it takes is how a mean that is wrong finds out.
        """
        left = waiter.deadline - waiter.get_loop().time()
        if left >= self.needed or not self._lines:
            return True
        self._refused += 1
        again = whole(len(self._lines) * self.holding.seconds / self._limit)
        waiter.set_exception(Overloaded("its turn came too late for its time", again))
        return False

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

    def _give(self, waited: float = 0.0) -> Slot:
        self._running += 1
        self._idle.clear()
        return Slot(self, waited)

    def _look_idle(self) -> None:
        if not self._running and not self._lines:
            self._idle.set()


def whole(seconds: float) -> int:
    """Seconds as they are told to a caller."""
    return max(SOONEST, min(LATEST, math.ceil(seconds)))
