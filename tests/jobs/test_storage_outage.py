"""Jobs whose results cannot be stored: they wait for a storage that is away, within bounds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poster_service.jobs import runner
from tests.jobs.s3_server import BUCKET, S3Server
from tests.jobs.waiting import until
from tests.web.service import Service, running_in_own_folder

RED = {"html": "<body style='background:#ff0000'>", "width": 20, "height": 10}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server of the test's own, which it may take away; failures are tried again at once."""
    monkeypatch.setattr(runner, "RETRY_SECONDS", (0.0,))
    with S3Server() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server


@contextlib.asynccontextmanager
async def storing() -> AsyncIterator[Service]:
    """A service that renders jobs and stores their results in S3."""
    async with running_in_own_folder(storage=f"s3://{BUCKET}", storage_timeout_ms=500) as service:
        yield service


async def submitted(service: Service) -> str:
    """The id of a job."""
    async with service.client.post(f"{service.address}/jobs", json=RED) as response:
        assert response.status == 202
        return str((await response.json())["id"])


async def job_of(service: Service, identity: str) -> Any:
    """A job as it is now."""
    return await (await service.get(f"/jobs/{identity}")).json()


async def ended(service: Service, identity: str) -> Any:
    """A job when it has ended."""

    async def has_ended() -> bool:
        return (await job_of(service, identity))["finished"] is not None

    await until(has_ended)
    return await job_of(service, identity)


@pytest.mark.slow
async def test_a_job_waits_for_its_storage(s3: S3Server) -> None:
    """It goes back to the queue until the storage is there; that is no attempt."""
    async with storing() as service:
        await asyncio.to_thread(s3.stop)
        identity = await submitted(service)

        async def was_given_back() -> bool:
            return service.server.jobs.statistics().given_back >= 2

        await until(was_given_back)
        assert (await job_of(service, identity))["finished"] is None
        await asyncio.to_thread(s3.start)
        job = await ended(service, identity)
        assert (job["state"], job["attempts"]) == ("done", 1), job


@pytest.mark.slow
async def test_a_job_does_not_wait_for_ever(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time for that it has failed."""
    async with storing() as service:
        await asyncio.to_thread(s3.stop)
        identity = await submitted(service)

        async def was_given_back() -> bool:
            return service.server.jobs.statistics().given_back >= 1

        await until(was_given_back)
        monkeypatch.setattr(runner, "STORAGE_SECONDS", 0.0)
        job = await ended(service, identity)
        assert (job["state"], job["problem"]["code"]) == ("failed", "storage_failed")


@pytest.mark.slow
async def test_a_job_does_not_wait_for_a_storage_that_refuses(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong credentials will be wrong later too."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    async with storing() as service:
        job = await ended(service, await submitted(service))
        assert (job["state"], job["problem"]["code"]) == ("failed", "storage_failed")
        assert service.server.jobs.statistics().given_back == 0
