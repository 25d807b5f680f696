"""Looks at the items of a batch again and again, for tests of what may happen to it."""

import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.jobs.fleet import Fleet
from tests.jobs.waiting import until

ENDS = ("done", "failed", "cancelled")


@dataclass
class Watch:
    """What was seen of a batch: an item that has ended must never change.

    Attributes:
        fleet: Knows it.
        batch: Its id.
        ended: Items that have ended, by their ids.
    """

    fleet: Fleet
    batch: str
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def look(self) -> int:
        """Look at all items; how many have ended, also of those seen before."""
        try:
            response = await self.fleet.service.get(f"/batches/{self.batch}/items")
        except aiohttp.ClientPayloadError:  # its Redis went away meanwhile
            return len(self.ended)
        if response.status == 503:  # its Redis is away
            return len(self.ended)
        assert response.status == 200, await response.text()
        for line in (await response.read()).splitlines():
            self._note(json.loads(line))
        return len(self.ended)

    def _note(self, item: dict[str, Any]) -> None:
        # A presigned address differs from answer to answer; what it is of stays.
        item["url"] = (item.get("url") or "").partition("?")[0]
        if item["state"] in ENDS:
            assert self.ended.setdefault(item["id"], item) == item
        else:
            assert item["id"] not in self.ended, item

    async def until_ended(self, count: int, seconds: float = 90.0) -> None:
        """Wait until so many items have ended."""

        async def have_ended() -> bool:
            return await self.look() >= count

        await until(have_ended, seconds)

    async def counts(self) -> Any:
        """The batch as it is now."""
        return await (await self.fleet.service.get(f"/batches/{self.batch}")).json()
