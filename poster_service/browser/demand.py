"""How many Chromes to keep ready: enough for the rate of leases, few when nobody comes.

Plain arithmetic on a clock that the caller reads, so that any history can be tried on it.
"""

import math
from collections import deque

#: How far back the rate of leases looks, in seconds: a mean with this time constant.
MEMORY_SECONDS = 5.0
#: After so long without a lease, in seconds, nobody is expected any more.
IDLE_SECONDS = 3.0
#: What a start is believed to take before one has been seen, in seconds.
START_SECONDS = 0.3


class Demand:
    """The rate of leases and the time of a start, and what follows from them.

    A lease takes a Chrome from those that are ready, and its replacement comes a start later: so
    many as are leased during a start must be ready, and some more since they do not come evenly.
    """

    def __init__(self, least: int, most: int) -> None:
        """Never fewer than `least` ready, never more than `most`."""
        self._least = least
        self._most = most
        self._rate = 0.0
        self._seen = 0.0
        self._start = START_SECONDS
        self._peaks: deque[tuple[float, int]] = deque()

    def leased(self, now: float) -> None:
        """A lease began at this time, in seconds on any clock that only goes forward."""
        self._rate = self._decayed(now) + 1 / MEMORY_SECONDS
        self._seen = now

    def started(self, seconds: float) -> None:
        """A Chrome took so long to become ready."""
        self._start += (seconds - self._start) / 8

    def ready(self, now: float) -> int:
        """Chromes to be kept ready at this time."""
        if now - self._seen > IDLE_SECONDS:
            return self._least
        during_a_start = self._decayed(now) * self._start
        return max(self._least, min(self._most, math.ceil(during_a_start + 0.5)))

    def busy(self, leased: int, now: float) -> int:
        """The most that were leased at once of late, those that are now included."""
        while self._peaks and self._peaks[0][0] < now - MEMORY_SECONDS:
            self._peaks.popleft()
        while self._peaks and self._peaks[-1][1] <= leased:
            self._peaks.pop()
        self._peaks.append((now, leased))
        return self._peaks[0][1]

    def _decayed(self, now: float) -> float:
        """Leases a second, by now."""
        return self._rate * math.exp(-(now - self._seen) / MEMORY_SECONDS)
