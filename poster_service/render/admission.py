"""Which renders run, which wait, and which are refused. One limit for running, one for waiting.

A slot is held until nothing of its render's Chrome is left, so that a flood of renders can never
outrun the cleanup.

Each caller (an opaque name) has a queue of its own. Free slots go round the queues, and each queue
is first come, first served: one caller with a thousand renders makes another wait for one of them,
not for a thousand. The places to wait are shared in the same way: when all are taken, the longest
queue gives up its last render for a caller with fewer.

No render waits in vain. One that would time out while queued, by the running means, is refused at
once; one whose turn comes when there is no time left for a render is refused then; and one whose
time passes in the queue leaves it at that moment. None of them takes a Chrome. A free slot is given
without any estimate.

Background renders, those of jobs, get a slot only when no other render waits. They wait in queues
of their own, which take no place of the others' and have no end, and their time begins with the
slot.
"""

import asyncio
import math
import time
from dataclasses import dataclass

from poster_service.errors import Overloaded, Stopping
from poster_service.render.fair_queue import FairQueue, Waiter
from poster_service.render.running_mean import RunningMean

#: Bounds of Retry-After, in seconds.
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60
#: The share of a render's mean time that must be left of a caller's time when its turn comes. Less
#: than all of it, since many renders are quicker than the mean.
NEEDED_SHARE = 0.75
#: The least that a wait counts for, in seconds, so that a short one is a wait too.
MIN_WAIT_SECONDS = 1e-6
#: A render that took up to so many times the mean was not slow.
USUAL_TIMES = 2.0

QUEUE_FULL = "the render queue is full"
WOULD_TIME_OUT = "the render would time out while queued"
TIMED_OUT_QUEUED = "the render timed out while queued"


@dataclass(frozen=True)
class AdmissionStatistics:
    """Gauges and counters.

    Attributes:
        running: Slots that are taken.
        waiting: Renders that wait for one.
        refused: Renders refused since the start.
        callers: How many different callers wait.
        background: Background renders that wait for a slot.
    """

    running: int
    waiting: int
    refused: int
    callers: int = 0
    background: int = 0


class Slot:
    """The right to run one render.

    Attributes:
        waited: Seconds that the render waited for it.
    """

    def __init__(self, admission: "Admission", waited: float = 0.0) -> None:
        self._admission = admission
        self._is_free = False
        self._begin = time.monotonic()
        self.waited = waited

    def rendered(self) -> None:
        """Count the time of a render that is done, or out of time, without the cleanup after it."""
        self._admission.rendering.add(self.held)

    @property
    def held(self) -> float:
        """Seconds since it was given."""
        return time.monotonic() - self._begin

    @property
    def waited_in_vain(self) -> bool:
        """Whether a render that is out of time lost it in the queue and was not slow itself."""
        usual = self._admission.rendering.seconds * USUAL_TIMES
        return self.waited > 0 and self.held <= max(usual, self.waited)

    def free(self) -> None:
        """Give the slot to the next render that waits; without effect the second time."""
        if not self._is_free:
            self._is_free = True
            self._admission.freed(self.held)


class Admission:
    """At most `running` slots taken, at most `waiting` renders in the queue."""

    def __init__(self, *, running: int, waiting: int) -> None:
        self._max_running = running
        self._max_waiting = waiting
        self._running = 0
        self._refused = 0
        self._queue = FairQueue[Slot]()
        self._background = FairQueue[Slot]()
        self._closed = False
        #: How long a slot is held, cleanup included: how fast the queue moves.
        self.holding = RunningMean(1.0)
        #: How long a render takes once it has a slot; 0 until the first is done.
        self.rendering = RunningMean(0.0)
        self._idle = asyncio.Event()
        self._idle.set()

    def statistics(self) -> AdmissionStatistics:
        """The gauges and counters at this moment."""
        return AdmissionStatistics(
            self._running,
            len(self._queue),
            self._refused,
            self._queue.callers,
            len(self._background),
        )

    @property
    def is_closed(self) -> bool:
        """Whether every new render is refused because the service stops."""
        return self._closed

    @property
    def mean_seconds(self) -> float:
        """How long a slot is held, by a running mean."""
        return self.holding.seconds

    async def acquire(self, caller: str = "", deadline: float = math.inf) -> Slot:
        """Take a slot; waits in the queue for one if there is room and time enough.

        Args:
            caller: Whose render it is.
            deadline: On the event loop's clock; later than that a slot would be of no use.

        Raises:
            Stopping: The service accepts no more renders.
            Overloaded: The queue is full, or the render would time out, or has, while queued.
        """
        if self._closed:
            raise _stopping()
        if self._running < self._max_running:
            return self._give()
        loop = asyncio.get_running_loop()
        self._check_time(caller, deadline - loop.time())
        self._make_room(caller)
        waiter = Waiter[Slot](deadline)
        self._queue.add(caller, waiter)
        alarm = None
        if deadline != math.inf:
            alarm = loop.call_at(deadline, self._time_is_up, caller, waiter)
        try:
            return await _slot_of(waiter, self._queue, caller)
        finally:
            if alarm is not None:
                alarm.cancel()
            self._note_idle()

    async def acquire_background(self, caller: str = "") -> Slot:
        """Take a slot for a background render; waits for as long as other renders wait.

        Raises:
            Stopping: The service accepts no more renders; also while it waits.
        """
        if self._closed:
            raise _stopping()
        if self._running < self._max_running:
            return self._give()
        waiter = Waiter[Slot](math.inf)
        self._background.add(caller, waiter)
        return await _slot_of(waiter, self._background, caller)

    def check(self, caller: str = "") -> None:
        """Refuse now a render that would be refused in any case; takes nothing.

        Raises:
            Stopping: The service accepts no more renders.
            Overloaded: The queue is full, and no queue would give up a place for this caller.
        """
        if self._closed:
            raise _stopping()
        is_full = self._running >= self._max_running and len(self._queue) >= self._max_waiting
        if is_full and not self._queue.can_displace(caller):
            self._refused += 1
            raise Overloaded(QUEUE_FULL, self.retry_after())

    def expected_wait(self, caller: str) -> float:
        """Seconds until a render that this caller sent now would get a slot, as estimated."""
        if self._running < self._max_running:
            return 0.0
        return (self._queue.ahead_of(caller) + 1) * self.holding.seconds / self._max_running

    def retry_after(self) -> int:
        """Whole seconds until the queue will have moved on, as estimated."""
        return retry_seconds(len(self._queue) * self.holding.seconds / self._max_running)

    def freed(self, seconds: float) -> None:
        """A slot came back after `seconds`; only `Slot.free` calls this."""
        self._running -= 1
        self.holding.add(seconds)
        while (waiter := self._queue.pop()) is not None:
            if not waiter.done() and self._is_in_time(waiter):
                waited = max(MIN_WAIT_SECONDS, waiter.get_loop().time() - waiter.since)
                waiter.set_result(self._give(waited))
                break
        else:
            self._give_background()
        self._note_idle()

    def close(self) -> None:
        """Refuse every new render from now on; those that run or wait are served.

        Background renders that wait are refused: their jobs wait elsewhere.
        """
        self._closed = True
        while (waiter := self._background.pop()) is not None:
            if not waiter.done():
                waiter.set_exception(_stopping())

    async def wait_idle(self) -> None:
        """Wait until no render runs or waits."""
        await self._idle.wait()

    @property
    def needed(self) -> float:
        """Seconds that must be left when a render's turn comes, so that it is worth beginning."""
        return self.rendering.seconds * NEEDED_SHARE

    def _check_time(self, caller: str, left: float) -> None:
        """Refuse at once a render that would be too late; Retry-After is by how much."""
        late = self.expected_wait(caller) + self.needed - left
        if late > 0:
            self._refused += 1
            raise Overloaded(WOULD_TIME_OUT, retry_seconds(late))

    def _is_in_time(self, waiter: Waiter[Slot]) -> bool:
        """Whether a render whose turn it is has the time for it; it is refused if not.

        The last one in the queue may try: the time it takes corrects a mean that is wrong.
        """
        left = waiter.deadline - waiter.get_loop().time()
        if left >= self.needed or not self._queue:
            return True
        self._refused += 1
        waiter.set_exception(Overloaded(TIMED_OUT_QUEUED, self.retry_after()))
        return False

    def _make_room(self, caller: str) -> None:
        """Have a place in the queue for this caller.

        Raises:
            Overloaded: The queue is full, and no queue gives up a place for this caller.
        """
        if len(self._queue) < self._max_waiting:
            return
        displaced = self._queue.displace(caller)
        if displaced is not None and displaced.done():
            return  # it was leaving anyway
        self._refused += 1
        refusal = Overloaded(QUEUE_FULL, self.retry_after())
        if displaced is None:
            raise refusal
        displaced.set_exception(refusal)

    def _time_is_up(self, caller: str, waiter: Waiter[Slot]) -> None:
        self._queue.remove(caller, waiter)
        if not waiter.done():
            self._refused += 1
            again = retry_seconds(self.expected_wait(caller))
            waiter.set_exception(Overloaded(TIMED_OUT_QUEUED, again))

    def _give(self, waited: float = 0.0) -> Slot:
        self._running += 1
        self._idle.clear()
        return Slot(self, waited)

    def _give_background(self) -> None:
        """Give a free slot to a background render, where no other render waits for it."""
        while (waiter := self._background.pop()) is not None:
            if not waiter.done():
                waiter.set_result(self._give())
                break

    def _note_idle(self) -> None:
        if not self._running and not self._queue:
            self._idle.set()


async def _slot_of(waiter: Waiter[Slot], queue: FairQueue[Slot], caller: str) -> Slot:
    """The slot that a waiter in a queue is given; cancelled, it leaves the queue."""
    try:
        return await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            waiter.result().free()  # given in the very moment of the cancellation
        queue.remove(caller, waiter)
        raise


def _stopping() -> Stopping:
    return Stopping("the service is stopping; try another replica", retry_after=5)


def retry_seconds(seconds: float) -> int:
    """Seconds as whole ones for Retry-After, within its bounds."""
    return max(MIN_RETRY_SECONDS, min(MAX_RETRY_SECONDS, math.ceil(seconds)))
