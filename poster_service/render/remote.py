"""What pages fetched, kept for the next page as long as its server says: a shared cache (RFC 9111).

A fresh Chrome has none. Plain books, bounded in bytes; the least recently used goes first. The key
is all that is sent: the address and every header. So `Vary` is kept to by itself, and no header
that one page makes up can change what another gets.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cachetools import LRUCache

from poster_service.browser.page import Reply, Request
from poster_service.render.freshness import Freshness, freshness, header

Key = tuple[str, tuple[tuple[str, str], ...]]

#: How a fetch may be answered: from what was kept; kept and found good; fetched, to be kept if its
#: server lets us; fetched once for several pages; fetched past the cache.
OUTCOMES = ("hit", "revalidated", "miss", "coalesced", "bypass")
#: What one entry costs beside its body, in bytes, roughly.
OVERHEAD = 2048
#: A request with one of these is the page's own business and passes by.
PERSONAL = frozenset((
    "authorization", "cache-control", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "pragma", "range",
))  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """An answer that was kept.

    Attributes:
        since: When it came or was last found good, on the monotonic clock.
        freshness: As of then.
    """

    reply: Reply
    since: float
    freshness: Freshness

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return OVERHEAD + len(self.reply.body)


class RemoteCache:
    """The answers that are kept; `outcomes` counts fetches by how they were answered."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._stored: LRUCache[Key, Stored] = LRUCache(max_bytes, lambda one: one.size)
        self._clock = clock
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))

    def statistics(self) -> dict[str, Any]:
        """Gauges and counters."""
        return {
            "things": len(self._stored),
            "bytes": int(self._stored.currsize),
            "max_bytes": int(self._stored.maxsize),
            "fetches": dict(self.outcomes),
        }

    def key(self, request: Request, headers: Mapping[str, str]) -> Key | None:
        """What a request's answer is kept under; None where it is not the cache's business."""
        names = {name.lower(): value for name, value in headers.items()}
        if not self._stored.maxsize or request.method != "GET" or request.body is not None:
            return None
        if not names.keys().isdisjoint(PERSONAL):
            return None
        return request.url.partition("#")[0], tuple(sorted(names.items()))

    def fresh(self, key: Key) -> Reply | None:
        """An answer that may be used without asking, with its `Age`."""
        stored = self._stored.get(key)
        if stored is None or self._residence(stored) >= stored.freshness.left:
            return None
        return self._aged(stored)

    def find(self, key: Key) -> Stored | None:
        """What is kept, good or not."""
        return self._stored.get(key)

    def answered(
        self, key: Key, reply: Reply, asked: float, before: Stored | None
    ) -> tuple[Reply, bool]:
        """Take in what a server answered.

        Args:
            key: Of the request.
            reply: The answer; a 304 only to the conditions of `before`.
            asked: When it was asked, in seconds since the epoch.
            before: What was kept until now.

        Returns:
            What the page gets, and whether others may have it too without asking.
        """
        self._stored.pop(key, None)
        if reply.status == 304 and before is not None:
            reply = freshened(before.reply, reply)
        judged = freshness(reply, asked, time.time())
        if judged.may_keep and (judged.left > 0 or judged.has_validator):
            stored = Stored(reply, self._clock(), judged)
            if stored.size <= self._stored.maxsize:
                self._stored[key] = stored
        return reply, judged.left > 0

    def _residence(self, stored: Stored) -> float:
        return self._clock() - stored.since

    def _aged(self, stored: Stored) -> Reply:
        age = math.ceil(stored.freshness.age + self._residence(stored))
        kept = tuple(pair for pair in stored.reply.headers if pair[0].lower() != "age")
        return replace(stored.reply, headers=(*kept, ("Age", str(age))))


def conditions(stored: Stored | None) -> dict[str, str]:
    """Headers by which a server is asked whether what is kept is still good; maybe none."""
    if stored is None:
        return {}
    told = {
        "If-None-Match": header(stored.reply.headers, "etag"),
        "If-Modified-Since": header(stored.reply.headers, "last-modified"),
    }
    return {name: value for name, value in told.items() if value}


def freshened(before: Reply, told: Reply) -> Reply:
    """A kept answer with the headers of the 304 that found it good (section 4.3.4)."""
    new = {name.lower() for name, _ in told.headers} | {"age"}
    kept = tuple(pair for pair in before.headers if pair[0].lower() not in new)
    return replace(before, headers=(*kept, *told.headers))
