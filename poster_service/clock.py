"""A monotonic clock that does not count the time for which this process did not run.

A service that is stopped (SIGSTOP, `docker pause`), frozen by its control group or starved of CPU
must not find afterwards that every deadline has passed, and end renders, Chromes or itself for a
time in which none of them had a chance. So the event loop of `serve` runs on this clock.
"""

import asyncio
import time

#: How often a loop turns at least, in seconds.
TURN_SECONDS = 0.5
#: A gap between two looks at the clock that is longer did not come from waiting, in seconds; so
#: much of it counts all the same.
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

    It looks at the clock in each turn, and turns at least every TURN_SECONDS. One such loop at a
    time: the time left out is of the whole process.
    """

    def __init__(self) -> None:
        self._looked = time.monotonic()
        super().__init__()

    def time(self) -> float:
        """Seconds on the clock of this module."""
        global _skipped  # noqa: PLW0603 - one clock for the whole process
        found = time.monotonic()
        gap, self._looked = found - self._looked, found
        if gap > GAP_SECONDS:
            _skipped += gap - GAP_SECONDS
        return found - _skipped

    def run_forever(self) -> None:
        """Run until stopped."""
        self._looked = time.monotonic()
        self._turn()
        try:
            super().run_forever()
        finally:
            self._turning.cancel()

    def _turn(self) -> None:
        self._turning = self.call_later(TURN_SECONDS, self._turn)
