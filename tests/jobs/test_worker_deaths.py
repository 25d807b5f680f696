"""Workers that are killed as a whole, with all who would clean up: their jobs go on."""

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.conftest import settled
from tests.jobs.fleet import Fleet, clean_folder, fleet, kill_tree, service_of
from tests.jobs.gate import gated
from tests.processes import signal_all
from tests.web.redis_server import Server
from tests.web.served import Served, left_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
async def service(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """A service that accepts jobs, with results in a folder."""
    results = tmp_path_factory.mktemp("results")
    async with fleet(redis, f"file://{results}", fetch_timeout_ms=60_000) as found:
        yield found


def init_alone(worker: Served) -> None:
    """What else would end the rest and remove its files."""
    worker.process.kill()


def init_and_service(worker: Served) -> None:
    """Both who would clean up; the shims and their Chromes are left."""
    signal_all([*worker.tree()[:1], service_of(worker)], signal.SIGKILL)


async def nothing_lives(folder: Path) -> bool:
    """Wait until no process is left of a worker that had this work folder; its files may be."""
    return await settled(
        lambda: not [one for one in left_of(folder) if one.startswith(("alive", "zombie"))]
    )


@pytest.mark.parametrize("end", [kill_tree, init_alone, init_and_service])
async def test_a_worker_that_is_killed_as_a_whole_loses_its_job_to_another(
    service: Fleet, end: Callable[[Served], None]
) -> None:
    """No process outlives it; the next worker of its folder removes its files."""
    with clean_folder() as folder:
        async with gated() as (gate, job), service.worker_in(folder) as one:
            identity = await service.submit(job)
            await gate.until_asked(1)
            assert len(one.tree()) > 4  # init, service, shims, Chromes
            end(one)
            await one.process.wait()
            assert await nothing_lives(folder), left_of(folder)
            async with service.worker_in(folder):
                await gate.until_asked(2)
                gate.open.set()
                ended = await service.until(identity, "done", "failed")
        assert (ended["state"], ended["attempts"]) == ("done", 2), ended
