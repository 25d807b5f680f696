"""Jobs while workers, their Redis and the storage are killed, stopped and started again."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.fleet import Fleet, clean_folder, fleet, kill, service_of
from tests.jobs.redis import DURABLE, redis_running
from tests.jobs.s3_server import BUCKET, S3Server
from tests.jobs.waiting import until
from tests.web.served import Served

WORKERS = 3
#: How a job may fail when it is interrupted over and over; everything else is a fault.
EXCUSED = {"job_lost", "storage_failed"}


@dataclass
class Chaos:
    """Interrupts what jobs need, one thing at a time, in a random order.

    Attributes:
        fleet: Accepts the jobs.
        s3: Where results lie.
        done: What was done, for the report of a failure.
    """

    fleet: Fleet
    s3: S3Server
    dice: random.Random
    done: list[str] = field(default_factory=list)
    _workers: list[tuple[contextlib.AsyncExitStack, Served]] = field(default_factory=list)

    async def start_worker(self, folder: Path) -> None:
        """One more, in a work folder that no other has."""
        stack = contextlib.AsyncExitStack()
        worker = await stack.enter_async_context(self.fleet.worker_in(folder))
        self._workers.append((stack, worker))

    async def end(self) -> None:
        """End all workers."""
        for stack, _ in self._workers:
            await stack.aclose()
        self._workers.clear()

    async def kill_worker(self) -> None:
        """Without a warning; another one begins in its folder."""
        place = self.dice.randrange(len(self._workers))
        kill(self._workers[place][1])
        await self._workers[place][1].process.wait()
        await self._replace(place)

    async def stop_worker(self) -> None:
        """By TERM; another one begins in its folder."""
        await self._replace(self.dice.randrange(len(self._workers)))

    async def _replace(self, place: int) -> None:
        stack, worker = self._workers.pop(place)
        await stack.aclose()
        await self.start_worker(worker.work_dir)

    async def suspend_worker(self) -> None:
        """For longer than its jobs wait for a sign of life."""
        process = service_of(self.dice.choice(self._workers)[1])
        process.suspend()
        await asyncio.sleep(4)
        process.resume()

    async def restart_redis(self) -> None:
        """Killed, and started with its files."""
        self.fleet.redis.stop()
        await asyncio.sleep(self.dice.uniform(0, 2))
        self.fleet.redis.start()

    async def suspend_storage(self) -> None:
        """It does not answer for a while."""
        self.s3.send(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(1, 3))
        self.s3.send(signal.SIGCONT)

    @property
    def kinds(self) -> list[Callable[[], Awaitable[None]]]:
        """What it can do."""
        return [
            self.kill_worker,
            self.restart_redis,
            self.stop_worker,
            self.suspend_storage,
            self.suspend_worker,
        ]

    async def go_on(self, all_ended: asyncio.Event) -> None:
        """Do each of them once, in a random order, again and again, until the jobs have ended."""
        while not all_ended.is_set():
            for kind in self.dice.sample(self.kinds, len(self.kinds)):
                self.done.append(kind.__name__)
                await kind()
                await asyncio.sleep(self.dice.uniform(0.5, 2))


class Observer:
    """Looks at all jobs again and again: one that has ended must never change."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.ended: dict[str, Any] = {}

    async def look(self, identity: str) -> bool:
        """Look at a job; whether it has ended."""
        fleet = self._chaos.fleet
        response = await fleet.service.get(f"/jobs/{identity}")
        if response.status == 503:  # its Redis is away
            return False
        job = await response.json()
        assert response.status == 200, (identity, job, self._chaos.done)
        known = {name: job[name] for name in ("state", "finished", "attempts", "problem")}
        known["object"] = (job["result"] or {}).get("object")
        if job["state"] in ("done", "failed", "cancelled"):
            assert self.ended.setdefault(identity, known) == known, self._chaos.done
        else:
            assert identity not in self.ended, (job, self._chaos.done)
        return identity in self.ended


async def accepted(fleet: Fleet, place: int) -> str:
    """The id of a job, sent again with its key for as long as its Redis is away."""
    body = {"html": f"<p>{place}", "width": 40, "height": 20, "isolation": "context"}
    headers = {"Idempotency-Key": f"job-{place}"}
    while True:
        async with fleet.service.client.post(
            f"{fleet.service.address}/jobs", json=body, headers=headers
        ) as response:
            if response.status == 202:
                return str((await response.json())["id"])
            assert response.status == 503, await response.text()
        await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def chaotic(s3: S3Server, seed: int) -> AsyncIterator[Chaos]:
    """A fleet with three workers, a Redis of its own and results in S3."""
    with redis_running(*DURABLE) as redis, contextlib.ExitStack() as folders:
        more = {"isolation": "context", "storage_timeout_ms": 10_000, "jobs_per_caller": 10_000}
        async with fleet(redis, f"s3://{BUCKET}/chaos-{seed}", **more) as found:
            found.variables = {**found.variables, **s3.variables}
            chaos = Chaos(found, s3, random.Random(seed))
            try:
                for _ in range(WORKERS):
                    await chaos.start_worker(folders.enter_context(clean_folder()))
                yield chaos
            finally:
                s3.send(signal.SIGCONT)
                await chaos.end()


@pytest.mark.timeout(3_600)
@pytest.mark.endurance
@pytest.mark.parametrize("count", [40, 200, 2_000])
async def test_every_job_ends_once(credentials: S3Server, count: int) -> None:
    """After any kill or outage; nothing is left of the workers, and every key expires."""
    async with chaotic(credentials, count) as chaos:
        observer, all_ended = Observer(chaos), asyncio.Event()
        trouble = asyncio.create_task(chaos.go_on(all_ended))
        jobs = [await accepted(chaos.fleet, place) for place in range(count)]
        assert len(set(jobs)) == count

        async def have_ended() -> bool:
            assert not trouble.done(), trouble.exception()
            found = [await observer.look(one) for one in jobs if one not in observer.ended]
            return all(found)

        await until(have_ended, 3_000)
        all_ended.set()
        await trouble
        for identity in jobs:
            await observer.look(identity)
        states = [observer.ended[one] for one in jobs]
        failed = [one["problem"]["code"] for one in states if one["state"] != "done"]
        assert set(failed) <= EXCUSED, (failed, chaos.done)
        assert len(failed) <= count // 20, (failed, chaos.done)
        for place, identity in enumerate(jobs):
            if observer.ended[identity]["state"] == "done" and place % 10 == 0:
                url = (await chaos.fleet.job(identity))["result"]["url"]
                async with chaos.fleet.service.client.get(url) as response:
                    assert response.status == 200
        with chaos.fleet.redis.client() as client:
            keys = client.keys("poster-job:*")
            assert all(client.ttl(key) > 0 for key in keys)
            assert client.zcard("poster-job:queued") == 0
            assert client.zcard("poster-job:running") == 0
