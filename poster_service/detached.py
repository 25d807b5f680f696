"""Tasks that outlive the request in which they happen to begin.

A task gets a copy of the context of the code that creates it. So a loop that begins when the first
request needs it would log that request's id, and its trace, for as long as the service runs.
"""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def detached(work: Coroutine[Any, Any, T], name: str | None = None) -> "asyncio.Task[T]":
    """Start a task that belongs to no request: its log lines have no request id and no trace.

    Args:
        work: What it does; the tasks that this starts belong to no request either.
        name: Of the task.
    """
    loop = asyncio.get_running_loop()
    return loop.create_task(work, name=name, context=contextvars.Context())
