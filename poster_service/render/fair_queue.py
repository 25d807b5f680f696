"""Who waits for a slot: a queue for each caller, served in turn. Plain state, no awaiting."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

S = TypeVar("S")


class Waiter(asyncio.Future[S]):
    """One render that waits for a slot.

    Attributes:
        deadline: When the picture must be done, on the event loop's clock.
        since: When it began to wait, on the same clock.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.deadline = deadline
        self.since = self.get_loop().time()


class FairQueue(Generic[S]):
    """A queue for each caller: served round robin, and each of them in order of arrival."""

    def __init__(self) -> None:
        #: The order of the keys is the order of turns; an empty queue is removed.
        self._queues: dict[str, deque[Waiter[S]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def callers(self) -> int:
        """How many different callers wait."""
        return len(self._queues)

    def ahead_of(self, caller: str) -> int:
        """How many would get a slot before a render that this caller added now."""
        own = len(self._queues.get(caller, ()))
        others = (len(queue) for name, queue in self._queues.items() if name != caller)
        # Every other queue has a turn for each of this caller's, and one for the new render.
        return own + sum(min(length, own + 1) for length in others)

    def add(self, caller: str, waiter: Waiter[S]) -> None:
        """Add a render to the end of the caller's queue; a new queue is served after all others."""
        self._queues.setdefault(caller, deque()).append(waiter)
        self._count += 1

    def remove(self, caller: str, waiter: Waiter[S]) -> None:
        """Remove a render at any place of the queue; does nothing if it is not there."""
        queue = self._queues.get(caller)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            self._shrunk(caller)

    def pop(self) -> Waiter[S] | None:
        """Take the first of the queue whose turn it is; its next turn comes after all others."""
        if not self._queues:
            return None
        caller = next(iter(self._queues))
        queue = self._queues.pop(caller)
        waiter = queue.popleft()
        self._count -= 1
        if queue:
            self._queues[caller] = queue
        return waiter

    def can_displace(self, caller: str) -> bool:
        """Whether a queue is longer than this caller's would be with one more."""
        return self._longest(caller) is not None

    def displace(self, caller: str) -> Waiter[S] | None:
        """Remove the last of the longest queue in favour of this caller, if `can_displace`."""
        longest = self._longest(caller)
        if longest is None:
            return None
        waiter = self._queues[longest].pop()
        self._shrunk(longest)
        return waiter

    def _longest(self, caller: str) -> str | None:
        """Whose queue is the longest, if it is longer than this caller's would be with one more."""
        longest = max(self._queues, key=lambda name: len(self._queues[name]), default=caller)
        own = len(self._queues.get(caller, ())) + 1
        return longest if len(self._queues.get(longest, ())) > own else None

    def _shrunk(self, caller: str) -> None:
        self._count -= 1
        if not self._queues[caller]:
            del self._queues[caller]
