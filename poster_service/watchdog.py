"""Logs a blocked event loop with its stack, and ends a service whose loop stays blocked.

It is a thread, because a blocked loop cannot report itself. When the service exits this way its
control pipes close, the shims end their Chromes, and init reaps and exits with the same status.

Only time in which this process could run counts: a process that was stopped, frozen or suspended is
not blocked. The thread knows by its own ticks: the time between two ticks counts as two ticks at
most, or as the CPU time that the process used meanwhile, which shows a loop that held the GIL.
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

#: Exit status of a service whose event loop stayed blocked (EX_SOFTWARE of sysexits.h).
EXIT_STALLED = 70

#: How long logging a line may take, in seconds: the blocked loop may hold a lock of logging.
LINE_SECONDS = 1.0


class Watchdog:
    """Watches the event loop in which it was started.

    Attributes:
        stalls: Times that the loop was blocked for longer than `warn_seconds`.
        longest: The longest stall so far, in seconds.
        pauses: Times that the process did not run for longer than `warn_seconds`.
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
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._watched = threading.get_ident()
        self._beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def stop(self) -> None:
        """Stop watching."""
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        """Show that the loop turns; by a timer, which takes half of what a task takes."""
        self._beats += 1
        self._timer = asyncio.get_running_loop().call_later(self._tick / 2, self._beat)

    def _watch(self) -> None:
        last, stuck, logged = -1, 0.0, False
        ticks = Ticks(self._tick)
        while not self._over.wait(self._tick):
            ran, paused = ticks.next()
            if paused > self._warn:
                self.pauses += 1
                self._log(
                    logging.WARNING,
                    "the process did not run: stopped, frozen or without CPU time",
                    paused,
                )
            if self._beats != last:
                last, stuck, logged = self._beats, 0.0, False
                continue
            stuck += ran
            self.longest = max(self.longest, stuck)
            if stuck > self._exit:
                self._end(stuck)
            if stuck > self._warn and not logged:
                logged = True  # once per stall
                self.stalls += 1
                self._log(logging.ERROR, "the event loop is blocked", stuck, self._stack())

    def _end(self, stuck: float) -> None:
        """Exit; a last log line that cannot be written does not prevent that."""
        what = "the event loop stays blocked; exiting with status 70"

        self._log(logging.ERROR, what, stuck, self._stack())
        _within(flush, LINE_SECONDS)
        os._exit(EXIT_STALLED)

    def _stack(self) -> str:
        """The stack of the loop's thread."""
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame)) if frame else "unknown"

    def _log(self, level: int, what: str, seconds: float, stack: str = "") -> None:
        more = {"stack": stack} if stack else {}
        _within(lambda: event(logger, level, what, seconds=round(seconds, 1), **more), LINE_SECONDS)


class Ticks:
    """Measures for how much of the time between two ticks the process ran.

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
    """Do something in a thread of its own, and wait at most `seconds` for it."""
    thread = threading.Thread(target=work, daemon=True)
    with contextlib.suppress(RuntimeError):  # no thread available
        thread.start()
        thread.join(seconds)
