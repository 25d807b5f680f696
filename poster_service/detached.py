"""Tasks that outlive the request in which they happen to begin.

A task gets a copy of the context of the code that creates it. So a loop that begins when the first
request needs it would log that request's id, and its trace, for as long as the service runs.
"""

import asyncio
import contextvars
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

#: How long a task that was cancelled may take before it is cancelled again, in seconds: longer than
#: anything that such a task still has to do.
AGAIN_SECONDS = 2.0


def detached(work: Coroutine[Any, Any, T], name: str | None = None) -> "asyncio.Task[T]":
    """Start a task that belongs to no request: its log lines have no request id and no trace.

    Args:
        work: What it does; the tasks that this starts belong to no request either.
        name: Of the task.
    """
    loop = asyncio.get_running_loop()
    return loop.create_task(work, name=name, context=contextvars.Context())


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks and wait until all have ended, however they end.

    One that has not ended after a while is cancelled again: a library may lose a cancel, as the
    Redis connections of docket do (see `redis_client.client`).

    Args:
        tasks: None of them is the caller.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
