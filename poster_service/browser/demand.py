"""How many Chromes to keep ready: enough for the rate of leases, few when there are no requests.

Plain arithmetic; the caller reads the clock, so that tests can try any history.
"""

import math
from collections import deque

#: Time constant of the mean rate of leases, in seconds.
MEMORY_SECONDS = 5.0
#: After so long without a lease, in seconds, no more are expected.
IDLE_SECONDS = 3.0
#: The assumed time of a start until one has been measured, in seconds.
START_SECONDS = 0.3
#: The same of a Chrome's way back from a lease.
RENEWAL_SECONDS = 0.05
#: Of the leases, the part that would wait for a Chrome that is made ready again, from which on
#: another is worth its start, and below which it is let go.
MANY, FEW = 0.1, 0.03


class Demand:
    """The rate of leases and the time of a start, and how many Chromes follow from them.

    A lease takes a ready Chrome, and its replacement is there one start later. So as many must be
    ready as are leased during a start, and some more since leases do not come evenly.
    """

    def __init__(self, least: int, most: int, leases: int | None = None) -> None:
        """`ready` never returns fewer than `least` nor more than `most`.

        `leases` is how many there are at most at once, each until nothing of its page is left; None
        for any number.
        """
        self._least = least
        self._most = most
        self._leases = leases
        self._rate = 0.0
        self._last_lease = 0.0
        self._start = START_SECONDS
        self._renewal = RENEWAL_SECONDS
        self._keeps_spare = False
        self._peaks: deque[tuple[float, int]] = deque()

    def leased(self, now: float) -> None:
        """Note that a lease began at this time, in seconds on any monotonic clock."""
        self._rate = self._decayed(now) + 1 / MEMORY_SECONDS
        self._last_lease = now

    def started(self, seconds: float) -> None:
        """Note that a Chrome took so many seconds to become ready."""
        self._start += (seconds - self._start) / 8

    def renewed(self, seconds: float) -> None:
        """Note that a Chrome took so many seconds after a lease to be ready again."""
        self._renewal += (seconds - self._renewal) / 8

    def spare(self, busy: int, now: float) -> int:
        """How many to keep ready, at this time, of Chromes that come back from their leases.

        One beside those in use, while leases follow each other so quickly that they would wait;
        and never fewer than the least. None where as many are `busy` as there may be leases: the
        next lease begins when one of these is back.
        """
        if now - self._last_lease > IDLE_SECONDS:
            self._keeps_spare = False
        else:
            in_a_renewal = self._decayed(now) * self._renewal
            self._keeps_spare = in_a_renewal > (FEW if self._keeps_spare else MANY)
        is_of_use = self._keeps_spare and (self._leases is None or busy < self._leases)
        return max(self._least, min(self._most, int(is_of_use)))

    def ready(self, now: float) -> int:
        """How many Chromes to keep ready at this time."""
        if now - self._last_lease > IDLE_SECONDS:
            return self._least
        during_a_start = self._decayed(now) * self._start
        return max(self._least, min(self._most, math.ceil(during_a_start + 0.5)))

    def busy(self, leased: int, now: float) -> int:
        """The most that were leased at once in the last `MEMORY_SECONDS`, `leased` included."""
        while self._peaks and self._peaks[0][0] < now - MEMORY_SECONDS:
            self._peaks.popleft()
        while self._peaks and self._peaks[-1][1] <= leased:
            self._peaks.pop()
        self._peaks.append((now, leased))
        return self._peaks[0][1]

    def _decayed(self, now: float) -> float:
        """Leases per second at this time."""
        return self._rate * math.exp(-(now - self._last_lease) / MEMORY_SECONDS)
