"""Settings of jobs: renders that outlive the request for them."""

from pydantic import BaseModel

from poster_service.settings.fields import in_group
from poster_service.settings.types import RedisUrl

jobs = in_group("Jobs")


class Jobs(BaseModel):
    """Where jobs wait, how many run at once, how many there may be, and for how long."""

    jobs_redis: RedisUrl | None = jobs(
        None,
        description="Redis in which jobs wait, shared by the services that accept them and the"
        " workers that run them: redis://[user:password@]host[:port][/database], rediss:// or"
        " unix://path. Not the database of POSTER_REDIS_URL, and without an eviction policy."
        " Needs POSTER_STORAGE. Without it, jobs are in the memory of the service that"
        " accepts them, and are lost when it stops.",
    )
    jobs_concurrency: int | None = jobs(
        None,
        ge=0,
        le=256,
        description="Jobs that run at once in this process; by default POSTER_CONCURRENCY. With 0"
        " a service only accepts jobs, for the workers of POSTER_JOBS_REDIS.",
    )
    jobs_per_caller: int = jobs(
        1_000,
        ge=1,
        le=10_000_000,
        description="Jobs of one caller that wait or run at most; more get 429.",
    )
    jobs_seconds: int = jobs(
        86_400,
        ge=60,
        le=31_536_000,
        description="How long a job is kept after it was accepted, started or ended, the last of"
        " these, in seconds.",
    )
    jobs_redelivery_seconds: float = jobs(
        10.0,
        ge=1,
        le=3_600,
        description="Seconds without a heartbeat of a worker after which another one gets its"
        " jobs. The same for all processes of one POSTER_JOBS_REDIS.",
    )
    batches_per_caller: int = jobs(
        10,
        ge=1,
        le=100_000,
        description="Batches of one caller that have not ended at most; more get 429.",
    )
    batch_items: int = jobs(
        100_000,
        ge=1,
        le=10_000_000,
        description="Items of one batch at most.",
    )
    batch_bytes: int = jobs(
        64 << 20,
        ge=1 << 10,
        le=1 << 32,
        description="Bytes of one batch at most, as it is sent; one line of it, or a batch in JSON,"
        " may be as large as POSTER_MAX_BODY_BYTES.",
    )
