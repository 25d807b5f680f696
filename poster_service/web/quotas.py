"""What one caller may ask of us, however much room there is: renders a minute, renders at once.

A token bucket for each caller, and a count. Plain books: nothing is awaited between looking and
taking. It counts renders, so what is refused for another cause costs nothing.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from poster_service.errors import ConcurrencyLimited, RateLimited
from poster_service.render.admission import retry_seconds

#: What sums of floats may be off by; who comes exactly when told to is not sent away again.
ROUNDING = 1e-6


class Quotas:
    """The books of all callers; one without a name (nobody has a token) is not limited."""

    def __init__(
        self,
        per_minute: float | None,
        burst: int | None,
        at_once: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = None if per_minute is None else per_minute / 60
        #: Ten seconds' worth unless said otherwise.
        self._most = float(burst or max(1, int((per_minute or 0) / 6)))
        self._at_once = at_once
        self._clock = clock
        self._running: Counter[str] = Counter()
        #: By caller: what was left in the bucket, and when that was. As many as there are names.
        self._left: dict[str, tuple[float, float]] = {}

    @contextmanager
    def one(self, caller: str, expected_seconds: float = 1.0) -> Iterator[None]:
        """One render of a caller, while inside.

        Args:
            caller: Whose.
            expected_seconds: How long one takes by now, for the time to come back.

        Raises:
            ConcurrencyLimited: As many of its renders are under way as may.
            RateLimited: It has used up its renders.
        """
        if not caller:
            yield
            return
        self.check(caller, expected_seconds)
        self._take(caller)
        self._running[caller] += 1
        try:
            yield
        finally:
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]

    def check(self, caller: str, expected_seconds: float = 1.0) -> None:
        """Whether one more render of a caller may be asked for now; takes nothing.

        Raises:
            ConcurrencyLimited: As many of its renders are under way as may.
            RateLimited: It has used up its renders.
        """
        if not caller:
            return
        if self._at_once is not None and self._running[caller] >= self._at_once:
            raise ConcurrencyLimited(
                f"{self._at_once} renders of this caller are under way, and no more may be",
                retry_after=retry_seconds(expected_seconds),
            )
        left = self._left_now(caller)
        if self._rate is not None and left < 1 - ROUNDING:
            raise RateLimited(
                f"this caller may have {self._rate * 60:g} renders a minute",
                retry_after=max(1, math.ceil((1 - left) / self._rate - ROUNDING)),
            )

    def _left_now(self, caller: str) -> float:
        """Renders in a caller's bucket."""
        now = self._clock()
        left, then = self._left.get(caller, (self._most, now))
        return min(self._most, left + (now - then) * (self._rate or 0))

    def _take(self, caller: str) -> None:
        if self._rate is not None:
            self._left[caller] = (self._left_now(caller) - 1, self._clock())
