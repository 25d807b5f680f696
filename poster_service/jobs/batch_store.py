"""The records of batches, in Redis or in docket's embedded backend, beside those of their jobs."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from poster_service.jobs import batch_scripts as scripts
from poster_service.jobs.batch_records import Batch, job_id
from poster_service.jobs.record_store import PREFIX, Scripts, failures
from poster_service.jobs.records import Job, packed, unpacked

#: How long a batch that is being received is known without a sign of life of its receiver, in
#: seconds: for so long it counts among those of its caller after that has died.
RECEIVE_SECONDS = 60
#: The field of the common part, among blocks.
COMMON = "common"


class BatchStore:
    """Records of batches."""

    def __init__(self, client: Any, seconds: int) -> None:
        """Connect to nothing.

        Args:
            client: `redis.asyncio.Redis`, or docket's embedded one.
            seconds: How long a record exists after it was last changed.
        """
        self._client = client
        self._seconds = seconds
        self._longer = max(seconds, RECEIVE_SECONDS)
        self._scripts = Scripts(client)

    async def begin(self, batch: str, caller: str, most: int) -> bool:
        """Begin to receive a batch; False if its caller has as many as it may have.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        arguments = (batch, caller, self._longer, most)
        return bool(await self._run(scripts.BEGIN, *arguments, seconds=RECEIVE_SECONDS))

    async def renew(self, batch: str, caller: str) -> None:
        """Say that a batch is still being received.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        await self._run(scripts.RENEW, batch, caller, self._longer, seconds=RECEIVE_SECONDS)

    async def add_block(self, batch: str, number: int, items: Sequence[Any]) -> None:
        """Store a block of a batch that is being received.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        key = f"{PREFIX}:batch:{batch}:blocks"
        async with failures():
            await self._client.hset(key, str(number), packed(items))
            await self._client.expire(key, RECEIVE_SECONDS)

    async def set_common(self, batch: str, common: Mapping[str, Any]) -> None:
        """Store what the items of a batch that is being received share.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        async with failures():
            await self._client.hset(f"{PREFIX}:batch:{batch}:blocks", COMMON, packed(common))

    async def common(self, batch: str) -> Mapping[str, Any] | None:
        """What the items of a batch share; None if it has expired.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        async with failures():
            raw = await self._client.hget(f"{PREFIX}:batch:{batch}:blocks", COMMON)
        found: Mapping[str, Any] | None = unpacked(raw) if raw else None
        return found

    async def abort(self, batch: str, caller: str) -> None:
        """Forget a batch that was not received to its end.

        Raises:
            QueueUnavailable: Redis did not do it in time; it expires then.
        """
        await self._run(scripts.ABORT, batch, caller)

    async def commit(
        self, batch: str, fields: Mapping[str, str | bytes], key: str, fingerprint: str
    ) -> tuple[str, str]:
        """Accept a batch that was received.

        Args:
            batch: Its id.
            fields: Of its record: total, blocks, webhook.
            key: Its Idempotency-Key; "" for none.
            fingerprint: The same for two batches that say the same.

        Returns:
            "new" and its id; "same" and the id of the batch that came with this key before, or
            "other" if that was a different one; "gone" if Redis was away for too long meanwhile.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        # Apart from the keys of jobs.
        name = sha256(f"batch {key}".encode()).hexdigest() if key else ""
        pairs = (part for pair in fields.items() for part in pair)
        what, found = await self._run(scripts.COMMIT, batch, name, fingerprint, *pairs)
        return what.decode(), found.decode()

    async def get(self, batch: str) -> Batch | None:
        """The batch of an id, if it was accepted and has not expired.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        async with failures():
            fields = await self._client.hgetall(f"{PREFIX}:batch:{batch}")
        found = Batch.of(fields) if b"state" in fields else None
        return None if found is None or found.state == "receiving" else found

    async def block(self, batch: str, number: int) -> list[Any]:
        """The items of a block; none if it has expired.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        async with failures():
            raw = await self._client.hget(f"{PREFIX}:batch:{batch}:blocks", str(number))
        return unpacked(raw) if raw else []

    async def feed(self, batch: str, number: int, items: Sequence[tuple[int, Any]]) -> bool:
        """Make jobs of a block; False if it was not its turn.

        Args:
            batch: The batch's id.
            number: The block's.
            items: The number of each, and the document of its job.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        pairs = (part for place, item in items for part in (place, packed(item)))
        return bool(await self._run(scripts.FEED, batch, number, *pairs))

    async def ended(self, batch: str, number: str, state: str, room: int) -> tuple[bool, bool]:
        """Count the end of an item, once.

        Args:
            batch: The batch's id.
            number: The item's.
            state: How it ended.
            room: Open items below which there is room for more.

        Returns:
            Whether the end of the batch has to be announced, and whether there is room for items
            that are not jobs yet.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        has_ended, is_left = await self._run(scripts.ENDED, batch, number, state, room)
        return bool(has_ended), bool(is_left)

    async def announced(self, batch: str) -> None:
        """Note that all who had to hear of a batch's end have heard.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        await self._run(scripts.BATCH_ANNOUNCED, batch)

    async def cancel(self, batch: str) -> tuple[str, list[str]]:
        """Cancel a batch that runs; the state that it had, and the numbers of its open items.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        state, numbers = await self._run(scripts.CANCEL_BATCH, batch)
        return state.decode(), [one.decode() for one in numbers]

    async def retry(self, batch: str, most: int) -> tuple[str, list[str]]:
        """Queue failed items again; the state that the batch had, and their numbers.

        Raises:
            QueueUnavailable: Redis did not do it in time.
        """
        state, numbers = await self._run(scripts.RETRY, batch, most)
        return state.decode(), [one.decode() for one in numbers]

    async def unfinished(self) -> list[str]:
        """The ids of all batches that have not ended.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        async with failures():
            await self._client.zremrangebyscore(f"{PREFIX}:batches", "-inf", time.time())
            return [one.decode() for one in await self._client.zrange(f"{PREFIX}:batches", 0, -1)]

    async def running(self, batch: str) -> int:
        """How many of a batch's items a worker has.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        async with failures():
            found = await self._client.zrange(f"{PREFIX}:running", 0, -1)
        return sum(one.startswith(f"{batch}-".encode()) for one in found)

    async def jobs(self, batch: str, numbers: Sequence[int]) -> AsyncIterator[Job | None]:
        """The jobs of items, in that order; None for one that has expired or is none yet.

        Raises:
            QueueUnavailable: Redis did not answer in time.
        """
        async with failures():
            pipeline = self._client.pipeline()
            for number in numbers:
                pipeline.hgetall(f"{PREFIX}:job:{job_id(batch, number)}")
            found = await pipeline.execute()
        for fields in found:
            yield Job.of(fields) if b"state" in fields else None

    async def _run(
        self, script: str, batch: str, *arguments: Any, seconds: int | None = None
    ) -> Any:
        return await self._scripts.run(script, batch, seconds or self._seconds, *arguments)
