"""Who runs, who waits, who is turned away. One limit for running, one for waiting.

A slot is held until nothing of its render's Chrome is left, so that a flood of renders can never
outrun the cleaning.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from poster_service.errors import Overloaded, Stopping


@dataclass(frozen=True)
class AdmissionStatistics:
    """Gauges and counters of the gate."""

    running: int
    waiting: int
    refused: int


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


class Admission:
    """At most `running` slots out, at most `waiting` callers in line, first come first served."""

    def __init__(self, *, running: int, waiting: int) -> None:
        self._limit = running
        self._line_limit = waiting
        self._running = 0
        self._refused = 0
        self._line: deque[asyncio.Future[Slot]] = deque()
        self._closed = False
        self._seconds = 1.0
        self._idle = asyncio.Event()
        self._idle.set()

    def statistics(self) -> AdmissionStatistics:
        """The gauges at this moment."""
        return AdmissionStatistics(self._running, len(self._line), self._refused)

    @property
    def is_closed(self) -> bool:
        """Whether everyone is turned away because the service stops."""
        return self._closed

    async def acquire(self) -> Slot:
        """Take a slot, waiting in line for it if there is room in the line.

        Raises:
            Stopping: The service takes no more.
            Overloaded: The line is full.
        """
        if self._closed:
            raise Stopping("the service is stopping; try another replica", retry_after=5)
        if self._running < self._limit:
            return self._give()
        if len(self._line) >= self._line_limit:
            self._refused += 1
            raise Overloaded("as many renders run and wait as may", self.retry_after())
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._line.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().free()  # it came in the very moment we were cancelled
            elif waiter in self._line:
                self._line.remove(waiter)
            self._look_idle()
            raise

    def retry_after(self) -> int:
        """Whole seconds until the line will have moved on, as far as one can tell."""
        return max(1, min(60, round(len(self._line) * self._seconds / self._limit)))

    def freed(self, seconds: float) -> None:
        """A slot came back after `seconds`; only `Slot.free` calls this."""
        self._running -= 1
        self._seconds += 0.1 * (seconds - self._seconds)  # a running mean, for `retry_after`
        while self._line:
            waiter = self._line.popleft()
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

    def _give(self) -> Slot:
        self._running += 1
        self._idle.clear()
        return Slot(self)

    def _look_idle(self) -> None:
        if not self._running and not self._line:
            self._idle.set()
