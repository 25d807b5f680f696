"""Jobs as the HTTP service and the worker have them: accept, look up, cancel, run, stop.

Without POSTER_JOBS_REDIS nothing is imported or started before the first job comes.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from poster_service.detached import detached, end
from poster_service.errors import (
    InvalidSettings,
    JobEnded,
    KeyReused,
    PosterError,
    QueueUnavailable,
    TooManyJobs,
    UnknownJob,
)
from poster_service.jobs.batch_requests import BatchRequests
from poster_service.jobs.batch_store import BatchStore
from poster_service.jobs.events import Subscribers
from poster_service.jobs.queue import STOP_SECONDS, JobQueue
from poster_service.jobs.record_store import QueueState, RecordStore
from poster_service.jobs.records import Job, NewJob
from poster_service.jobs.runner import OUTCOMES, PATIENCE, Runner, Workshop
from poster_service.logs import event
from poster_service.settings import Settings

logger = logging.getLogger(__name__)

#: How often jobs without a ticket or a living worker are looked for at most, in seconds.
REPAIR_SECONDS = 10.0
#: After how many redelivery times without a sign of life of its owner a job is queued again, and
#: after how many seconds at least. A job that a second worker took over is not redelivered if that
#: one dies too, where the first has come back and acknowledged the ticket that both had.
SILENT_TIMES, LEAST_SILENT_SECONDS = 2.5, 5.0
#: Most tickets that are added at once to make up for lost ones.
MOST_TICKETS = 1_000


@dataclass(frozen=True)
class JobStatistics:
    """Jobs of one process.

    Attributes:
        active: Jobs that run.
        outcomes: Jobs that ended, by state.
        redelivered: Jobs that were taken over from another worker.
        given_back: Jobs that were put back into the queue.
    """

    active: int
    outcomes: dict[str, int]
    redelivered: int
    given_back: int


class Jobs:
    """The jobs of one process.

    Attributes:
        runner: What runs them here; None before the queue is open.
        batch_store: The records of batches, likewise.
        subscribers: Hear of each job that has ended; add to its `subscribed` before `start`.
    """

    def __init__(self, settings: Settings, workshop: Workshop, subscribers: Subscribers) -> None:
        """Build; connects to nothing, imports nothing.

        Args:
            settings: Where jobs wait and how many run.
            workshop: What they are run with; its events are `subscribers`.
            subscribers: Who hears of the end of jobs.
        """
        self._settings = settings
        self._workshop = workshop
        self.subscribers = subscribers
        self._queue = JobQueue(
            settings.jobs_redis, settings.jobs_redelivery_seconds, has_later=False
        )
        self._opening = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._store: RecordStore | None = None
        self.batch_store: BatchStore | None = None
        self.runner: Runner | None = None

    @property
    def is_open(self) -> bool:
        """Whether the queue is connected."""
        return self._store is not None

    async def start(self) -> None:
        """Connect to the Redis of the jobs, where there is one, and begin to run jobs.

        While Redis does not answer, it is tried again in the background: renders go on without.

        Raises:
            InvalidSettings: Redis is not fit for jobs, or a package is missing.
        """
        if self._settings.jobs_redis is None:
            return
        try:
            await self.open()
        except QueueUnavailable:
            event(logger, logging.WARNING, "the Redis of the jobs does not answer; trying on")
            self._tasks.append(asyncio.create_task(self._keep_opening()))
        except PosterError as error:
            raise InvalidSettings(str(error)) from error

    async def open(self) -> RecordStore:
        """Open the queue if it is not open, and begin to run jobs; the records.

        Raises:
            JobsMissing: The package is not installed.
            QueueUnavailable: Redis does not answer.
            InvalidSettings: Redis is not fit for jobs.
        """
        async with self._opening:
            if self._store is None:
                # The first request that needs it may come before the start has succeeded.
                self._store = await detached(self._open())
            return self._store

    async def submit(self, new: NewJob, key: str = "") -> Job:
        """Accept a job.

        Args:
            new: What is to be done; it has been checked.
            key: Its Idempotency-Key; "" for none.

        Returns:
            The job, or the one that this caller had created with the same key.

        Raises:
            KeyReused: The key came with another request before.
            TooManyJobs: The caller has too many that have not ended.
            QueueUnavailable: Redis does not answer; with the same key it may be tried again.
        """
        store = await self.open()
        limit = self._settings.jobs_per_caller
        what, identity = await store.create(new, limit=limit, key=key)
        if what == "other":
            raise KeyReused("this Idempotency-Key has been used with another request")
        if what == "full":
            raise TooManyJobs(f"this caller has {limit} jobs that have not ended; allowed: {limit}")
        if what == "new":
            await self._queue.add(identity)
        job = await self.get(identity, new.caller)
        if what == "same" and job.state == "queued":  # the first time it may have got no ticket
            await self._queue.add(identity)
        return job

    async def get(self, identity: str, caller: str) -> Job:
        """A job of a caller.

        Raises:
            UnknownJob: This caller has no such job, or has it no longer.
            QueueUnavailable: Redis does not answer.
        """
        job = await self._store.get(identity) if self._store is not None else None
        if job is None and not self.is_open and self._settings.jobs_redis is not None:
            raise QueueUnavailable("the queue of jobs is not connected")
        if job is None or job.caller != caller:
            raise UnknownJob("there is no job of that id, or it has expired")
        return job

    async def cancel(self, identity: str, caller: str) -> Job:
        """Cancel a job of a caller, also one that runs; one that was cancelled stays so.

        Raises:
            UnknownJob: This caller has no such job.
            JobEnded: It is done, or has failed.
            QueueUnavailable: Redis does not answer.
        """
        job = await self.get(identity, caller)
        store, runner = await self.open(), self.runner
        state, ticket = await store.cancel(identity)
        if state in ("done", "failed"):
            raise JobEnded(f"the job has ended: {state}")
        if state == "running" and ticket:
            with contextlib.suppress(QueueUnavailable):  # its worker looks once a second itself
                await self._queue.cancel(ticket)
        if state in ("queued", "running") and runner is not None:
            runner.outcomes["cancelled"] += 1
            with contextlib.suppress(QueueUnavailable):  # its ticket will do it
                await runner.announce(identity)
        return await self.get(identity, caller) if state else job

    async def add_tickets(self, identities: Sequence[str]) -> None:
        """Have more jobs run, for those that were queued otherwise.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        await self._queue.add_all(identities)

    async def state(self) -> QueueState:
        """How long the queue is; empty where no job has come yet.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        return await self._store.state() if self._store is not None else QueueState()

    def statistics(self) -> JobStatistics:
        """Gauges and counters of this process."""
        one = self.runner
        if one is None:
            return JobStatistics(0, dict.fromkeys(OUTCOMES, 0), 0, 0)
        return JobStatistics(one.active.count, dict(one.outcomes), one.redelivered, one.given_back)

    async def drain(self) -> None:
        """Begin no more jobs, and wait until those that run here have ended."""
        self._queue.pause()
        if self.runner is not None:
            await self.runner.active.wait_none()

    async def stop(self) -> None:
        """Give back what still runs here, and disconnect."""
        self._queue.pause()
        if self.runner is not None:
            await self.runner.give_all_back(STOP_SECONDS)
        await self._queue.stop()
        await end(self._tasks)
        await self._queue.close()
        self._store = None

    async def _open(self) -> RecordStore:
        client = await self._queue.open(self._serve)
        try:
            if self._settings.jobs_redis is not None:
                # Imported here: it needs the client of Redis, which is an extra.
                from poster_service.jobs.redis_check import check_redis

                await check_redis(client, self._settings)
        except PosterError:
            await self._queue.close()
            raise
        store = RecordStore(client, self._settings.jobs_seconds, PATIENCE)
        self.batch_store = BatchStore(client, self._settings.jobs_seconds)
        requests = BatchRequests(self.batch_store, self._workshop.engine.limits)
        self.runner = Runner(self._workshop, store, self._queue, requests)
        if self._settings.jobs_at_once:
            serving = asyncio.create_task(self._queue.serve(self._settings.jobs_at_once))
            self._tasks.append(serving)
            self._tasks.append(asyncio.create_task(self._keep_repairing(store)))
        return store

    async def _serve(self, ticket: str) -> None:
        assert self.runner is not None
        await self.runner.run(ticket)

    async def _keep_opening(self) -> None:
        """Open the queue as soon as that is possible."""
        while not self.is_open:
            try:
                await self.open()
            except QueueUnavailable:
                await asyncio.sleep(1)
            except PosterError as error:
                event(logger, logging.ERROR, f"jobs are off: {error}", code=error.code)
                await asyncio.sleep(60)

    async def _keep_repairing(self, store: RecordStore) -> None:
        """Have each queued job a ticket, and each running one a living worker.

        A process may die between the record and the ticket of a job, and a Redis that was restored
        may have forgotten the last second. Nothing is taken from its owner soon after Redis was
        away: no owner could give a sign of life then.
        """
        redelivery = self._settings.jobs_redelivery_seconds
        silent = max(LEAST_SILENT_SECONDS, SILENT_TIMES * redelivery)
        loop = asyncio.get_running_loop()
        answers_since = loop.time()
        while True:
            await asyncio.sleep(min(REPAIR_SECONDS, redelivery))
            try:
                now = await store.state()
                missing = now.queued + now.running - await self._queue.tickets()
                if missing > 0:
                    some = range(min(missing, MOST_TICKETS))
                    await self._queue.add_all([secrets.token_hex(16) for _ in some])
                if loop.time() - answers_since > silent:
                    await store.reclaim(silent)
            except QueueUnavailable:
                answers_since = loop.time()
            except Exception:  # any: jobs that are lost later must still be found
                logger.exception("the search for jobs without a worker failed")
