"""The tasks of a pool, one for each start, cleaning and ending of a Chrome, until they are done."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from poster_service.detached import detached

logger = logging.getLogger(__name__)


class PoolTasks:
    """Holds the running tasks by name; its length is their number."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task; if it fails, the error is logged."""
        task = detached(work, name)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def cancel(self, wanted: Callable[[str], bool]) -> None:
        """Cancel the tasks whose names are wanted."""
        for task in self._running:
            if wanted(task.get_name()):
                task.cancel()

    async def wait_all(self) -> None:
        """Wait until none is left, those included that begin meanwhile."""
        while self._running:
            await asyncio.wait(self._running)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the pool failed", exc_info=error)
