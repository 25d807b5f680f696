"""A task that begins after a while, if it is still wanted by then; most are not.

Until then it is a timer, which takes a tenth of what a task does that sleeps.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Later:
    """Work that begins in some seconds, in the context of its caller.

    Attributes:
        task: The task, once it has begun; None before.
    """

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self.task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def cancel(self) -> None:
        """Have it not begin, or cancel its task."""
        self._timer.cancel()
        if self.task is not None:
            self.task.cancel()

    def _begin(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._work())
