"""A service that accepts jobs, a Redis, and workers in processes of their own."""

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import short_folder
from tests.jobs.waiting import until
from tests.processes import signal_all
from tests.web.redis_server import Server
from tests.web.served import Served, left_of, started
from tests.web.service import Service, running_in_own_folder

#: After how long without a sign of life another worker takes a ticket, in seconds.
REDELIVERY = "2"


@dataclass
class Fleet:
    """What accepts jobs and what runs them.

    Attributes:
        service: Accepts jobs and runs none.
        redis: Where they wait.
        variables: The environment of its workers.
    """

    service: Service
    redis: Server
    variables: Mapping[str, str]
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Served]:
        """A worker, in a work folder in which nothing may be left of it."""
        with clean_folder() as folder:
            async with self.worker_in(folder) as worker:
                yield worker

    @contextlib.asynccontextmanager
    async def worker_in(self, folder: Path) -> AsyncIterator[Served]:
        """A worker in a work folder; one that is killed leaves files there for the next one."""
        async with started(folder, command="work", **self.variables) as worker:
            yield worker

    async def submit(self, body: Mapping[str, Any]) -> str:
        """The id of a job that must be accepted."""
        async with self.service.client.post(f"{self.service.address}/jobs", json=body) as response:
            found = await response.json()
            assert response.status == 202, found
            return str(found["id"])

    async def job(self, identity: str) -> Any:
        """A job as it is now."""
        response = await self.service.get(f"/jobs/{identity}")
        assert response.status == 200, await response.text()
        return await response.json()

    async def until(self, identity: str, *states: str) -> Any:
        """A job when it is in one of these states."""

        async def is_there() -> bool:
            return (await self.job(identity))["state"] in states

        await until(is_there)
        return await self.job(identity)


@contextlib.asynccontextmanager
async def fleet(redis: Server, storage: str, **more: Any) -> AsyncIterator[Fleet]:
    """A service that accepts jobs for workers, which have the same settings."""
    settings = {"storage": storage, "allow_private": "127.0.0.0/8", "concurrency": 2, **more}
    variables = {f"POSTER_{name.upper()}": str(value) for name, value in settings.items()}
    variables |= {
        "POSTER_JOBS_REDIS": redis.address,
        "POSTER_JOBS_REDELIVERY_SECONDS": REDELIVERY,
        "POSTER_READY_CHROMES": "1",
        "POSTER_MAX_READY_CHROMES": "1",
    }
    accepting = {"jobs_redis": redis.address, "jobs_concurrency": 0, **settings}
    async with running_in_own_folder(**accepting) as service:
        yield Fleet(service, redis, variables)


@contextlib.contextmanager
def clean_folder() -> Iterator[Path]:
    """A work folder in which nothing may be left in the end."""
    with short_folder() as folder:
        yield folder
        assert left_of(folder) == []


def service_of(worker: Served) -> psutil.Process:
    """The process that runs the jobs, below init."""
    [found] = [
        one
        for one in psutil.Process(worker.process.pid).children()
        if "poster_service" in " ".join(one.cmdline())
    ]
    return found


def kill_tree(worker: Served) -> None:
    """End init and everything below it at once, as where memory is full: nothing cleans up."""
    signal_all(worker.tree(), signal.SIGSTOP)
    signal_all(worker.tree(), signal.SIGKILL)


def kill(worker: Served) -> None:
    """End the process that runs the jobs without a warning; init ends what is left of it.

    The next worker of its folder removes its files.
    """
    service_of(worker).send_signal(signal.SIGKILL)
