"""Workers that are killed as a whole, with all who would clean up: jobs and batches go on."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.conftest import settled
from tests.jobs.batch_watch import Watch
from tests.jobs.fleet import Fleet, clean_folder, fleet, kill_tree, service_of
from tests.jobs.gate import gated
from tests.jobs.receiver import WebhookReceiver, new_secret, receiving
from tests.processes import signal_all
from tests.web.redis_server import Server
from tests.web.served import Served, left_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SECRET = new_secret()
#: Of a batch: items that end before its worker is killed, and those that wait in it or behind.
QUICK, HELD = 4, 8


@pytest.fixture(scope="module")
async def service(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """A service that accepts jobs, with results in a folder."""
    results = tmp_path_factory.mktemp("results")
    async with fleet(
        redis, f"file://{results}", fetch_timeout_ms=60_000,
        webhook_secrets=f"all={SECRET}", webhook_retry_seconds="0,0,0",
    ) as found:  # fmt: skip
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


async def accepted(service: Fleet, held_at: str, receiver: WebhookReceiver) -> str:
    """The id of a batch, some of whose pages wait for an answer of this address.

    Each for one of its own: a worker asks once for what two pages want at a time.
    """
    items = [
        {
            "id": f"item-{place}",
            "data": {"n": place, "from": f"{held_at}?{place}" if place >= QUICK else ""},
        }
        for place in range(QUICK + HELD)
    ]
    body = {
        "html": "<p>{{ n }}<img src='{{ from }}'>", "width": 40, "height": 60, "items": items,
        "timeout_ms": 60_000, "webhook": {"url": f"{receiver.address}/hook"},
    }  # fmt: skip
    url = f"{service.service.address}/batches"
    async with service.service.client.post(url, json=body) as response:
        found = await response.json()
        assert response.status == 202, found
        return str(found["id"])


async def test_each_item_of_a_batch_ends_once_though_its_worker_is_killed(
    service: Fleet,
) -> None:
    """Some had ended, two were under way, the rest waited; its end is reported under one id."""
    async with receiving() as receiver, gated() as (gate, page):
        held_at = str(page["html"]).partition("href='")[2].partition("'")[0]
        watch = Watch(service, await accepted(service, held_at, receiver))
        with clean_folder() as folder:
            async with service.worker_in(folder) as one:
                await gate.until_asked(2)
                await watch.until_ended(QUICK)
                assert (await watch.counts())["counts"]["running"] == 2
                kill_tree(one)
                await one.process.wait()
            assert await nothing_lives(folder), left_of(folder)
            gate.open.set()
            async with service.worker_in(folder), service.worker():
                await watch.until_ended(QUICK + HELD)
                got = await receiver.wait_for(1)
                await watch.look()
        batch = await watch.counts()
        assert (batch["state"], batch["left"]) == ("done", 0)
        failed = [one["problem"] for one in watch.ended.values() if one["state"] != "done"]
        assert not failed, failed
        assert batch["counts"]["done"] == QUICK + HELD
        assert sorted(watch.ended) == sorted(f"item-{place}" for place in range(QUICK + HELD))
        assert len({one["job"] for one in watch.ended.values()}) == QUICK + HELD
        assert len({one["url"] for one in watch.ended.values()}) == QUICK + HELD
        assert {one.id for one in receiver.got} == {got[0].id}
        assert got[0].verified(SECRET)["type"] == "batch.finished"


async def test_jobs_that_wait_outlive_the_death_of_every_worker(service: Fleet) -> None:
    """Without any they stay queued; the next worker runs each of them once."""
    async with gated() as (gate, job):
        with clean_folder() as folder:
            async with service.worker_in(folder) as one:
                pages = [str(job["html"]).replace("'>", f"?{n}'>") for n in (1, 2)]
                held = [await service.submit({**job, "html": page}) for page in pages]
                await gate.until_asked(2)
                waiting = [await service.submit({"html": f"<p>{n}", "width": 20, "height": 10})
                           for n in range(3)]  # fmt: skip
                kill_tree(one)
                await one.process.wait()
            states = await asyncio.gather(*(service.job(identity) for identity in waiting))
            assert {state["state"] for state in states} == {"queued"}
            gate.open.set()
            async with service.worker_in(folder):
                for identity in (*held, *waiting):
                    ended = await service.until(identity, "done", "failed")
                    assert (ended["state"], ended["attempts"]) == (
                        "done", 2 if identity in held else 1,
                    )  # fmt: skip
