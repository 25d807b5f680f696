"""Jobs whose results cannot be stored: they wait for a storage that is away, within bounds."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poster_service.errors import StorageFailed
from poster_service.jobs import runner, storage_outage
from poster_service.jobs.storage_outage import StorageOutage
from tests.conftest import settled
from tests.jobs.s3_server import BUCKET, S3Server
from tests.jobs.waiting import until
from tests.web.service import Service, running_in_own_folder

RED = {"html": "<body style='background:#ff0000'>", "width": 20, "height": 10}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server of the test's own, which it may take away; failures are tried again at once."""
    monkeypatch.setattr(runner, "RETRY_SECONDS", (0.0,))
    monkeypatch.setattr(runner, "OUTAGE_SECONDS", 0.0)
    with S3Server() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server


@contextlib.asynccontextmanager
async def storing() -> AsyncIterator[Service]:
    """A service that renders jobs and stores their results in S3."""
    async with running_in_own_folder(
        storage=f"s3://{BUCKET}", storage_timeout_ms=500, jobs_concurrency=4
    ) as service:
        yield service


async def submitted(service: Service, width: int = 20) -> str:
    """The id of a job."""
    body = {**RED, "width": width}
    async with service.client.post(f"{service.address}/jobs", json=body) as response:
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
async def test_all_go_on_when_the_storage_is_back(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next try of one: none waits for a schedule of its own, or is rendered again."""
    monkeypatch.setattr(runner, "RETRY_SECONDS", (3_600.0,))
    monkeypatch.setattr(runner, "OUTAGE_SECONDS", 3_600.0)
    async with storing() as service:
        await asyncio.to_thread(s3.stop)
        jobs = [await submitted(service, 20 + place) for place in range(4)]

        async def all_wait() -> bool:
            return all([(await job_of(service, one))["progress"] == "waiting" for one in jobs])

        await until(all_wait)
        await asyncio.to_thread(s3.start)
        for identity in jobs:
            job = await ended(service, identity)
            assert (job["state"], job["attempts"]) == ("done", 1), job
        assert service.server.jobs.statistics().given_back == 0


class Store:
    """A storage that is away for as long as it is said to be; it counts those who try at a time.

    Attributes:
        fails: What it answers; None for nothing wrong.
        most: How many have tried at once while it failed.
        tries: That failed.
    """

    def __init__(self) -> None:
        self.fails: StorageFailed | None = StorageFailed("away")
        self.now = self.most = self.tries = 0

    async def put(self) -> str:
        """Store something."""
        self.now += 1
        try:
            await asyncio.sleep(0)
            if self.fails is not None:
                self.most = max(self.most, self.now)
                self.tries += 1
                raise self.fails
        finally:
            self.now -= 1
        return "stored"


async def test_one_at_a_time_tries_a_storage_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """And in turn, so that an object which nothing takes keeps no other from it."""
    monkeypatch.setattr(storage_outage, "TRY_SECONDS", 0.0)
    store, outage, waited = Store(), StorageOutage(), Counter[int]()
    with pytest.raises(StorageFailed):  # the one that finds out
        await outage.store(store.put, 0.0, lambda: None)
    store.most = 0

    async def one(place: int) -> str:
        return await outage.store(store.put, 3_600.0, lambda: waited.update([place]))

    tasks = [asyncio.create_task(one(place)) for place in range(10)]
    assert await settled(lambda: store.tries > 50)
    assert store.most == 1
    assert len(waited) == 10
    assert max(waited.values()) - min(waited.values()) <= 1
    store.fails = None
    assert await asyncio.gather(*tasks) == ["stored"] * 10
    assert not outage.is_away


async def test_a_job_waits_for_a_storage_that_is_away_and_for_no_other() -> None:
    """One that refuses ends it at once; one whose turn does not come has failed in time."""
    store, outage = Store(), StorageOutage()
    store.fails = StorageFailed("refused")
    store.fails.may_pass = False
    with pytest.raises(StorageFailed, match="refused"):
        await outage.store(store.put, 3_600.0, lambda: None)
    assert (store.tries, outage.is_away) == (1, False)
    store.fails = StorageFailed("away")
    holds = asyncio.create_task(outage.store(store.put, 3_600.0, lambda: None))
    assert await settled(lambda: outage.is_away)
    with pytest.raises(StorageFailed, match="in time"):
        await outage.store(store.put, 0.0, lambda: None)
    holds.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holds


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
