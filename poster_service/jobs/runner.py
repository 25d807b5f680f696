"""Runs jobs: claims one for each ticket, renders it, stores the result, ends the record.

A job ends exactly once: the worker that claims it owns it until it has ended, is given back, or the
worker has been silent for too long, and only the owner can end it. It may be rendered more than
once: a worker that was thought dead goes on until its next sign of life. Then its result is
dropped; objects are named by their content, so nothing is overwritten.

No failure of Redis ends a job: what must be written is written again until it succeeds. If this
process dies meanwhile, the ticket is delivered to another. A storage that is away for longer than
a job waits for it (`storage_outage.py`) sends the job back to the queue, until that is too long.

A job is lost only when workers died while they rendered it: neither a death while its result was
being stored counts, nor a worker that was thought dead and is heard of again.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
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
from poster_service.jobs.delivery import Delivered, Deliverer, known
from poster_service.jobs.events import Events
from poster_service.jobs.queue import JobQueue
from poster_service.jobs.record_store import Claimed, Patience, RecordStore, Why
from poster_service.jobs.records import Job, JobRequest, Outcome, Phase, files_of
from poster_service.jobs.results import StoredResult
from poster_service.jobs.storage import Storage
from poster_service.jobs.storage_outage import StorageOutage
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
#: Then a job is lost. One whose page kills its worker must not kill all.
PATIENCE = Patience(deaths=3, attempts=20)
#: How often the owner of a job gives a sign of life and looks whether it was cancelled, in seconds.
BEAT_SECONDS = 1.0
#: What may be different a moment later is tried again after so many seconds, in the same attempt.
RETRY_SECONDS = (1.0, 5.0, 25.0)
RETRIED = (LoadError, ChromeDied, StorageFailed, DestinationFailed)
#: How long a job waits for a storage that is away before it goes back to the queue, in seconds: the
#: start of a store takes less, and then its result is not rendered again.
OUTAGE_SECONDS = 30.0
#: For how long a job goes back to the queue after the storage has failed, in seconds: longer than
#: the restart of a store or of its network takes, and no longer than a caller should wait in vain.
STORAGE_SECONDS = 900.0
#: Bounds of the wait before what Redis did not do is tried again, in seconds: a slot is idle for up
#: to the longer one after Redis is back.
REDIS_SECONDS, MAX_REDIS_SECONDS = 0.2, 1.0


class GivenBack(Exception):
    """A job is not to be ended here, but by another worker, or later."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


@dataclass
class Running:
    """A job that runs here.

    Attributes:
        job: As it was claimed.
        owner: Of this claim.
        ticket: That it was claimed with.
        phase: What is being done; Redis hears of it with the next sign of life, so that the short
            phases of most jobs cost it nothing.
    """

    job: Job
    owner: str
    ticket: str
    phase: Phase = "rendering"


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
        self._outage = StorageOutage()
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
            claimed, job = await self._persist(lambda: self._store.claim(ticket, owner))
            if job is None:
                return
            request_id.set(job.id)
            self.redelivered += claimed == "again"
            with span_of(job):  # which webhooks name
                await self._serve(claimed, Running(job, owner, ticket))

    async def announce(self, identity: str, ticket: str = "") -> None:
        """Report to those who want to know that a job has ended, if it has.

        Raises:
            QueueUnavailable: Redis did not answer in time; a ticket will have it announced.
        """
        job = await self._store.get(identity)
        if job is not None and job.has_ended and not job.is_announced:
            await self._announce(job, ticket)

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

    async def _serve(self, claimed: Claimed, one: Running) -> None:
        """Do with a claimed job what is to be done, and report its end."""
        if claimed == "ended":
            ended: Job | None = one.job
        elif claimed == "lost":
            ended = await self._finish(one, "failed", problem_of(JobLost(why_lost(one.job))))
        else:
            ended = await self._run(one)
        if ended is not None:
            if not ended.is_announced:
                await self._persist(partial(self._announce, ended, one.ticket))
        else:  # it may have been cancelled
            await self._persist(lambda: self.announce(one.job.id, one.ticket))

    async def _announce(self, ended: Job, ticket: str) -> None:
        await self._workshop.events.job_finished(ended)
        await self._store.announced(ended.id, ticket)

    async def _run(self, one: Running) -> Job | None:
        """Run a job; as it has ended, None if it was not ended here."""
        job = one.job
        work = asyncio.create_task(self._work(one))
        self._works[job.id] = work
        watch = asyncio.create_task(self._watch(one, work))
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
        if work.cancelled():
            await self._give_back(one, "stop")
        elif isinstance(error := work.exception(), GivenBack):
            await self._give_back(one, error.why)
        else:
            return await self._finish(one, *work.result())
        return None

    async def _work(self, one: Running) -> tuple[Outcome, Mapping[str, Any]]:
        """How a job ends, and its result or problem.

        Raises:
            GivenBack: Not here, because this process stops; or not now, because of the storage.
        """
        try:
            answer, request = await self._rendered(one)
            return "done", await self._delivered(one, answer, request)
        except Stopping as error:
            raise GivenBack("stop") from error
        except PosterError as error:
            if isinstance(error, StorageFailed) and may_be_stored_later(error, one.job):
                raise GivenBack("storage") from error
            if error.__cause__ is not None:
                logger.info("the cause of %s", error.code, exc_info=error.__cause__)
            return "failed", {**problem_of(error), "request_id": one.job.id}
        except Exception:
            logger.exception("a job failed")
            fault = PosterError("internal error; the log has this request id")
            return "failed", {**problem_of(fault), "request_id": one.job.id}

    async def _rendered(self, one: Running) -> tuple[Answer, RenderRequest]:
        engine = self._workshop.engine
        request = await self._request_of(one.job)
        context = RenderContext(one.job.caller, is_background=True)
        answer = await self._retried(one, "rendering", lambda: engine.render(request, context))
        return answer, request

    async def _request_of(self, job: Job) -> RenderRequest:
        if job.batch:
            return await self._persist(lambda: self._requests.of(job))
        limits, files = self._workshop.engine.limits, files_of(job.request)
        return JobRequest.parse(job.request["request"], limits, files=files)

    async def _delivered(
        self, one: Running, answer: Answer, request: RenderRequest
    ) -> dict[str, Any]:
        deliverer, storage = self._workshop.deliverer, self._workshop.storage
        what = (answer.rendered.pictures, request.options, one.job.caller)

        async def send() -> int | None:
            with self._room_for(answer):
                return await deliverer.send(*what)

        async def store() -> tuple[StoredResult, ...]:
            one.phase = "storing"
            with self._room_for(answer):
                return await deliverer.store(*what, storage)

        status = await self._retried(one, "storing", send)
        # What was sent is not sent again because the storage fails.
        stored = await self._retried(
            one, "storing", lambda: self._outage.store(store, OUTAGE_SECONDS, lambda: waits(one))
        )
        return known(await Result.of(answer, request), Delivered(stored, status))

    @contextlib.contextmanager
    def _room_for(self, answer: Answer) -> Iterator[None]:
        """Memory for the bytes of a result while they are sent or stored.

        Raises:
            LoadError: There is none.
        """
        with self._workshop.engine.buffers.open() as share:
            share.require(answer.rendered.size)
            yield

    async def _retried(self, one: Running, phase: Phase, what: Callable[[], Awaitable[T]]) -> T:
        """Do something, again where that makes sense.

        Raises:
            PosterError: Of the last time.
        """
        for seconds in RETRY_SECONDS:
            one.phase = phase
            try:
                return await what()
            except RETRIED as error:
                if isinstance(error, Stopping) or is_outage(error):
                    raise
                event(logger, logging.INFO, "a job is tried again", code=error.code)
                one.phase = "waiting"
                await asyncio.sleep(max(seconds, error.retry_after or 0))
        one.phase = phase
        return await what()

    async def _watch(self, one: Running, work: asyncio.Task[Any]) -> None:
        """Give signs of life; stop the work when the job is not this worker's any more."""
        written = one.phase
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            phase = one.phase
            news = phase if phase != written else None
            with contextlib.suppress(QueueUnavailable):
                if not await self._store.beat(one.job.id, one.owner, news):
                    work.cancel()
                    return
                written = phase

    async def _finish(self, one: Running, state: Outcome, found: Mapping[str, Any]) -> Job | None:
        ended = await self._persist(lambda: self._store.finish(one.job, one.owner, state, found))
        code = found.get("code", "")
        telemetry.current().set("poster.outcome", code or "ok")
        self.outcomes[state] += ended is not None
        message = "the end of a job came too late" if ended is None else "job ended"
        event(logger, logging.INFO, message, state=state, code=code)
        return ended

    async def _give_back(self, one: Running, why: Why) -> None:
        """Put a job back into the queue; nothing happens if it was cancelled or taken away."""
        arguments = (one.job.id, one.owner, one.ticket, why)
        if await self._persist(lambda: self._store.give_back(*arguments)):
            self.given_back += 1
            event(logger, logging.INFO, "job given back", why=why)
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


def why_lost(job: Job) -> str:
    """Why a job is not begun again."""
    if job.deaths >= PATIENCE.deaths:
        return f"{job.deaths} workers have died while they rendered it"
    return f"it was begun {PATIENCE.attempts} times, and no worker came to its end"


def waits(one: Running) -> None:
    """Note that a job waits for the storage."""
    event(logger, logging.INFO, "a job waits for the storage", code=StorageFailed.code)
    one.phase = "waiting"


def is_outage(error: PosterError) -> bool:
    """Whether the storage was away for as long as a job waits for it in one attempt."""
    return isinstance(error, StorageFailed) and error.may_pass


def may_be_stored_later(error: StorageFailed, job: Job) -> bool:
    """Whether a job goes back to the queue when the storage has failed."""
    since = time.time() if job.unstored is None else job.unstored
    return error.may_pass and time.time() - since < STORAGE_SECONDS


def span_of(job: Job) -> AbstractContextManager[telemetry.Span]:
    """The span of a job that runs: a trace of its own, with a link to who asked for it."""
    return telemetry.span(
        "process job",
        kind="consumer",
        parent="none",
        links=[telemetry.TraceContext.parse(job.trace)],
        attributes={"poster.request_id": job.id, "poster.attempt": job.attempts},
    )
