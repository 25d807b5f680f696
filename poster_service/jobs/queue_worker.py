"""docket's worker as the queue needs it: cheap while it waits, quick while it works.

Its own file because it needs docket, which is imported only where there are jobs. It relies on
names of docket 0.27 that are not public, which `pyproject.toml` holds to; `test_queue.py` fails if
they change.
"""

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Any, cast

from docket import Docket, Worker
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

#: How often a worker whose slots are all taken looks for ended tasks, in seconds. It bounds the
#: rate of short jobs: at docket's own 0.25 two slots ran at most 8 jobs a second, at 0.02 over 100
#: (measured).
FULL_SECONDS = 0.02
#: How long a worker with a free slot waits for a message, in seconds: a new one wakes it at once.
#: Longer would make a stop slower.
FREE_SECONDS = 0.5
#: How often due messages are looked for while there are tasks, while there are none, and where all
#: messages are due at once, in seconds.
DUE_SECONDS, IDLE_DUE_SECONDS, NEVER_DUE_SECONDS = 0.25, 1.0, 60.0
#: After how long without a command the consumer of a worker that has died is removed, in seconds.
#: One that lives reads every half second.
DEAD_SECONDS = 600.0

#: Remove consumers that have no messages: KEYS stream; ARGV group, name of the consumer that leaves
#: or '', milliseconds after which the others are dead. Without messages, since the messages of a
#: consumer that is removed are lost.
_REMOVE = """
local removed = 0
for _, entry in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local one = {}
    for i = 1, #entry, 2 do one[entry[i]] = entry[i + 1] end
    local is_over = one['name'] == ARGV[2] or tonumber(one['idle']) > tonumber(ARGV[3])
    if is_over and tonumber(one['pending']) == 0 then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], one['name'])
        removed = removed + 1
    end
end
return removed
"""


class QueueWorker(Worker):
    """A worker of the queue.

    Attributes:
        has_later: Whether there may be messages that are not due yet.
    """

    has_later = True

    @property
    def _running(self) -> int:
        return sum(not task.done() for task in self._tasks_by_key.values())

    @property
    def minimum_check_interval(self) -> timedelta:
        """How long the next pass waits, for a message or for a slot."""
        is_full = self._running >= self.concurrency
        return timedelta(seconds=FULL_SECONDS if is_full else FREE_SECONDS)

    @minimum_check_interval.setter
    def minimum_check_interval(self, _: timedelta) -> None:
        """Do nothing: it depends on what runs."""

    @property
    def scheduling_resolution(self) -> timedelta:
        """How long after they are due messages may be found."""
        if not self.has_later:
            return timedelta(seconds=NEVER_DUE_SECONDS)
        return timedelta(seconds=DUE_SECONDS if self._running else IDLE_DUE_SECONDS)

    @scheduling_resolution.setter
    def scheduling_resolution(self, _: timedelta) -> None:
        """As above."""

    async def _cancellation_listener(self) -> None:
        """Cancel tasks as they are named.

        docket's own wakes ten times a second to see whether it has to stop.
        """
        session = self._processing_session
        assert session is not None
        stopping = asyncio.create_task(session.stopping.wait())
        try:
            while not stopping.done():
                with contextlib.suppress(RedisError):
                    await self._listen(session, stopping)
                await asyncio.wait({stopping}, timeout=self.reconnection_delay.total_seconds())
        finally:
            stopping.cancel()

    async def _listen(self, session: Any, stopping: "asyncio.Task[bool]") -> None:
        """Cancel tasks until this worker stops.

        Raises:
            RedisError: The connection has ended.
        """
        async with self.docket._pubsub() as pubsub:
            await pubsub.psubscribe(self.docket.key("cancel:*"))
            while not stopping.done():
                reading = asyncio.ensure_future(pubsub.get_message(timeout=None))
                try:
                    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    is_read = not reading.cancel()
                if not is_read:
                    await asyncio.wait({reading})
                    return
                message = cast("Any", reading.result())
                if message is not None and message["type"] == "pmessage":
                    await self._handle_cancellation(message)
                else:  # the subscription is confirmed: from now on none is missed
                    session.cancellation_ready.set()


async def remove_consumers(
    docket: Docket, leaving: str = "", dead_seconds: float = DEAD_SECONDS
) -> None:
    """Remove from Redis the names of workers that have died, and of one that leaves.

    Each start of a worker has a name of its own, so they would pile up. Nothing happens where Redis
    does not answer: the next worker does it.

    Args:
        docket: Of the queue.
        leaving: The worker that leaves; "" for none.
        dead_seconds: After how long without a command a worker has died.
    """
    with contextlib.suppress(RedisError, OSError):
        async with docket.redis() as found:
            redis, group = cast("Any", found), docket.worker_group_name
            await redis.eval(_REMOVE, 1, docket.stream_key, group, leaving, dead_seconds * 1000)
