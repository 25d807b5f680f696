"""Settings of the object storage in which results are stored."""

from pydantic import BaseModel

from poster_service.settings.fields import in_group
from poster_service.settings.types import PublicUrl, StorageUrl

storing = in_group("Storage of results")


class Storing(BaseModel):
    """Where results of requests with `store` are stored, and under which address."""

    storage: StorageUrl | None = storing(
        None,
        description="Object storage of results: s3://bucket/prefix, gs://bucket/prefix,"
        " az://container/prefix, file:///folder or memory://; without it requests with"
        " `store` are refused. Credentials, region and endpoint come from the usual variables"
        " (AWS_*, GOOGLE_*, AZURE_*), files, or the platform.",
    )
    storage_public_url: PublicUrl | None = storing(
        None,
        description="Address below which the stored objects are served, e.g."
        " https://cdn.example.com/posters. Without it, addresses of s3, gs and az are presigned,"
        " and those of file and memory are of this service, GET /results/NAME.",
    )
    storage_url_seconds: int = storing(
        86_400,
        ge=1,
        le=604_800,
        description="How long a presigned address is valid, in seconds, by default.",
    )
    storage_timeout_ms: int = storing(
        30_000,
        ge=100,
        le=600_000,
        description="Time to store one result or to send it to its destination, in ms, retries"
        " included; then the request gets 502.",
    )
    storage_memory_bytes: int = storing(
        256 << 20,
        ge=1 << 20,
        le=1 << 40,
        description="Bytes of results in memory:// at most; the least recently used go first.",
    )
    storage_seconds: int = storing(
        604_800,
        ge=60,
        le=315_360_000,
        description="How long results stay in memory:// and file://, in seconds. Buckets have rules"
        " of their own for that, such as a lifecycle.",
    )
