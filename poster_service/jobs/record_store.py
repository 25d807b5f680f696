"""The records of jobs, in Redis or in docket's embedded backend; every change is one script.

A command that Redis does not answer in time is `QueueUnavailable`: nothing is retried here, since
only the caller knows whether a second time does harm. Each change may be made twice by its owner.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, cast

from poster_service.errors import QueueUnavailable
from poster_service.jobs import scripts
from poster_service.jobs.batch_records import ROOM, number_of
from poster_service.jobs.records import Job, NewJob, Outcome, Phase, fingerprint, packed

#: Below it are all keys; docket's own are below the name of the queue.
PREFIX = "poster-job"
#: Time for one change, connecting included, in seconds. A busy Redis takes milliseconds.
SECONDS = 5.0

Created = Literal["new", "same", "other", "full"]
Claimed = Literal["run", "again", "lost", "ended", "more", "none"]
#: Why a job is given back: its worker stops, or the storage does not take its result.
Why = Literal["stop", "storage"]


@dataclass(frozen=True)
class Patience:
    """How often a job may be begun before it is lost.

    Attributes:
        deaths: Of workers that were not heard of again while they rendered it.
        attempts: In all. The other ways in which a job loses its worker are not its fault, but it
            must not go round for ever.
    """

    deaths: int
    attempts: int


@dataclass(frozen=True)
class QueueState:
    """Gauges of the queue, the same for all processes that share it.

    Attributes:
        queued: Jobs that wait.
        running: Jobs that a worker has.
        oldest_seconds: How long the oldest queued job has waited; 0 if none waits.
    """

    queued: int = 0
    running: int = 0
    oldest_seconds: float = 0.0


class RecordStore:
    """Records of jobs and the order in which they run."""

    def __init__(self, client: Any, seconds: int, patience: Patience) -> None:
        """Connect to nothing.

        Args:
            client: `redis.asyncio.Redis`, or docket's embedded one.
            seconds: How long a record exists after its creation, its start and its end.
            patience: How often a job may be begun.
        """
        self._client = client
        self._seconds = seconds
        self._patience = patience
        self._run = Scripts(client).run

    async def create(self, new: NewJob, *, limit: int = 0, key: str = "") -> tuple[Created, str]:
        """Create a queued job.

        Args:
            new: What is to be done.
            limit: Unfinished jobs that its caller may have with this one; 0 for any number.
            key: Its Idempotency-Key; "" for none.

        Returns:
            "new" and its id; "same" and the id of the job that this caller created with that key
            (or that id) before; "other" and the id of a different one; or "full": it was not
            created.

        Raises:
            QueueUnavailable: Redis did not do it in time; it may have been created all the same.
        """
        fields: dict[str, str | bytes] = {
            "id": new.id,
            "caller": new.caller,
            "state": "queued",
            "created": repr(time.time()),
            "attempts": "0",
            "batch": new.batch,
            "request": packed(new.request),
        }
        if new.webhook is not None:
            fields["webhook"] = packed(new.webhook)
        if new.trace:
            fields["trace"] = new.trace
        name = sha256(key.encode()).hexdigest() if key else ""
        mark = fingerprint({"request": new.request, "webhook": new.webhook}) if key else ""
        kind = "item" if new.batch else "job"
        what, found = await self._run(
            scripts.CREATE,
            *(new.id, new.caller, kind, self._seconds, limit, name, mark),
            *(part for pair in fields.items() for part in pair),
        )
        return cast(Created, what.decode()), found.decode()

    async def get(self, identity: str) -> Job | None:
        """The job of an id; None if there is none, or none any more.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        async with failures():
            fields = await self._client.hgetall(f"{PREFIX}:job:{identity}")
        return Job.of(fields) if b"state" in fields else None

    async def claim(self, ticket: str, owner: str) -> tuple[Claimed, Job | None]:
        """Give a ticket the next job, or the one that it had.

        Args:
            ticket: Delivered by the queue.
            owner: Of this delivery alone; the same owner gets the same job again.

        Returns:
            "run" or, for a ticket that had a job before, "again"; "lost": it has been begun too
            often, and is the owner's to end; "ended": its end has to be announced; and the job.
            "none" without one.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        while True:
            arguments = (ticket, owner, self._seconds, self._patience.deaths)
            what, found = await self._run(scripts.CLAIM, *arguments, self._patience.attempts)
            if what != b"more":
                return cast(Claimed, what.decode()), _job_of(found)

    async def beat(self, identity: str, owner: str, phase: Phase | None = None) -> bool:
        """Say that a job still runs, and in which phase; False if it is no longer the owner's.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        return bool(await self._run(scripts.BEAT, identity, owner, phase or ""))

    async def finish(
        self, job: Job, owner: str, state: Outcome, found: Mapping[str, Any] | None
    ) -> Job | None:
        """End a running job; None if it is no longer the owner's, and nothing is changed then.

        An item of a batch is counted. Where there is nothing else to be done the end is announced
        with that: it has no webhook, and its batch neither ends nor has room for more items.

        Args:
            job: The job.
            owner: Who has claimed it.
            state: Of a job that is done, `found` is its result, of one that failed, its problem.
            found: JSON.

        Returns:
            The job as it has ended.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        fields: list[Any] = []
        if found is not None:
            fields = ["result" if state == "done" else "problem", packed(found)]
        keeps_request = "1" if state == "failed" and job.batch else "0"
        item = number_of(job.id) if job.batch else ""
        is_own, is_announced = await self._run(
            scripts.FINISH,
            *(job.id, owner, self._seconds, keeps_request, item, ROOM, state, *fields),
        )
        if is_own != b"1":
            return None
        result, problem = (found, None) if state == "done" else (None, found)
        request = job.request if keeps_request == "1" else {}
        return replace(
            job, state=state, result=result, problem=problem, request=request, phase="",
            finished=time.time(), is_announced=is_announced == b"1",
        )  # fmt: skip

    async def cancel(self, identity: str) -> tuple[str, str]:
        """Cancel a job that has not ended.

        Returns:
            The state that it had, "" if there is no such job; and the ticket of one that ran.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        state, ticket = await self._run(scripts.CANCEL, identity, self._seconds)
        return state.decode(), ticket.decode()

    async def announced(self, identity: str, ticket: str = "") -> None:
        """Note that all who had to hear of a job's end have heard.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        await self._run(scripts.ANNOUNCED, identity, ticket)

    async def give_back(self, identity: str, owner: str, ticket: str, why: Why = "stop") -> bool:
        """Put a running job back into the queue; False if it is not the owner's.

        Args:
            identity: Of the job.
            owner: Who has claimed it.
            ticket: That it was claimed with; it is used up.
            why: Of a worker that stops the job is the next one; if the storage has failed it is the
                last one of its caller, because the others would fail too.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        arguments = (identity, owner, ticket, self._seconds, why)
        return bool(await self._run(scripts.GIVE_BACK, *arguments))

    async def reclaim(self, silent_seconds: float) -> int:
        """Queue again the running jobs whose worker has been silent for so long; how many.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        before = repr(time.time() - silent_seconds)
        return int(await self._run(scripts.RECLAIM, self._seconds, before))

    async def state(self) -> QueueState:
        """How long the queue is.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        now, queued = time.time(), f"{PREFIX}:queued"
        async with failures():
            # Of records that expired before a worker had them.
            await self._client.zremrangebyscore(queued, "-inf", now - self._seconds)
            oldest = await self._client.zrange(queued, 0, 0, withscores=True)
            return QueueState(
                int(await self._client.zcard(queued)),
                int(await self._client.zcard(f"{PREFIX}:running")),
                max(0.0, now - float(oldest[0][1])) if oldest else 0.0,
            )


class Scripts:
    """Runs scripts in Redis, each of which gets the prefix of all keys and the time first."""

    def __init__(self, client: Any) -> None:
        """`client` is `redis.asyncio.Redis`, or docket's embedded one."""
        self._client = client
        self._registered: dict[str, Any] = {}

    async def run(self, script: str, *arguments: Any) -> Any:
        """The result of a script.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        if script not in self._registered:
            self._registered[script] = self._client.register_script(script)
        async with failures():
            return await self._registered[script](
                keys=[], args=[PREFIX, repr(time.time()), *arguments]
            )


def _job_of(flat: Sequence[bytes]) -> Job | None:
    """The job of fields and values, one after the other."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Job.of(fields) if b"state" in fields else None


@asynccontextmanager
async def failures() -> AsyncIterator[None]:
    """Give every failure of Redis as one of ours.

    Raises:
        QueueUnavailable: In place of the client's errors, and of no answer in time.
    """
    from redis.exceptions import RedisError

    try:
        async with asyncio.timeout(SECONDS):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailable("the queue of jobs does not answer; try again") from error
