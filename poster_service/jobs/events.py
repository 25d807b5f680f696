"""What happens to jobs, for those who act on it: webhooks, and the counts of batches."""

import logging
from collections.abc import Sequence
from typing import Protocol

from poster_service.errors import QueueUnavailable
from poster_service.jobs.records import Job

logger = logging.getLogger(__name__)


class Events(Protocol):
    """One who acts on what happens to jobs."""

    async def job_finished(self, job: Job) -> None:
        """A job has ended: done, failed or cancelled.

        Called at least once for each job, in the process that ended it or in another: a process
        that dies between the end and this call leaves it to the next one that meets the job. So it
        must do nothing twice for the same `job.id`. It is awaited before the job leaves the queue:
        what takes long must be handed on. An error that it raises is logged, and it is not called
        again for that job in this process.

        Not called for a job without a webhook whose end changes nothing but the counts of its
        batch: these change with the end itself (`scripts.FINISH`).

        Raises:
            QueueUnavailable: It is called again, until Redis answers.
        """


class Subscribers:
    """Passes each event on to all who have subscribed.

    Attributes:
        subscribed: In the order in which they are called.
    """

    def __init__(self, subscribed: Sequence[Events] = ()) -> None:
        self.subscribed: list[Events] = list(subscribed)

    async def job_finished(self, job: Job) -> None:
        """Call each of them; the failure of one does not keep the others from it.

        Raises:
            QueueUnavailable: One of them could not do it: call again.
        """
        for one in self.subscribed:
            try:
                await one.job_finished(job)
            except QueueUnavailable:
                raise
            except Exception:  # of webhooks and batches, not of the job: that has ended
                logger.exception("an observer of jobs failed")
