"""A monotonic clock that does not count the time for which this process did not run.

A service that is stopped (SIGSTOP, `docker pause`), frozen by its control group or starved of CPU
must not find afterwards that every deadline has passed, and end renders, Chromes or itself for a
time in which none of them could run. So the event loop of `serve` runs on this clock.
"""

import asyncio
import time

#: The longest time between two turns of the loop, in seconds.
TURN_SECONDS = 0.5
#: A longer time between two readings of the clock is a pause of the process and not a wait, in
#: seconds; this much of it counts.
GAP_SECONDS = 2.0

_skipped = 0.0


def now() -> float:
    """Seconds on the monotonic clock, pauses left out; for differences only."""
    return time.monotonic() - _skipped


def skipped() -> float:
    """Seconds left out so far."""
    return _skipped


class PauseAwareLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers do not count the time in which it could not turn.

    It reads the clock in each turn, and turns at least every TURN_SECONDS. One such loop at a time:
    the skipped time is that of the whole process.
    """

    def __init__(self) -> None:
        self._read_at = time.monotonic()
        super().__init__()

    def time(self) -> float:
        """Seconds on the clock of this module."""
        global _skipped  # noqa: PLW0603 - one clock for the whole process
        found = time.monotonic()
        gap, self._read_at = found - self._read_at, found
        if gap > GAP_SECONDS:
            _skipped += gap - GAP_SECONDS
        return found - _skipped

    def run_forever(self) -> None:
        """Run until stopped."""
        self._read_at = time.monotonic()
        self._turn()
        try:
            super().run_forever()
        finally:
            self._turning.cancel()

    def _turn(self) -> None:
        self._turning = self.call_later(TURN_SECONDS, self._turn)
