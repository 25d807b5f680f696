"""A batch that is being received: its items go into compressed blocks as they come."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

from poster_service import telemetry
from poster_service.detached import detached
from poster_service.errors import (
    Fault,
    InvalidField,
    KeyReused,
    QueueUnavailable,
    TooManyBatches,
)
from poster_service.jobs.batch_records import BLOCK_BYTES, BLOCK_ITEMS, Batch
from poster_service.jobs.batch_store import BatchStore
from poster_service.jobs.items import ItemData
from poster_service.jobs.records import packed

#: How often a batch that is being received is renewed, in seconds: a few times of those for which
#: it is known (`batch_store.RECEIVE_SECONDS`).
RENEW_SECONDS = 15.0


class Intake:
    """Receives one batch; `commit` or `abort` ends it."""

    def __init__(self, store: BatchStore, batch: str, caller: str) -> None:
        """Begin; see `begin`."""
        self._store, self._batch, self._caller = store, batch, caller
        self._block: list[tuple[int, str, Mapping[str, Any]]] = []
        self._bytes = self._blocks = self._total = 0
        self._digest = hashlib.sha256()
        self._renewing = detached(self._keep_renewing())

    @classmethod
    async def begin(cls, store: BatchStore, batch: str, caller: str, most: int) -> Self:
        """Begin to receive a batch.

        Raises:
            TooManyBatches: Its caller has `most` that have not ended.
            QueueUnavailable: Redis does not answer.
        """
        if not await store.begin(batch, caller, most):
            message = f"this caller has {most} batches that have not ended; allowed: {most}"
            raise TooManyBatches(message)
        return cls(store, batch, caller)

    async def add(self, items: Iterable[ItemData]) -> None:
        """Take items, in their order.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        for item in items:
            text = json.dumps([item.number, item.id, item.own], sort_keys=True, ensure_ascii=False)
            self._digest.update(text.encode() + b"\n")
            self._block.append((item.number, item.id, item.own))
            self._bytes += len(text)
            self._total += 1
            if len(self._block) >= BLOCK_ITEMS or self._bytes >= BLOCK_BYTES:
                await self._put()

    async def commit(
        self, common: Mapping[str, Any], webhook: Mapping[str, Any] | None, key: str
    ) -> tuple[Batch, bool]:
        """Accept the batch.

        Args:
            common: What its items share.
            webhook: Where to report its end.
            key: Its Idempotency-Key; "" for none.

        Returns:
            It and True; or the batch that this caller created with that key before, and False.

        Raises:
            InvalidField: It has no items.
            KeyReused: The key came with another batch before.
            QueueUnavailable: Redis does not answer, or was away for so long that what came is lost.
        """
        if not self._total:
            raise InvalidField.of(Fault("items", "is empty", "at least one item"))
        if self._block:
            await self._put()
        whole = json.dumps([common, webhook], sort_keys=True, ensure_ascii=False)
        self._digest.update(whole.encode())
        fields: dict[str, str | bytes] = {
            "total": str(self._total),
            "blocks": str(self._blocks),
            "trace": telemetry.traceparent(),
        }
        await self._store.set_common(self._batch, common)
        if webhook is not None:
            fields["webhook"] = packed(webhook)
        digest = self._digest.hexdigest()
        what, identity = await self._store.commit(self._batch, fields, key, digest)
        if what == "gone":
            raise QueueUnavailable("the batch was lost while it was received; send it again")
        if what != "new":
            await self.abort()
        if what == "other":
            raise KeyReused("this Idempotency-Key has been used with another batch")
        batch = await self._store.get(identity)
        self._renewing.cancel()
        if batch is None:
            raise QueueUnavailable("the batch is gone from the Redis of the jobs")
        return batch, what == "new"

    async def abort(self) -> None:
        """Forget what has come.

        Raises:
            QueueUnavailable: Redis does not answer; it expires then.
        """
        self._renewing.cancel()
        await self._store.abort(self._batch, self._caller)

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(QueueUnavailable):
                await self._store.renew(self._batch, self._caller)

    async def _put(self) -> None:
        await self._store.add_block(self._batch, self._blocks, self._block)
        self._blocks += 1
        self._block, self._bytes = [], 0
