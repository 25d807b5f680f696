"""Runs jobs: claims one for each ticket, renders it, stores the result, ends the record.

A job ends exactly once: the worker that claims it owns it until it has ended, is given back, or the
worker has been silent for too long, and only the owner can end it. It may be rendered more than
once: a worker that was thought dead goes on until its next sign of life. Then its result is
dropped; objects are named by their content, so nothing is overwritten.

No failure of Redis ends a job: what must be written is written again until it succeeds. If this
process dies meanwhile, the ticket is delivered to another.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from poster_service import telemetry
from poster_service.engine import Engine
from poster_service.errors import (
    ChromeDied,
    DestinationFailed,
    JobLost,
    LoadError,
    PosterError,
    QueueUnavailable,
    Stopping,
    StorageFailed,
)
from poster_service.jobs.batch_requests import BatchRequests
from poster_service.jobs.delivery import Deliverer, known
from poster_service.jobs.events import Events
from poster_service.jobs.queue import JobQueue
from poster_service.jobs.record_store import RecordStore
from poster_service.jobs.records import Job, JobRequest, Outcome, Phase, files_of
from poster_service.jobs.storage import Storage
from poster_service.logs import event, request_id
from poster_service.problems import problem_of
from poster_service.render.cache import Answer
from poster_service.render.job import RenderContext
from poster_service.render.request import RenderRequest
from poster_service.render.result import Result
from poster_service.stats import InFlight

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: How jobs end.
OUTCOMES: tuple[Outcome, ...] = ("done", "failed", "cancelled")
#: How often a job may be begun; then it is lost. One whose page kills its worker must not kill all.
MAX_ATTEMPTS = 3
#: How often the owner of a job gives a sign of life and looks whether it was cancelled, in seconds.
BEAT_SECONDS = 1.0
#: What may be different a moment later is tried again after so many seconds, in the same attempt.
RETRY_SECONDS = (1.0, 5.0, 25.0)
RETRIED = (LoadError, ChromeDied, StorageFailed, DestinationFailed)
#: Bounds of the wait before what Redis did not do is tried again, in seconds.
REDIS_SECONDS, MAX_REDIS_SECONDS = 0.2, 5.0


class GivenBack(Exception):
    """A job is not to be ended here, but by another worker."""


@dataclass(frozen=True)
class Workshop:
    """What jobs are run with.

    Attributes:
        engine: Renders.
        deliverer: Stores and sends results.
        storage: Where results are stored.
        events: Is called for each job that has ended.
    """

    engine: Engine
    deliverer: Deliverer
    storage: Storage
    events: Events


class Runner:
    """Runs a job for each ticket.

    Attributes:
        active: The jobs that run here.
        outcomes: Jobs that ended here, by state.
        redelivered: Jobs that another worker had begun and not ended.
        given_back: Jobs that were begun here and put back into the queue.
    """

    def __init__(
        self, workshop: Workshop, store: RecordStore, queue: JobQueue, requests: BatchRequests
    ) -> None:
        """Run nothing yet.

        Args:
            workshop: What jobs are run with.
            store: Their records.
            queue: Their tickets.
            requests: Makes the requests of parts of batches.
        """
        self._requests = requests
        self._workshop = workshop
        self._store = store
        self._queue = queue
        self._works: dict[str, asyncio.Task[tuple[Outcome, Mapping[str, Any]]]] = {}
        self._stop_at: float | None = None
        self.active = InFlight()
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.redelivered = 0
        self.given_back = 0

    async def run(self, ticket: str) -> None:
        """Serve a ticket: run the job that it is good for, if there is one."""
        owner = secrets.token_hex(8)
        with self.active.track():
            self._queue.is_busy(busy=True)
            try:
                claimed, identity = await self._persist(lambda: self._store.claim(ticket, owner))
                job = await self._persist(lambda: self._store.get(identity)) if identity else None
                if job is None:
                    return
                request_id.set(job.id)
                self.redelivered += claimed == "again"
                with span_of(job):  # which webhooks name
                    if claimed == "lost":
                        await self._lost(job, owner)
                    elif claimed != "ended":
                        await self._run(job, owner, ticket)
                    await self._persist(lambda: self.announce(identity, ticket))
            finally:
                self._queue.is_busy(busy=self.active.count > 1)

    async def announce(self, identity: str, ticket: str = "") -> None:
        """Tell those who want to know that a job has ended, if it has.

        Raises:
            QueueUnavailable: Redis did not answer in time; a ticket will have it announced.
        """
        job = await self._store.get(identity)
        if job is not None and job.has_ended:
            await self._workshop.events.job_finished(job)
            await self._store.announced(identity, ticket)

    async def give_all_back(self, seconds: float) -> None:
        """Stop the jobs that run here and put them back to the front of the queue.

        Args:
            seconds: How long Redis may take. What it has not done by then, it does by itself, when
                it finds the jobs without an owner.
        """
        self._stop_at = asyncio.get_running_loop().time() + seconds
        for work in self._works.values():
            work.cancel()
        await self.active.wait_none()

    async def _lost(self, job: Job, owner: str) -> None:
        message = f"{MAX_ATTEMPTS} workers have died or lost their connection while they ran it"
        await self._finish(job, owner, "failed", problem_of(JobLost(message)))

    async def _run(self, job: Job, owner: str, ticket: str) -> None:
        """Run a job to its end, or until it is not to be ended here."""
        work = asyncio.create_task(self._work(job, owner))
        self._works[job.id] = work
        watch = asyncio.create_task(self._watch(job, owner, work))
        try:
            if self._stop_at is not None:
                work.cancel()
            # This task is cancelled when a caller cancels the job.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({work})
            work.cancel()
            await asyncio.wait({work})
        finally:
            watch.cancel()
            del self._works[job.id]
        if work.cancelled() or isinstance(work.exception(), GivenBack):
            await self._give_back(job, owner, ticket)
        else:
            await self._finish(job, owner, *work.result())

    async def _work(self, job: Job, owner: str) -> tuple[Outcome, Mapping[str, Any]]:
        """How a job ends, and its result or problem.

        Raises:
            GivenBack: Not here, because this process stops.
        """
        try:
            answer, request = await self._rendered(job, owner)
            return "done", await self._delivered(job, owner, answer, request)
        except Stopping as error:
            raise GivenBack from error
        except PosterError as error:
            if error.__cause__ is not None:
                logger.info("the cause of %s", error.code, exc_info=error.__cause__)
            return "failed", {**problem_of(error), "request_id": job.id}
        except Exception:
            logger.exception("a job failed")
            fault = PosterError("internal error; the log has this request id")
            return "failed", {**problem_of(fault), "request_id": job.id}

    async def _rendered(self, job: Job, owner: str) -> tuple[Answer, RenderRequest]:
        engine = self._workshop.engine
        request = await self._request_of(job)
        context = RenderContext(job.caller, is_background=True)
        answer = await self._retried(
            job, owner, "rendering", lambda: engine.render(request, context)
        )
        return answer, request

    async def _request_of(self, job: Job) -> RenderRequest:
        if job.batch:
            return await self._persist(lambda: self._requests.of(job))
        limits, files = self._workshop.engine.limits, files_of(job.request)
        return JobRequest.parse(job.request["request"], limits, files=files)

    async def _delivered(
        self, job: Job, owner: str, answer: Answer, request: RenderRequest
    ) -> dict[str, Any]:
        workshop, pictures = self._workshop, answer.rendered.pictures

        async def deliver() -> dict[str, Any]:
            with workshop.engine.buffers.open() as share:
                share.require(answer.rendered.size)
                delivered = await workshop.deliverer.deliver(
                    pictures, request.options, job.caller, workshop.storage
                )
                return known(await Result.of(answer, request), delivered)

        return await self._retried(job, owner, "storing", deliver)

    async def _retried(
        self, job: Job, owner: str, phase: Phase, what: Callable[[], Awaitable[T]]
    ) -> T:
        """Do something, again where that makes sense.

        Raises:
            PosterError: Of the last time.
        """
        for seconds in RETRY_SECONDS:
            await self._note(job, owner, phase)
            try:
                return await what()
            except RETRIED as error:
                if isinstance(error, Stopping):
                    raise
                event(logger, logging.INFO, "a job is tried again", code=error.code)
                await self._note(job, owner, "waiting")
                await asyncio.sleep(max(seconds, error.retry_after or 0))
        await self._note(job, owner, phase)
        return await what()

    async def _note(self, job: Job, owner: str, phase: Phase) -> None:
        with contextlib.suppress(QueueUnavailable):  # it is only for those who look
            await self._store.beat(job.id, owner, phase)

    async def _watch(self, job: Job, owner: str, work: asyncio.Task[Any]) -> None:
        """Give signs of life; stop the work when the job is not this worker's any more."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with contextlib.suppress(QueueUnavailable):
                if not await self._store.beat(job.id, owner):
                    work.cancel()
                    return

    async def _finish(self, job: Job, owner: str, state: Outcome, found: Mapping[str, Any]) -> None:
        is_ours = await self._persist(lambda: self._store.finish(job, owner, state, found))
        code = found.get("code", "")
        telemetry.current().set("poster.outcome", code or "ok")
        if is_ours:
            self.outcomes[state] += 1
            event(logger, logging.INFO, "job ended", state=state, code=code)
        else:
            event(logger, logging.INFO, "the end of a job came too late", state=state, code=code)

    async def _give_back(self, job: Job, owner: str, ticket: str) -> None:
        """Put a job back into the queue; nothing happens if it was cancelled or taken away."""
        if await self._persist(lambda: self._store.give_back(job.id, owner, ticket)):
            self.given_back += 1
            event(logger, logging.INFO, "job given back")
            await self._persist(lambda: self._queue.add(secrets.token_hex(16)))

    async def _persist(self, what: Callable[[], Awaitable[T]]) -> T:
        """Have Redis do something, however long it takes it to come back.

        Raises:
            QueueUnavailable: This process stops, and has waited for long enough.
        """
        seconds, loop = REDIS_SECONDS, asyncio.get_running_loop()
        while True:
            try:
                return await what()
            except QueueUnavailable:
                if self._stop_at is not None and loop.time() >= self._stop_at:
                    raise
            await asyncio.sleep(seconds)
            seconds = min(2 * seconds, MAX_REDIS_SECONDS)


def span_of(job: Job) -> AbstractContextManager[telemetry.Span]:
    """The span of a job that runs: a trace of its own, with a link to who asked for it."""
    return telemetry.span(
        "process job",
        kind="consumer",
        parent="none",
        links=[telemetry.TraceContext.parse(job.trace)],
        attributes={"poster.request_id": job.id, "poster.attempt": job.attempts},
    )
