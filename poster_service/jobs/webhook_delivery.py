"""Delivers messages to webhooks: attempts, the schedule of retries, dead letters, replays.

A message is stored first and then put into a queue of its own beside that of the jobs, so no render
slot waits for a receiver, and a restart loses nothing. Each run in the queue has a number: a run
that was interrupted is made again, and finds in the store whether the next one is planned already.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from poster_service import clock
from poster_service.detached import detached, end
from poster_service.errors import PosterError, QueueUnavailable
from poster_service.jobs.queue import STOP_SECONDS, JobQueue
from poster_service.jobs.turns import Turns
from poster_service.jobs.webhook_attempts import Attempts, Outcome, Result
from poster_service.jobs.webhook_records import Bounds, Message, Records
from poster_service.logs import event
from poster_service.stats import InFlight

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Of the queue in Redis.
NAME = "poster-webhooks"
#: Attempts that run at once in one process: in all, of one caller, and for one host.
ATTEMPTS_AT_ONCE, OF_CALLER, OF_HOST = 32, 16, 8
#: How much longer than the schedule says a message may wait, as a share of it.
JITTER = 0.2
#: How long an attempt waits that this process had no memory or no storage for, in seconds.
BUSY_SECONDS = 5.0
#: How long to wait before what Redis did not do is tried again, in seconds.
REDIS_SECONDS = 1.0
#: After these there is no further attempt.
FINAL: frozenset[Outcome] = frozenset({"gone", "denied", "missing", "too_many"})


@dataclass(frozen=True)
class DeliveryPlan:
    """What the settings say of deliveries.

    Attributes:
        url: Of the Redis of the jobs; None for the memory of this process.
        retry_seconds: Times to wait before each attempt.
        bounds: How much is kept of one caller.
        redelivery: After how many seconds an interrupted run is made again.
        name: Of the queue.
    """

    url: str | None
    retry_seconds: Sequence[float]
    bounds: Bounds
    redelivery: float = 10.0
    name: str = NAME


class Deliveries:
    """The queue of messages, and what delivers them in this process."""

    def __init__(self, plan: DeliveryPlan, attempts: Attempts) -> None:
        """Connect to nothing, import nothing.

        Args:
            plan: Of the settings.
            attempts: Makes them; closed with this.
        """
        self._plan = plan
        self._attempts = attempts
        self._queue = JobQueue(plan.url, plan.redelivery, plan.name)
        self._opening = asyncio.Lock()
        self._records: Records | None = None
        self._hosts, self._callers = Turns(OF_HOST), Turns(OF_CALLER)
        self._active = InFlight()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to deliver what waits in the Redis of the jobs, as soon as it answers."""
        if self._plan.url is not None:
            self._tasks.append(asyncio.create_task(self._keep_opening()))

    async def records(self) -> Records:
        """The messages; the queue is opened if it is not.

        Raises:
            JobsMissing: The package is not installed.
            QueueUnavailable: Redis does not answer.
        """
        async with self._opening:
            if self._records is None:
                client = await detached(self._queue.open(self._serve))
                self._records = Records(client, self._plan.bounds)
                self._tasks.append(detached(self._queue.serve(ATTEMPTS_AT_ONCE)))
            return self._records

    async def stop(self) -> None:
        """Stop delivering: attempts that run are broken off and given back to the queue."""
        self._queue.pause()
        self._attempts.break_off()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._active.wait_none()
        await self._queue.stop()
        await end(self._tasks)
        await self._queue.close()
        await self._attempts.close()

    async def publish(self, message: Message) -> None:
        """Have a message delivered, once for all calls with its id.

        Raises:
            QueueUnavailable: It may not be stored: call again.
        """
        records = await self.records()
        stored = await records.add(replace(message, due=time.time() + self._delay(0)))
        if stored.state != "waiting":
            return
        if stored.turn or await records.has_room(stored.caller):
            await self._plan_run(records, stored)
        else:
            await self._bury(records, replace(stored, outcome="too_many"))

    async def replay(self, message: Message) -> None:
        """Begin again with a dead letter, under the same id.

        Raises:
            QueueUnavailable: Call again.
        """
        records = await self.records()
        await self._plan_run(records, await records.revive(message))

    async def _keep_opening(self) -> None:
        while True:
            try:
                await self.records()
            except QueueUnavailable:
                await asyncio.sleep(1)
            except PosterError as error:
                event(logger, logging.ERROR, f"webhooks are off: {error}", code=error.code)
                return
            else:
                return

    async def _serve(self, ticket: str) -> None:
        """Serve a ticket of the queue: one run of a message."""
        identity, _, turn = ticket.rpartition(".")
        with self._active.track():
            try:
                records = await self.records()
                await self._run(records, identity, int(turn))
            except QueueUnavailable:
                # Redis does not hear of the end of this run, and so delivers it again.
                event(logger, logging.WARNING, "a webhook waits for Redis", webhook_id=identity)
            except Exception:
                logger.exception("a run of webhook %s failed", identity)

    async def _run(self, records: Records, identity: str, turn: int) -> None:
        """One run: an attempt, or a wait for a turn of its host or caller."""
        message = await self._persist(lambda: records.get(identity))
        if message is None or message.state != "waiting" or message.turn < turn:
            return
        if message.turn > turn:  # an earlier run of this turn was interrupted at its end
            await self._persist(lambda: self._enqueue(message))
            return
        if wait := self._enter(message):
            await self._again(records, message, wait)
            return
        begin = clock.now()
        try:
            result = await self._attempts.make(message)
        finally:
            self._leave(message, clock.now() - begin)
        if result is None:
            await self._again(records, message, 0.0 if self._attempts.broken_off else BUSY_SECONDS)
        else:
            await self._settle(records, message, result)

    def _enter(self, message: Message) -> float:
        """Take a turn of its host and its caller: 0, or the seconds to wait for one."""
        host = host_of(message)
        if wait := self._hosts.enter(host):
            return wait
        if wait := self._callers.enter(message.caller):
            self._hosts.leave(host, None)
        return wait

    def _leave(self, message: Message, seconds: float) -> None:
        self._hosts.leave(host_of(message), seconds)
        self._callers.leave(message.caller, seconds)

    async def _again(self, records: Records, message: Message, seconds: float) -> None:
        """Run a message later; this was no attempt."""
        later = replace(message, turn=message.turn + 1, due=time.time() + seconds)
        await self._persist(lambda: self._plan_run(records, later))

    async def _settle(self, records: Records, message: Message, result: Result) -> None:
        """Note how an attempt ended, and what follows."""
        self._attempts.counters.attempt(result.outcome)
        tried = replace(
            message,
            attempts=message.attempts + 1,
            turn=message.turn + 1,
            outcome=result.outcome,
            status=result.status,
        )
        event(
            logger, logging.INFO, "webhook attempt", webhook_id=message.id, type=message.kind,
            attempt=tried.attempts, outcome=result.outcome, status=result.status,
        )  # fmt: skip
        if result.outcome == "ok":
            await self._follow(message, "delivered")
            await self._persist(lambda: records.delivered(tried))
        elif result.outcome in FINAL or tried.attempts >= len(self._plan.retry_seconds):
            await self._persist(lambda: self._bury(records, tried))
        else:
            wait = max(self._delay(tried.attempts), result.retry_after)
            later = replace(tried, due=time.time() + wait)
            await self._persist(lambda: self._plan_run(records, later))

    async def _bury(self, records: Records, message: Message) -> None:
        await self._follow(message, "dead")
        await records.bury(message)
        self._attempts.counters.dead()
        event(
            logger, logging.WARNING, "a webhook is a dead letter", webhook_id=message.id,
            type=message.kind, subject=message.subject, outcome=message.outcome,
            status=message.status,
        )  # fmt: skip

    async def _follow(self, message: Message, end: str) -> None:
        """Send what is to follow the end of a message; their ids are constant too."""
        for given in message.follow.get(end, ()):
            await self._persist(partial(self.publish, Message(**given)))

    async def _persist(self, what: Callable[[], Awaitable[T]]) -> T:
        """Have Redis do something, however long it takes it to come back.

        Raises:
            QueueUnavailable: This process stops; what was not done is done when it is run again.
        """
        while True:
            try:
                return await what()
            except QueueUnavailable:
                if self._attempts.broken_off:
                    raise
            await asyncio.sleep(REDIS_SECONDS)

    async def _plan_run(self, records: Records, message: Message) -> None:
        """Put the next run of a message into the queue; nothing happens if it is there."""
        await records.save(message)
        await self._enqueue(message)

    async def _enqueue(self, message: Message) -> None:
        due = datetime.fromtimestamp(message.due, UTC)
        await self._queue.add(f"{message.id}.{message.turn}", due)

    def _delay(self, attempts: int) -> float:
        """Seconds to wait before the attempt after so many."""
        return self._plan.retry_seconds[attempts] * random.uniform(1, 1 + JITTER)


def host_of(message: Message) -> str:
    """The host that a message goes to, as far as turns are concerned."""
    return urlsplit(message.url).hostname or ""
