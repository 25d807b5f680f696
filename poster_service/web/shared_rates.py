"""Token buckets that replicas have in common, in Redis: one per caller, by Redis' own clock.

A Redis that does not answer within `COMMAND_SECONDS` refuses no caller: it is logged once, left
alone for `PAUSE_SECONDS`, and meanwhile each replica counts by itself.
"""

import asyncio
import contextlib
import logging
import math
import time
from typing import Any

from poster_service.logs import event
from poster_service.redis_client import COMMAND_SECONDS, PAUSE_SECONDS, client, error_text

logger = logging.getLogger(__name__)

#: Takes one render from a bucket and returns "0", or leaves it and returns the seconds until one is
#: there. A bucket that would be full again is forgotten. One of the future, since Redis' clock was
#: set back, goes on from now: else its caller would wait until that time has come again.
TAKE = """
local burst, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'left', 'at')
local left, at = tonumber(bucket[1]) or burst, tonumber(bucket[2]) or now
if at > now then redis.call('HSET', KEYS[1], 'at', string.format('%.6f', now)) end
left = math.min(burst, left + math.max(0, now - at) * rate)
if left < 1 - 0.000001 then return string.format('%.6f', (1 - left) / rate) end
redis.call('HSET', KEYS[1], 'left', string.format('%.9f', left - 1),
           'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(math.min(burst / rate, 1000000000)) + 1)
return '0'
"""


class SharedRates:
    """The buckets of all callers of all replicas that have the same rate and burst."""

    def __init__(self, url: str, per_minute: float, burst: int) -> None:
        """Connect to nothing yet.

        Args:
            url: As `Settings.redis_url`.
            per_minute: Renders per minute of one caller.
            burst: Renders that a caller may save up.
        """
        self._redis = client(url)
        self._take: Any = self._redis.register_script(TAKE)
        self._numbers = (burst, per_minute / 60)
        # Replicas with other numbers, say during a rollout, count apart.
        self._prefix = f"poster-service:rate:{per_minute:g}:{burst}:"
        self._paused_until = -math.inf
        self._is_down = False

    async def take(self, caller: str) -> float:
        """Take one render; 0, or the seconds until there is one. 0 if Redis does not answer."""
        if time.monotonic() < self._paused_until:
            return 0.0
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                answer = await self._take(keys=[self._prefix + caller], args=self._numbers)
            wait = self._checked(float(answer))
        except Exception as error:
            self._failed(error)
            return 0.0
        if self._is_down:
            self._is_down = False
            event(logger, logging.INFO, "Redis answers again; replicas count renders together")
        return wait

    def _checked(self, wait: float) -> float:
        """A wait as the script returns it.

        Raises:
            ValueError: The script returns no such wait, so something else has answered.
        """
        longest = 1 / self._numbers[1]
        if not 0 <= wait <= longest + 0.001:  # NaN is neither
            raise ValueError(f"not a wait of 0 to {longest:g} s: {wait:g}")
        return wait

    def _failed(self, error: Exception) -> None:
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        if not self._is_down:
            self._is_down = True
            event(
                logger, logging.WARNING,
                "Redis failed; each replica counts the renders of a token by itself",
                error=error_text(error),
            )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(Exception):  # a server that does not answer does not hang up
            await self._redis.aclose()
