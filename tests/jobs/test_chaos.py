"""Jobs while workers, their Redis and the storage are killed, stopped and started again."""

import asyncio
import collections
import re
from typing import Any

import pytest
from yarl import URL

from tests.jobs.chaos import SECRET, Chaos, chaotic
from tests.jobs.waiting import until

#: Jobs that are sent while one thing goes wrong: about as many as are rendered meanwhile.
AT_A_STROKE = 25
#: How many jobs are asked for at a time, half of them the oldest.
LOOKED_AT = 20
ENDED = ("done", "failed", "cancelled")
#: Names of docket's that are there for as long as there is a queue, after any jobs.
LASTING = re.compile(
    r"poster-(jobs|webhooks):(stream|queue|workers|task-workers:\w+|leases:[\w-]+)"
)


class Observer:
    """Looks at jobs again and again: one that has ended must never change."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.jobs: list[str] = []
        self.ended: dict[str, Any] = {}
        #: The ids of the webhooks of each job.
        self.reported: dict[str, set[str]] = collections.defaultdict(set)

    @property
    def left(self) -> list[str]:
        """The jobs that are not known to have ended, in their order."""
        return [one for one in self.jobs if one not in self.ended]

    async def look(self, identity: str) -> None:
        """Look at a job."""
        chaos = self._chaos
        response = await chaos.fleet.service.get(f"/jobs/{identity}")
        if response.status == 503:  # its Redis is away
            return
        job = await response.json()
        assert response.status == 200, (identity, job, chaos.done)
        known = {name: job[name] for name in ("state", "finished", "attempts", "problem")}
        known["object"] = (job["result"] or {}).get("object")
        if job["state"] in ENDED:
            assert self.ended.setdefault(identity, known) == known, chaos.done
        else:
            assert identity not in self.ended, (job, chaos.done)

    def take_webhooks(self) -> None:
        """Take what has been received; soon, because signatures are good for some minutes."""
        got = self._chaos.receiver.got
        while got:
            one = got.pop()
            message = one.verified(SECRET)
            self.reported[message["data"]["job"]].add(one.id)

    async def keep_looking(self) -> None:
        """Look at some of the jobs, old and new, ended or not."""
        while True:
            self.take_webhooks()
            dice, left, half = self._chaos.dice, self.left, LOOKED_AT // 2
            some = [*left[:half], *dice.sample(self.jobs, min(half, len(self.jobs)))]
            for identity in some:
                await self.look(identity)
            await asyncio.sleep(0.5)


async def accepted(chaos: Chaos, place: int) -> str:
    """The id of a job, sent again with its key for as long as its Redis is away."""
    fleet = chaos.fleet
    body = {
        "html": f"<p>{place}", "width": 40, "height": 20, "isolation": "context",
        "webhook": {"url": chaos.receiver.address},
    }  # fmt: skip
    headers = {"Idempotency-Key": f"job-{place}"}
    while True:
        async with fleet.service.client.post(
            f"{fleet.service.address}/jobs", json=body, headers=headers
        ) as response:
            if response.status == 202:
                return str((await response.json())["id"])
            assert response.status == 503, await response.text()
        await asyncio.sleep(0.2)


async def struck(chaos: Chaos, observer: Observer, count: int) -> None:
    """Send so many jobs while things go wrong, and go on until all have ended."""

    async def send(places: range) -> None:
        for place in places:
            observer.jobs.append(await accepted(chaos, place))

    looking = asyncio.create_task(observer.keep_looking())
    try:
        for first in range(0, count, AT_A_STROKE):
            places = range(first, min(first + AT_A_STROKE, count))
            await asyncio.gather(chaos.strike(), send(places))
            assert not looking.done(), looking.exception()
        while observer.left:
            assert not looking.done(), looking.exception()
            await chaos.strike()
            await asyncio.sleep(1)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    "count",
    [pytest.param(200, marks=pytest.mark.slow), pytest.param(2_000, marks=pytest.mark.endurance)],
)
async def test_every_job_ends_once(count: int) -> None:
    """With one result and one webhook; nothing is left of the workers, and every key expires."""
    async with chaotic(count) as chaos:
        observer = Observer(chaos)
        await struck(chaos, observer, count)
        assert {kind.__name__ for kind in chaos.kinds} <= set(chaos.done)
        assert len(set(observer.jobs)) == count
        for identity in observer.jobs:
            await observer.look(identity)
        failed = [one["problem"] for one in observer.ended.values() if one["state"] != "done"]
        assert failed == [], chaos.done
        await can_be_had(chaos, observer.jobs[:: max(1, count // 200)])
        await have_been_reported(observer)
        await nothing_stays(chaos, observer.jobs)


async def can_be_had(chaos: Chaos, jobs: list[str]) -> None:
    """The result of each of these jobs is in the store."""
    for identity in jobs:
        url = URL((await chaos.fleet.job(identity))["result"]["url"], encoded=True)
        async with chaos.fleet.service.client.get(url) as response:
            assert response.status == 200, (identity, chaos.done)


async def have_been_reported(observer: Observer) -> None:
    """Each job under one id, which may come more than once."""

    async def all_have_come() -> bool:
        observer.take_webhooks()
        return len(observer.reported) >= len(observer.jobs)

    await until(all_have_come)
    assert observer.reported.keys() == set(observer.jobs)
    assert [ids for ids in observer.reported.values() if len(ids) > 1] == []


async def nothing_stays(chaos: Chaos, jobs: list[str]) -> None:
    """No job waits, no ticket is left, and each key that is not the queue's own expires."""
    with chaos.fleet.redis.client() as client:

        async def are_delivered() -> bool:
            streams = ("poster-jobs:stream", "poster-webhooks:stream")
            return not any(client.xlen(one) for one in streams)

        await until(are_delivered)
        assert client.zcard("poster-job:queued") == client.zcard("poster-job:running") == 0
        keys = [key.decode() for key in client.scan_iter()]
        lasting = [key for key in keys if client.ttl(key) == -1]
        assert [key for key in lasting if not LASTING.fullmatch(key)] == [], chaos.done
        assert not [key for key in lasting if any(one in key for one in jobs)]
