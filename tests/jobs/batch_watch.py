"""Looks at the items of a batch again and again, for tests of what may happen to it."""

import json
from dataclasses import dataclass, field
from typing import Any

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
        response = await self.fleet.service.get(f"/batches/{self.batch}/items")
        if response.status == 503:  # its Redis is away
            return len(self.ended)
        assert response.status == 200, await response.text()
        for line in (await response.read()).splitlines():
            one = json.loads(line)
            # A presigned address differs from answer to answer; what it is of stays.
            one["url"] = (one.get("url") or "").partition("?")[0]
            if one["state"] in ENDS:
                assert self.ended.setdefault(one["id"], one) == one
            else:
                assert one["id"] not in self.ended, one
        return len(self.ended)

    async def until_ended(self, count: int, seconds: float = 90.0) -> None:
        """Wait until so many items have ended."""

        async def have_ended() -> bool:
            return await self.look() >= count

        await until(have_ended, seconds)

    async def counts(self) -> Any:
        """The batch as it is now."""
        return await (await self.fleet.service.get(f"/batches/{self.batch}")).json()
