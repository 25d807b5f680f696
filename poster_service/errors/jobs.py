"""Errors of jobs, batches and stored results."""

from poster_service.errors.base import CallerError, PosterError


class JobRefused(CallerError):
    """A job or batch cannot be accepted."""

    code = "job_refused"


class KeyReused(JobRefused):
    """An Idempotency-Key that this caller has used for another request."""

    code = "idempotency_key_reused"


class TooManyJobs(JobRefused):
    """The caller has as many unfinished jobs as POSTER_JOBS_PER_CALLER allows."""

    code = "too_many_jobs"
    retry_after = 10


class TooManyBatches(JobRefused):
    """The caller has as many unfinished batches as POSTER_BATCHES_PER_CALLER allows."""

    code = "too_many_batches"
    retry_after = 10


class RecordRefused(CallerError):
    """What an id in the address names cannot be shown or changed."""


class UnknownResult(RecordRefused):
    """There is no stored result of that name."""

    code = "unknown_result"


class UnknownJob(RecordRefused):
    """No job of this caller has that id, or none any more."""

    code = "unknown_job"


class UnknownBatch(RecordRefused):
    """No batch of this caller has that id, or none any more."""

    code = "unknown_batch"


class UnknownDeadLetter(RecordRefused):
    """No webhook of this caller that could not be delivered has that id."""

    code = "unknown_dead_letter"


class JobEnded(RecordRefused):
    """A job that is done or has failed cannot be cancelled."""

    code = "job_ended"


class BatchEnded(RecordRefused):
    """A batch that is done cannot be cancelled, and one that was cancelled not be tried again."""

    code = "batch_ended"


class JobFailed(PosterError):
    """The queue of jobs is at fault, or the workers are."""

    code = "job_failed"


class QueueUnavailable(JobFailed):
    """The Redis of the jobs does not answer."""

    code = "queue_unavailable"
    retry_after = 5


class JobLost(JobFailed):
    """Workers died again and again while they rendered this job, or none came to its end."""

    code = "job_lost"


class JobsMissing(JobFailed):
    """This service is installed without the package that jobs need."""

    code = "jobs_missing"
