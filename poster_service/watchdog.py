"""Tells when the event loop is stuck, with what it is stuck in, and ends a service that stays so.

A thread, because a stuck loop cannot tell of itself. When the service is ended this way its control
pipes close, the shims end their Chromes, and init reaps and leaves with the status given here.

Only time in which this process could run counts: one that was stopped, frozen or suspended is no
more stuck than the clock on the wall. The thread knows by its own ticks: what came between two of
them counts as two at most, or as the CPU that the process used meanwhile, which shows a loop that
kept the interpreter to itself.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

from poster_service.logs import event, flush

logger = logging.getLogger(__name__)

#: Exit status of a service that was wedged (EX_SOFTWARE of sysexits.h).
WEDGED = 70

#: How long a line may take to be logged, in seconds. The loop may be stuck with a lock that logging
#: needs.
LINE_SECONDS = 1.0


class Watchdog:
    """Watches the loop it was started in.

    Attributes:
        stalls: How often the loop was stuck for longer than `warn_seconds`.
        longest: The longest stall so far, in seconds.
        pauses: How often the process did not run for longer than `warn_seconds`.
    """

    def __init__(self, warn_seconds: float, exit_seconds: float) -> None:
        self.stalls = 0
        self.longest = 0.0
        self.pauses = 0
        self._warn = warn_seconds
        self._exit = exit_seconds
        self._tick = warn_seconds / 4
        self._beats = 0
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._watched = threading.get_ident()
        self._task = asyncio.get_running_loop().create_task(self._keep_beating())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def stop(self) -> None:
        """Stop watching."""
        self._over.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep_beating(self) -> None:
        while True:
            self._beats += 1
            await asyncio.sleep(self._tick / 2)

    def _watch(self) -> None:
        last, stuck, told = -1, 0.0, False
        ticks = Ticks(self._tick)
        while not self._over.wait(self._tick):
            ran, paused = ticks.next()
            if paused > self._warn:
                self.pauses += 1
                self._tell(
                    logging.WARNING, "the process did not run: stopped, frozen or starved", paused
                )
            if self._beats != last:
                last, stuck, told = self._beats, 0.0, False
                continue
            stuck += ran
            self.longest = max(self.longest, stuck)
            if stuck > self._exit:
                self._end(stuck)
            if stuck > self._warn and not told:
                told = True  # once a stall
                self.stalls += 1
                self._tell(logging.ERROR, "the event loop is stuck", stuck, self._stack())

    def _end(self, stuck: float) -> None:
        """End the service; whatever hinders the last line does not hinder the end."""
        what = "the event loop is wedged; ending the service"

        self._tell(logging.ERROR, what, stuck, self._stack())
        _within(flush, LINE_SECONDS)
        os._exit(WEDGED)

    def _stack(self) -> str:
        """What the loop is stuck in."""
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame)) if frame else "unknown"

    def _tell(self, level: int, what: str, seconds: float, stack: str = "") -> None:
        more = {"stack": stack} if stack else {}
        _within(lambda: event(logger, level, what, seconds=round(seconds, 1), **more), LINE_SECONDS)


class Ticks:
    """Tells of the time between two ticks how much of it the process ran.

    Args:
        usual: Seconds between two ticks.
    """

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._at = time.monotonic()
        self._cpu = time.process_time()

    def next(self) -> tuple[float, float]:
        """Seconds since the last tick in which the process ran, and in which it did not."""
        now, cpu = time.monotonic(), time.process_time()
        gap, used = now - self._at, cpu - self._cpu
        self._at, self._cpu = now, cpu
        ran = min(gap, max(2 * self._usual, used))
        return ran, gap - ran


def _within(work: Callable[[], None], seconds: float) -> None:
    """Do something in a thread of its own, and wait so long for it at most."""
    thread = threading.Thread(target=work, daemon=True)
    with contextlib.suppress(RuntimeError):  # no thread to be had
        thread.start()
        thread.join(seconds)
