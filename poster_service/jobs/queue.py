"""The queue of jobs: docket over Redis Streams, or over its embedded backend in this process.

It delivers tickets, at least once each: a worker that dies loses them to another within seconds. A
ticket is an id and nothing else, because docket packs arguments with cloudpickle: a client that can
write to the Redis of the jobs can run code in the workers (SECURITY.md). The requests are JSON in
the records.

Facts of docket 0.27 that this file relies on: a worker reads `concurrency` on each pass, and renews
the leases of running tasks until it is stopped; with an `execution_ttl` of 0 nothing of a task is
left in Redis when it has ended.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from poster_service.errors import JobsMissing, QueueUnavailable
from poster_service.logs import event
from poster_service.redis_client import client

if TYPE_CHECKING:
    from docket import Docket

    from poster_service.jobs.queue_worker import QueueWorker

logger = logging.getLogger(__name__)

#: Of the queue in Redis: its stream is `poster-jobs:stream`, read by the group `docket-workers`.
NAME = "poster-jobs"
#: How often a worker notes that it is there. Only docket's own tools look at that; its tickets have
#: signs of life of their own.
HEARTBEAT_SECONDS = 10.0
#: How long after a failure of Redis a worker tries again, in seconds.
RECONNECT_SECONDS = 1.0
#: Tickets that are added by one command.
TICKETS_AT_ONCE = 100
#: Time for one command, in seconds.
COMMAND_SECONDS = 5.0
#: How long a stop waits for tasks that end, for what they give back, and for Redis, in seconds.
STOP_SECONDS = 2.0


class JobQueue:
    """Tickets, delivered at least once; open it before use and close it in the end."""

    def __init__(
        self,
        url: str | None,
        redelivery_seconds: float,
        name: str = NAME,
        *,
        has_later: bool = True,
    ) -> None:
        """Connect to nothing.

        Args:
            url: Of the Redis; None for the memory of this process.
            redelivery_seconds: After how long without a sign of life of its worker a ticket is
                delivered to another.
            name: Of the queue in Redis.
            has_later: Whether tickets are added that are not to be delivered at once.
        """
        self._has_later = has_later
        self._url = url
        self._name = name
        self._redelivery = timedelta(seconds=redelivery_seconds)
        self._stack = AsyncExitStack()
        self._docket: Docket | None = None
        self._worker: QueueWorker | None = None
        self._serving: asyncio.Task[Any] | None = None
        self._stopping = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether tickets can be added."""
        return self._docket is not None

    async def open(self, handler: Callable[[str], Awaitable[None]]) -> Any:
        """Connect; a client for the records of the same Redis (`redis.asyncio.Redis` in kind).

        Args:
            handler: Serves a ticket. It must not raise: what it raises is lost.

        Raises:
            JobsMissing: The package is not installed.
            QueueUnavailable: Redis does not answer.
        """
        imported = await asyncio.to_thread(_imported)
        logging.getLogger("docket").setLevel(logging.WARNING)  # else several lines for each job
        url = self._url or f"memory://{secrets.token_hex(8)}"

        async def run(ticket: str) -> None:
            await handler(ticket)

        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                made = imported.Docket(
                    name=self._name,
                    url=url,
                    heartbeat_interval=timedelta(seconds=HEARTBEAT_SECONDS),
                    execution_ttl=timedelta(0),
                )
                await self._stack.enter_async_context(made)
        except Exception as error:
            await self._stack.aclose()
            raise QueueUnavailable("the queue of jobs does not answer") from error
        made.register(run, names=["run"])
        self._docket = made
        if self._url is None:
            return await self._stack.enter_async_context(made.redis())
        records = client(self._url, COMMAND_SECONDS)
        self._stack.push_async_callback(records.aclose)
        return records

    async def add(self, ticket: str, when: datetime | None = None) -> None:
        """Add a ticket; nothing happens if it is there already.

        Args:
            ticket: To be delivered.
            when: Not before this time; None for at once.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        await self._do(lambda docket: docket.add("run", when=when, key=ticket)(ticket))

    async def add_all(self, tickets: Sequence[str]) -> None:
        """Add many tickets to be delivered at once, in few commands.

        Raises:
            QueueUnavailable: Redis did not do it in time; some may have been added.
        """

        async def add(docket: "Docket", some: Sequence[str]) -> bool:
            added = await docket.add_many([docket.call("run", key=one)(one) for one in some])
            return all(one.schedule_exception is None for one in added)

        for first in range(0, len(tickets), TICKETS_AT_ONCE):
            some = tickets[first : first + TICKETS_AT_ONCE]
            if not await self._do(partial(add, some=some)):
                raise QueueUnavailable("the queue of jobs did not accept a job")

    async def cancel(self, ticket: str) -> None:
        """Cancel the task that runs for a ticket, in any process.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        await self._do(lambda docket: docket.cancel(ticket))

    async def tickets(self) -> int:
        """How many tickets there are, those that are being served included.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """

        async def count(docket: "Docket") -> int:
            async with docket.redis() as redis:
                return await redis.xlen(docket.stream_key)

        return int(await self._do(count))

    async def serve(self, concurrency: int) -> None:
        """Serve tickets until `stop`, so many at once; reconnects for as long as it takes.

        It returns when the tickets that were being served are done.
        """
        from poster_service.jobs.queue_worker import QueueWorker

        assert self._docket is not None
        self._serving = asyncio.current_task()
        worker = QueueWorker(
            self._docket,
            name=f"{socket.gethostname()}#{os.getpid()}#{secrets.token_hex(4)}",
            concurrency=concurrency,
            redelivery_timeout=self._redelivery,
            reconnection_delay=timedelta(seconds=RECONNECT_SECONDS),
            schedule_automatic_tasks=False,
        )
        worker.has_later = self._has_later
        async with worker as self._worker:
            running = asyncio.create_task(self._keep_running(worker))
            try:
                await self._remove_consumers()
                await self._stopping.wait()
            finally:  # it is over if this is cancelled, too
                self._stopping.set()
        self._worker = None
        await running
        await self._remove_consumers(worker.name)

    def pause(self) -> None:
        """Take no more tickets; the leases of those that are being served go on."""
        if self._worker is not None:
            self._worker.concurrency = 0

    async def stop(self) -> None:
        """Have `serve` return; it is cancelled if it waits for a Redis that does not answer.

        Not before it waits for its worker: cancelled earlier, it would begin to wait for it, and
        the worker reads from Redis without a time limit until `close` ends the connections.
        """
        self._stopping.set()
        if self._serving is not None:
            await asyncio.wait({self._serving}, timeout=STOP_SECONDS)
            self._serving.cancel()
            await asyncio.wait({self._serving}, timeout=STOP_SECONDS)

    async def close(self) -> None:
        """Disconnect; `serve` must have returned, or have been stopped."""
        self._docket = None
        with contextlib.suppress(Exception):  # of a Redis that is gone; nothing depends on it
            await self._stack.aclose()

    async def _keep_running(self, worker: "QueueWorker") -> None:
        while not self._stopping.is_set():
            try:
                await worker.run_forever()
            except Exception:  # docket tries again what failed at Redis; this is a fault
                logger.exception("the worker of the queue failed")
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _remove_consumers(self, leaving: str = "") -> None:
        """Remove the names of workers that have gone; a backend in memory goes with its worker."""
        from poster_service.jobs.queue_worker import remove_consumers

        if self._url is not None and self._docket is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMMAND_SECONDS):
                    await remove_consumers(self._docket, leaving)

    async def _do(self, what: "Callable[[Docket], Awaitable[Any]]") -> Any:
        from redis.exceptions import RedisError

        if self._docket is None:
            raise QueueUnavailable("the queue of jobs is not connected")
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return await what(self._docket)
        except (RedisError, OSError, TimeoutError) as error:
            event(logger, logging.WARNING, "the queue of jobs failed", error=type(error).__name__)
            raise QueueUnavailable("the queue of jobs does not answer; try again") from error


def _imported() -> Any:
    """What needs docket, imported: 0.7 s and 32 MB, which only a service with jobs pays for.

    Raises:
        JobsMissing: It is not installed.
    """
    try:
        from poster_service.jobs import queue_worker
    except ModuleNotFoundError as error:
        raise JobsMissing(
            "this service is installed without jobs; install poster-service[jobs]"
        ) from error
    return queue_worker
