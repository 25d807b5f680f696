"""`poster-service work`: takes jobs of a Redis, gives them back when it stops, may be killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.jobs.fleet import Fleet, clean_folder, fleet, kill, service_of
from tests.jobs.gate import gated
from tests.jobs.redis import DURABLE, redis_running
from tests.jobs.waiting import until
from tests.web.redis_server import Server
from tests.web.served import run

RED = {"html": "<body style='background:#ff0000'>", "width": 20, "height": 10}


@pytest.fixture(scope="module")
async def service(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """A service that accepts jobs, with results in a folder."""
    results = tmp_path_factory.mktemp("results")
    async with fleet(redis, f"file://{results}", fetch_timeout_ms=60_000) as found:
        yield found


@pytest.mark.slow
async def test_two_workers_share_the_jobs(service: Fleet) -> None:
    """Each ends once; both end with status 0, and nothing is left of them."""
    async with service.worker() as one, service.worker() as other:
        jobs = [
            await service.submit({**RED, "html": f"<p>{place}", "width": 20 + place})
            for place in range(12)
        ]
        for place, identity in enumerate(jobs):
            job = await service.until(identity, "done")
            assert (job["attempts"], job["result"]["width"]) == (1, 20 + place)
            found = await service.service.client.get(job["result"]["url"])
            assert len(await found.read()) == job["result"]["bytes"]
        async with one.client.get(f"{one.address}/metrics") as response:
            assert "poster_jobs_connected 1.0" in await response.text()
        async with one.client.post(f"{one.address}/render", json=RED) as response:
            assert response.status == 404
        async with one.client.get(f"{one.address}/readyz") as response:
            assert response.status == 200
    assert (one.process.returncode, other.process.returncode) == (0, 0)


@pytest.mark.slow
async def test_a_worker_that_stops_lets_jobs_end_or_gives_them_back(service: Fleet) -> None:
    """A quick one ends; one that takes too long is begun by another at once, and is not lost."""
    async with gated() as (gate, job), service.worker() as one:
        identity = await service.submit(job)
        await gate.until_asked(1)
        one.process.terminate()
        assert await asyncio.wait_for(one.process.wait(), 90) == 0
        state = await service.job(identity)
        assert (state["state"], state["attempts"]) == ("queued", 0)
        async with service.worker():
            await gate.until_asked(2)
            gate.open.set()
            assert (await service.until(identity, "done", "failed"))["state"] == "done"
            assert (await service.job(identity))["attempts"] == 1


@pytest.mark.slow
async def test_a_worker_that_is_killed_loses_its_jobs_to_another(service: Fleet) -> None:
    """It counts as an attempt. No process is left, and no file after the next of its folder."""
    with clean_folder() as folder:
        await _kill_one(service, folder)


async def _kill_one(service: Fleet, folder: Path) -> None:
    async with gated() as (gate, job), service.worker_in(folder) as one:
        identity = await service.submit(job)
        await gate.until_asked(1)
        kill(one)
        await one.process.wait()
        async with service.worker_in(folder) as other:
            await gate.until_asked(2)
            gate.open.set()
            ended = await service.until(identity, "done", "failed")
            assert (ended["state"], ended["attempts"]) == ("done", 2), ended
            async with other.client.get(f"{other.address}/metrics") as response:
                assert "poster_jobs_redelivered_total 1.0" in await response.text()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_redis_that_forgets_jobs_is_refused(tmp_path: Path, policy: str) -> None:
    """By the worker, with status 1 and a sentence that says what must be set."""
    with redis_running("--maxmemory-policy", policy) as redis:
        status, _, err = await run(
            tmp_path, "work", "--port", "0",
            POSTER_JOBS_REDIS=redis.address, POSTER_STORAGE=f"file://{tmp_path}/results",
        )  # fmt: skip
    assert status == 1
    assert f"maxmemory-policy is {policy}" in err
    assert "noeviction" in err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "POSTER_JOBS_REDIS, which is not set"),
        ({"POSTER_JOBS_CONCURRENCY": "0"}, "must be at least 1"),
        ({"POSTER_JOBS_REDIS": "redis://127.0.0.1"}, "POSTER_STORAGE must be a bucket or a folder"),
    ],
)
async def test_wrong_settings_are_reported(
    tmp_path: Path, given: dict[str, str], words: str
) -> None:
    """In a line, before anything starts."""
    status, _, err = await run(tmp_path, "work", **given)
    assert status == 1
    assert words in err


@pytest.mark.slow
async def test_a_worker_that_was_thought_dead_changes_nothing(service: Fleet) -> None:
    """It was stopped, not killed: what it had is done by then, and it goes on with other jobs."""
    async with gated() as (gate, job), service.worker() as one:
        identity = await service.submit(job)
        await gate.until_asked(1)
        service_of(one).suspend()
        async with service.worker():
            await gate.until_asked(2)
            gate.open.set()
            first = await service.until(identity, "done", "failed")
            assert first["state"] == "done"
        service_of(one).resume()
        assert (await service.until(await service.submit(RED), "done"))["state"] == "done"
        again = await service.job(identity)
        assert (again["finished"], again["attempts"]) == (first["finished"], first["attempts"])


@pytest.mark.slow
async def test_jobs_outlive_their_redis(service: Fleet) -> None:
    """Killed and started again with its files, while one job runs and one waits."""
    async with gated() as (gate, job), service.worker():
        running = await service.submit(job)
        await gate.until_asked(1)
        service.redis.stop()
        async with service.service.client.post(
            f"{service.service.address}/jobs", json=RED
        ) as response:
            assert (response.status, (await response.json())["code"]) == (503, "queue_unavailable")
            assert response.headers["Retry-After"]
        gate.open.set()
        service.redis.start()
        assert (await service.until(running, "done", "failed"))["state"] == "done"
        assert (await service.until(await service.submit(RED), "done"))["state"] == "done"


@pytest.mark.slow
async def test_a_worker_whose_redis_hangs_ends(service: Fleet) -> None:
    """By itself and with status 0: it waits for Redis for a while, and is not killed by init."""
    async with service.worker() as worker:
        await service.until(await service.submit(RED), "done")
        service.redis.send(signal.SIGSTOP)
        try:
            worker.process.terminate()
            assert await worker.process.wait() == 0
        finally:
            service.redis.send(signal.SIGCONT)


@pytest.mark.slow
async def test_the_database_of_the_cache_is_refused(tmp_path: Path) -> None:
    """Also by another address of it."""
    with redis_running(*DURABLE) as redis:
        status, _, err = await run(
            tmp_path, "serve", "--port", "0", POSTER_JOBS_REDIS=redis.address,
            POSTER_STORAGE=f"file://{tmp_path}/results", POSTER_REDIS_URL=f"{redis.address}?db=0",
        )  # fmt: skip
    assert status == 1
    assert "must not be the database of POSTER_REDIS_URL" in err


@pytest.mark.slow
async def test_a_job_is_cancelled_that_runs_in_another_process(service: Fleet) -> None:
    """Its page is gone at once: the fetch that it waited for is cut off, and the slot is free."""
    async with gated() as (gate, job), service.worker() as worker:
        identity = await service.submit(job)
        await gate.until_asked(1)
        assert (await service.job(identity))["state"] == "running"
        async with service.service.client.delete(
            f"{service.service.address}/jobs/{identity}"
        ) as response:
            assert (response.status, (await response.json())["state"]) == (200, "cancelled")

        async def is_free() -> bool:
            async with worker.client.get(f"{worker.address}/status") as response:
                return bool((await response.json())["admission"]["running"] == 0)

        await until(is_free)
        assert (await service.until(await service.submit(RED), "done", "failed"))["state"] == "done"
        assert (await service.job(identity))["state"] == "cancelled"
