"""What the pools of one service share: the folder of their leases, the numbers of these, the room.

A service has one pool for each isolation level that it uses. Together they have no more Chromes
than one pool would have alone: a pool that needs room gets it from ready Chromes of the others.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from poster_service.browser.pool_folder import PoolFolder
from poster_service.browser.pool_state import Capacity


class Sharer(Protocol):
    """A pool, as the others need to know it."""

    @property
    def waiting(self) -> int:
        """How many callers wait for a Chrome."""

    def balance(self) -> None:
        """Start the Chromes that are missing and end those that are not needed."""

    def shed(self, most: int) -> int:
        """End up to so many ready Chromes that no caller waits for; returns how many."""


class Premises:
    """Shared by the pools of one service.

    Attributes:
        folder: Where the folders of their leases are.
        capacity: How many Chromes they may have together.
        pools: The pools; each adds itself.
    """

    def __init__(self, instance_dir: Path, capacity: int) -> None:
        self.folder = PoolFolder(instance_dir)
        self.capacity = Capacity(capacity)
        self.pools: list[Sharer] = []
        self._tidying: asyncio.Task[None] | None = None

    async def open(self, *, shared: bool) -> None:
        """Create the folder, remove leftovers of previous instances, and keep it tidy from now on.

        Args:
            shared: As of `PoolFolder.open`.

        Raises:
            ChromeNotStarted: It cannot be created.
        """
        await self.folder.open(shared=shared)
        if self._tidying is None:
            tidying = self.folder.keep_tidy(lambda: list(self._in_use()))
            self._tidying = asyncio.get_running_loop().create_task(tidying)

    async def close(self) -> None:
        """Remove the folder; all pools are closed."""
        if self._tidying is not None:
            self._tidying.cancel()
        await self.folder.close()

    def shed(self, needy: Sharer, number: int) -> None:
        """Have other pools end so many ready Chromes, if there are as many."""
        for pool in self.pools:
            if pool is not needy and number > 0:
                number -= pool.shed(number)

    def balance(self) -> None:
        """Have every pool use the room that there is; those for which callers wait come first."""
        for pool in sorted(self.pools, key=lambda each: -each.waiting):
            pool.balance()

    def _in_use(self) -> Iterator[int]:
        """Numbers of the leases whose folders must stay."""
        for state in self.capacity.states:
            yield from state.entries
