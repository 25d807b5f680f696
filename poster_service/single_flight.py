"""One piece of work that several callers wait for; it ends when the last of them has left.

A caller that leaves (hangs up, runs out of time) takes nothing from the others: the work belongs to
none of them and runs in a task of its own.
"""

import asyncio
from collections.abc import Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
A = TypeVar("A")


class Flight(Generic[T, A]):
    """The work, and the callers that wait for it.

    Attributes:
        task: Does the work.
        about: What else the callers have in common.
    """

    def __init__(self, task: "asyncio.Task[T]", about: A) -> None:
        self.task = task
        self.about = about
        self._waiting = 0

    @property
    def is_shared(self) -> bool:
        """Whether more than one caller waits."""
        return self._waiting > 1

    @property
    def is_abandoned(self) -> bool:
        """Whether all callers left before its end: it is being undone, and cannot be joined."""
        return self.task.cancelling() > 0

    @contextmanager
    def aboard(self) -> Iterator["asyncio.Task[T]"]:
        """Wait with the others while inside; the last caller to leave cancels the work."""
        self._waiting += 1
        try:
            yield self.task
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.task.cancel()


class Flights(Generic[T, A]):
    """All flights under way, by key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Flight[T, A]] = {}
        self._tasks: set[asyncio.Task[T]] = set()  # those that are being undone, too

    def find(self, key: Hashable) -> Flight[T, A] | None:
        """The flight that can be joined, if there is one."""
        flight = self._by_key.get(key)
        return None if flight is None or flight.is_abandoned else flight

    def start(self, key: Hashable, work: Coroutine[Any, Any, T], about: A) -> Flight[T, A]:
        """Begin a new flight, in the context (log, request id) of its first caller."""
        task = asyncio.get_running_loop().create_task(work)
        flight = self._by_key[key] = Flight(task, about)
        self._tasks.add(task)

        def landed(_: object) -> None:
            self._tasks.discard(task)
            if self._by_key.get(key) is flight:
                del self._by_key[key]
            if not task.cancelled():
                task.exception()  # retrieved, even if all callers have left

        task.add_done_callback(landed)
        return flight

    async def close(self) -> None:
        """Cancel all, and wait until they are undone."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
