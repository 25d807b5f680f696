"""The request of a job that is part of a batch."""

from cachetools import LRUCache

from poster_service.errors import UnknownBatch
from poster_service.jobs.batch_store import BatchStore
from poster_service.jobs.items import Common
from poster_service.jobs.records import Job
from poster_service.render.request import Limits, RenderRequest

#: Batches whose common part is kept, parsed.
KEPT = 8


class BatchRequests:
    """Makes the request of an item's job: of its own part, and of what its batch shares."""

    def __init__(self, store: BatchStore, limits: Limits) -> None:
        """Read nothing yet.

        Args:
            store: Of the batches.
            limits: Of the settings.
        """
        self._store, self._limits = store, limits
        self._commons: LRUCache[str, Common] = LRUCache(KEPT)

    async def of(self, job: Job) -> RenderRequest:
        """The request of a job that is part of a batch.

        Raises:
            CallerError: The settings have changed, and it is no longer allowed.
            UnknownBatch: It has expired.
            QueueUnavailable: Redis did not answer in time.
        """
        common = self._commons.get(job.batch)
        if common is None:
            given = await self._store.common(job.batch)
            if given is None:
                raise UnknownBatch("the batch of this job has expired")
            common = self._commons[job.batch] = Common(given, self._limits)
        return common.request(job.request["item"])
