"""How many requests of one page are under way, and since when it has been quiet.

The service answers every request of a page, so this is exact; Chrome's own notion of an idle
network would need one more domain of its protocol, and its messages.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import count

#: For so long no more than the allowed number of requests have been under way, in seconds.
QUIET_SECONDS = 0.5
#: The numbers of requests that may be under way on an idle network.
LEVELS = (0, 2)
#: Resource types (CDP) that no page waits for.
UNCOUNTED = frozenset(("Ping", "CSPViolationReport"))


class Traffic:
    """Counts the requests of one page."""

    def __init__(self) -> None:
        self._numbers = count()
        self._open: dict[int, str] = {}
        #: By level: when more requests than that were last under way.
        self._busy = dict.fromkeys(LEVELS, 0.0)

    def start(self) -> None:
        """Begin to count the quiet now: the page has been given its document."""
        self._busy = dict.fromkeys(LEVELS, asyncio.get_running_loop().time())

    @contextlib.contextmanager
    def request(self, kind: str, url: str) -> Iterator[None]:
        """While inside, a request is under way."""
        if kind in UNCOUNTED:
            yield
            return
        number = next(self._numbers)
        self._open[number] = url
        self._note()
        try:
            yield
        finally:
            self._note()
            del self._open[number]

    def _note(self) -> None:
        for level in LEVELS:
            if len(self._open) > level:
                self._busy[level] = asyncio.get_running_loop().time()

    def addresses(self) -> tuple[str, ...]:
        """The addresses of the requests under way."""
        return tuple(self._open.values())

    async def quiet(self, level: int, seconds: float = QUIET_SECONDS) -> None:
        """Wait until no more than `level` requests have been under way for so many seconds."""
        while True:
            is_busy = len(self._open) > level
            now = asyncio.get_running_loop().time()
            left = seconds if is_busy else self._busy[level] + seconds - now
            if left <= 0:
                return
            await asyncio.sleep(left)
