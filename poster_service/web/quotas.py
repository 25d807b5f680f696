"""How much one caller may use, however much room there is: renders per minute, renders at once.

A token bucket for each caller, and a count of what is under way. A request that is refused for
another cause costs nothing. With a Redis, replicas have each caller's bucket in common
(`shared_rates.py`); the local one is charged too, and is what counts while Redis does not answer.

The bucket is our own because `limits` 5.8 has windows only. A window of N gives a caller who has
spent a burst nothing until the whole window is over, where a bucket gives the next render after one
Nth of it; its windows are whole seconds, so 1,000 a minute with a burst of 1 cannot be said; and a
hit of its moving window in memory takes 44 to 51 us of CPU (a task and a thread), this 6.5.
"""

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from poster_service.errors import ConcurrencyLimited, RateLimited
from poster_service.render.admission import retry_seconds
from poster_service.settings import Settings
from poster_service.web.shared_rates import SharedRates

#: What sums of floats may be off by: a caller who waits exactly Retry-After is let in.
ROUNDING = 1e-6


class Quotas:
    """What every caller has used. A caller without a name (no tokens are set) is not limited."""

    def __init__(
        self,
        per_minute: float | None,
        burst: int | None,
        at_once: int | None,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedRates | None = None,
    ) -> None:
        """Nothing is used yet.

        Args:
            per_minute: Renders per minute of one caller; None for no limit.
            burst: Renders that a caller may save up; None for ten seconds' worth, at least 1.
            at_once: Renders of one caller under way; None for no limit.
            clock: Seconds that never go back.
            shared: The buckets that replicas have in common, if they have.
        """
        self._rate = None if per_minute is None else per_minute / 60
        self._burst = float(burst or default_burst(per_minute or 0))
        self._at_once = at_once
        self._clock = clock
        self._shared = shared
        self._running: Counter[str] = Counter()
        #: By caller: renders left in the bucket, and when that was. Bounded by the callers' names.
        self._left: dict[str, tuple[float, float]] = {}

    @classmethod
    def of(cls, settings: Settings) -> "Quotas":
        """The quotas of the settings, shared over POSTER_REDIS_URL where it is set."""
        rate, burst = settings.token_renders_per_minute, settings.token_burst
        shared = None
        if settings.redis_url is not None and rate is not None:
            shared = SharedRates(settings.redis_url, rate, burst or default_burst(rate))
        return cls(rate, burst, settings.token_concurrency, shared=shared)

    @asynccontextmanager
    async def charge(self, caller: str, expected_seconds: float = 1.0) -> AsyncIterator[None]:
        """Charge a caller for one render, which is under way while inside.

        Args:
            caller: The caller's name.
            expected_seconds: How long a render takes at present, for Retry-After.

        Raises:
            ConcurrencyLimited: Its renders under way are as many as it may have.
            RateLimited: It has used up its renders.
        """
        if not caller:
            yield
            return
        self.check(caller, expected_seconds)
        # Charged before anything is awaited, so that requests at the same time see each other.
        self._add(caller, -1)
        self._running[caller] += 1
        try:
            await self._charge_shared(caller)
            yield
        finally:
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]

    async def _charge_shared(self, caller: str) -> None:
        wait = 0.0 if self._shared is None else await self._shared.take(caller)
        if wait:
            self._add(caller, +1)
            raise self._rate_limited(wait)

    def check(self, caller: str, expected_seconds: float = 1.0) -> None:
        """Check whether a caller may have one more render, as far as this replica knows.

        Raises:
            ConcurrencyLimited: Its renders under way are as many as it may have.
            RateLimited: It has used up its renders.
        """
        if not caller:
            return
        if self._at_once is not None and self._running[caller] >= self._at_once:
            raise ConcurrencyLimited(
                f"this caller has {self._running[caller]} renders under way; allowed:"
                f" {self._at_once}",
                retry_after=retry_seconds(expected_seconds),
            )
        left = self._left_now(caller)
        if self._rate is not None and left < 1 - ROUNDING:
            raise self._rate_limited((1 - left) / self._rate)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._shared is not None:
            await self._shared.close()

    def _rate_limited(self, wait: float) -> RateLimited:
        return RateLimited(
            f"this caller has used up its renders; allowed: {(self._rate or 0) * 60:g} per minute",
            retry_after=max(1, math.ceil(wait - ROUNDING)),
        )

    def _left_now(self, caller: str) -> float:
        """Renders in a caller's bucket."""
        now = self._clock()
        left, then = self._left.get(caller, (self._burst, now))
        return min(self._burst, left + (now - then) * (self._rate or 0))

    def _add(self, caller: str, renders: int) -> None:
        if self._rate is not None:
            self._left[caller] = (self._left_now(caller) + renders, self._clock())


def default_burst(per_minute: float) -> int:
    """Ten seconds' worth of a rate, at least 1."""
    return max(1, int(per_minute / 6))
