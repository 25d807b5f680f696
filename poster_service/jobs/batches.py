"""Batches as the HTTP service and the worker have them: receive, feed, count, cancel, try again.

Each process that has the queue feeds: it makes jobs of the next block when an item has ended, and
looks from time to time for batches that no process feeds, because the one that did has died.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable

from poster_service.detached import detached, end
from poster_service.errors import BatchEnded, JobEnded, QueueUnavailable, UnknownBatch, UnknownJob
from poster_service.jobs.batch_records import ROOM, Batch, job_id, number_of
from poster_service.jobs.batch_store import BatchStore
from poster_service.jobs.intake import Intake
from poster_service.jobs.records import ID_BYTES, Job
from poster_service.jobs.service import Jobs

logger = logging.getLogger(__name__)

#: How often batches are looked for that nothing feeds or cancels any more, in seconds.
REPAIR_SECONDS = 10.0
#: Failed items that are queued again at once.
MOST_RETRIED = 10_000


class Batches:
    """The batches of one process; one of the `Events` of jobs."""

    def __init__(
        self, jobs: Jobs, most: int, report: Callable[[Batch], Awaitable[None]] | None = None
    ) -> None:
        """Hold what it needs; connects to nothing.

        Args:
            jobs: Of the same process.
            most: Batches of one caller that have not ended.
            report: Is awaited with each batch whose end has to be reported, at least once.
        """
        self._jobs, self._most, self._report = jobs, most, report
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._repairing: asyncio.Task[None] | None = None
        self._is_stopping = False

    def start(self) -> None:
        """Look for batches that no process feeds or cancels, those of other processes included.

        From the start on, since a process that ends items may hear of no end.
        """
        self._ensure_repairing()

    async def receive(self, caller: str) -> Intake:
        """Begin to receive a batch.

        Raises:
            TooManyBatches: The caller has as many as it may have.
            QueueUnavailable: Redis does not answer.
        """
        store = await self._store()
        return await Intake.begin(store, secrets.token_hex(ID_BYTES), caller, self._most)

    async def accepted(self, batch: Batch) -> None:
        """Begin with a batch that was received."""
        self._ensure_repairing()
        self._start(batch.id, self._feed(batch.id))

    async def get(self, identity: str, caller: str) -> Batch:
        """A batch of a caller.

        Raises:
            UnknownBatch: This caller has no such batch, or has it no longer.
            QueueUnavailable: Redis does not answer.
        """
        batch = await (await self._store()).get(identity)
        if batch is None or batch.caller != caller:
            raise UnknownBatch("there is no batch of that id, or it has expired")
        return batch

    async def running(self, batch: Batch) -> int:
        """How many of its items a worker has.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        return 0 if batch.has_ended else await (await self._store()).running(batch.id)

    async def cancel(self, identity: str, caller: str) -> Batch:
        """Cancel a batch: items that run are stopped, all others never begin.

        Raises:
            UnknownBatch: This caller has no such batch.
            BatchEnded: All of its items have ended.
            QueueUnavailable: Redis does not answer.
        """
        await self.get(identity, caller)
        state, numbers = await (await self._store()).cancel(identity)
        if state == "done":
            raise BatchEnded("each item of the batch has ended")
        self._ensure_repairing()
        self._start(f"cancel {identity}", self._cancel_jobs(identity, caller, numbers))
        return await self.get(identity, caller)

    async def retry(self, identity: str, caller: str) -> tuple[Batch, int]:
        """Try the items again that have failed; the batch, and how many these are.

        Raises:
            UnknownBatch: This caller has no such batch.
            BatchEnded: It was cancelled.
            QueueUnavailable: Redis does not answer.
        """
        await self.get(identity, caller)
        state, numbers = await (await self._store()).retry(identity, MOST_RETRIED)
        if state == "cancelled":
            raise BatchEnded("the batch was cancelled")
        self._ensure_repairing()
        self._start(f"retry {identity}", self._add_tickets(identity, numbers))
        return await self.get(identity, caller), len(numbers)

    async def job_finished(self, job: Job) -> None:
        """Count an item that has ended; report the end of its batch; feed what is next.

        Raises:
            QueueUnavailable: Redis does not answer: call again.
        """
        if not job.batch:
            return
        store = await self._store()
        has_ended, is_left = await store.ended(job.batch, number_of(job.id), job.state, ROOM)
        if has_ended:
            await self._announce(job.batch)
        elif is_left:
            self._start(job.batch, self._feed(job.batch))

    async def store(self) -> BatchStore:
        """The records of batches, for those who list items.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        return await self._store()

    async def stop(self) -> None:
        """Feed no more; others go on with it."""
        self._is_stopping = True
        await end([*self._tasks.values(), *([self._repairing] if self._repairing else [])])

    async def _store(self) -> BatchStore:
        await self._jobs.open()
        assert self._jobs.batch_store is not None
        return self._jobs.batch_store

    async def _announce(self, identity: str) -> None:
        store = await self._store()
        batch = await store.get(identity)
        if batch is not None and batch.state == "done":
            if self._report is not None:
                await self._report(batch)
            await store.announced(identity)

    async def _feed(self, identity: str) -> None:
        """Make jobs of blocks until enough of them wait."""
        store = await self._store()
        while (batch := await store.get(identity)) is not None:
            is_enough = batch.open > ROOM
            if batch.state != "running" or batch.fed >= batch.blocks or is_enough:
                return
            block = await store.block(identity, batch.fed)
            items = [(number, {"item": own}) for number, _, own in block]
            if await store.feed(identity, batch.fed, items):
                await self._add_tickets(identity, [str(number) for number, _ in items])

    async def _add_tickets(self, identity: str, numbers: list[str]) -> None:
        await self._jobs.add_tickets([job_id(identity, int(number)) for number in numbers])

    async def _cancel_jobs(self, identity: str, caller: str, numbers: list[str]) -> None:
        for number in numbers:
            job = job_id(identity, int(number))
            try:
                await self._jobs.cancel(job, caller)
            except JobEnded:
                pass
            except UnknownJob:  # its record has expired, and nothing else will count it
                await (await self._store()).ended(identity, number, "cancelled", 0)

    def _start(self, name: str, work: Awaitable[None]) -> None:
        """Do something in the background, unless the same is being done."""
        if self._is_stopping or name in self._tasks:
            with contextlib.suppress(AttributeError):
                work.close()  # type: ignore[attr-defined]
            return

        async def run() -> None:
            try:
                await work
            except QueueUnavailable:
                pass  # tried again when items end, and by the repair
            except Exception:
                logger.exception("a batch cannot continue: %s", name)
            finally:
                self._tasks.pop(name, None)

        self._tasks[name] = detached(run())

    def _ensure_repairing(self) -> None:
        if self._repairing is None and not self._is_stopping:
            self._repairing = detached(self._keep_repairing())

    async def _keep_repairing(self) -> None:
        while True:
            await asyncio.sleep(REPAIR_SECONDS)
            try:
                await self._repair()
            except QueueUnavailable:
                pass  # the next time
            except Exception:  # any: later batches must still be looked for
                logger.exception("the search for batches that nothing feeds failed")

    async def _repair(self) -> None:
        """Go on with the batches that have not ended."""
        if not self._jobs.is_open:
            return
        store = await self._store()
        for identity in await store.unfinished():
            try:
                await self._go_on(store, identity)
            except QueueUnavailable:
                raise
            except Exception:  # any: one faulty record must not keep all others from their end
                logger.exception("a batch cannot continue: %s", identity)

    async def _go_on(self, store: BatchStore, identity: str) -> None:
        batch = await store.get(identity)
        if batch is None:
            return
        if batch.state == "cancelled":
            _, numbers = await store.cancel(identity)
            self._start(f"cancel {identity}", self._cancel_jobs(identity, batch.caller, numbers))
        else:
            self._start(identity, self._feed(identity))
