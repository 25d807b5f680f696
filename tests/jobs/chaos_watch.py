"""Looks at jobs and batches again and again: what has ended must never change."""

import asyncio
import collections
from collections.abc import Sequence
from typing import Any

from yarl import URL

from tests.jobs.batch_watch import ENDS, Watch
from tests.jobs.chaos import SECRET, Chaos

#: How many jobs are asked for at a time, half of them the oldest.
LOOKED_AT = 10


class Observer:
    """What a caller sees of its jobs and batches.

    Attributes:
        jobs: Those that came alone, in their order.
        ended: What is known of those that have ended.
        batches: With the number of their items.
        reported: The ids of the webhooks of each job and batch.
        finished: What the last of them said.
    """

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.jobs: list[str] = []
        self.ended: dict[str, Any] = {}
        self.batches: dict[str, int] = {}
        self._watches: dict[str, Watch] = {}
        self.reported: dict[str, set[str]] = collections.defaultdict(set)
        self.finished: dict[str, Any] = {}

    @property
    def left(self) -> list[str]:
        """The jobs that are not known to have ended, in their order."""
        return [one for one in self.jobs if one not in self.ended]

    @property
    def batches_left(self) -> list[str]:
        """The batches with items that are not known to have ended, in their order."""
        return [one for one, items in self.batches.items() if len(self.items(one)) < items]

    def items(self, batch: str) -> dict[str, dict[str, Any]]:
        """The items of a batch that are known to have ended."""
        return self._watches[batch].ended

    def accept(self, batch: str, items: int) -> None:
        """Look at a batch from now on."""
        self.batches[batch] = items
        self._watches[batch] = Watch(self._chaos.fleet, batch)

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
        if job["state"] in ENDS:
            assert self.ended.setdefault(identity, known) == known, chaos.done
        else:
            assert identity not in self.ended, (job, chaos.done)

    async def look_into(self, batch: str) -> None:
        """Look at the items of a batch, and at its counts, which add up."""
        seen = await self._watches[batch].look()
        response = await self._chaos.fleet.service.get(f"/batches/{batch}")
        if response.status != 503:
            found = await response.json()
            assert response.status == 200, (batch, found, self._chaos.done)
            counts = found["counts"]
            assert sum(counts.values()) == found["items"] == self.batches[batch], found
            # What was seen to have ended before is counted.
            assert sum(counts[state] for state in ENDS) >= seen, (found, seen)

    def take_webhooks(self) -> None:
        """Take what has been received; soon, because signatures are good for some minutes."""
        got = self._chaos.receiver.got
        while got:
            one = got.pop()
            message = one.verified(SECRET)
            data = message["data"]
            subject = data.get("batch") or data["job"]
            assert message["type"] == ("batch.finished" if "batch" in data else "render.succeeded")
            self.reported[subject].add(one.id)
            self.finished[subject] = data

    async def keep_looking(self) -> None:
        """Look at some of the jobs and batches, old and new, ended or not."""
        dice, half = self._chaos.dice, LOOKED_AT // 2
        while True:
            self.take_webhooks()
            jobs = [*self.left[:half], *dice.sample(self.jobs, min(half, len(self.jobs)))]
            for identity in jobs:
                await self.look(identity)
            batches = [*self.batches_left[:1], *dice.sample([*self.batches], bool(self.batches))]
            for batch in batches:
                await self.look_into(batch)
            await asyncio.sleep(0.5)

    async def look_at_all(self) -> None:
        """Look at each job and batch once more."""
        for identity in self.jobs:
            await self.look(identity)
        for batch in self.batches:
            await self.look_into(batch)

    def problems(self) -> list[Any]:
        """Those of all jobs and items that have ended and are not done."""
        items = [one for batch in self.batches for one in self.items(batch).values()]
        return [one["problem"] for one in (*self.ended.values(), *items) if one["state"] != "done"]


async def can_be_had(chaos: Chaos, jobs: Sequence[str]) -> None:
    """The result of each of these jobs is in the store, and no two have the same."""
    urls = set()
    for identity in jobs:
        url = URL((await chaos.fleet.job(identity))["result"]["url"], encoded=True)
        urls.add(url.path)
        async with chaos.fleet.service.client.get(url) as response:
            assert response.status == 200, (identity, chaos.done)
    assert len(urls) == len(jobs)
