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

from cachetools import LRUCache, TTLCache

from poster_service.browser.types import Reply, Request
from poster_service.fetch.http_cache import Freshness, freshness, header

Key = tuple[str, tuple[tuple[str, str], ...]]

#: How a fetch may be answered: from what was kept; kept and found good; fetched, to be kept if its
#: server lets us; fetched once for several pages; fetched past the cache.
OUTCOMES = ("hit", "revalidated", "miss", "coalesced", "bypass")
#: What one entry costs beside its texts and its body, in bytes, roughly.
OVERHEAD = 2048
#: A longer request (address and headers, in characters) is not the cache's business.
MAX_KEY = 8192
#: How long it is remembered that an answer was not for others, in seconds, and of how many.
REMEMBERED_SECONDS, REMEMBERED = 60, 4096
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
        key: What it is kept under; a page chose it, and its server the headers, so both count.
    """

    reply: Reply
    since: float
    freshness: Freshness
    key: Key

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        texts = (*self.key[1], *self.reply.headers)
        return (
            OVERHEAD
            + len(self.key[0])
            + sum(len(name) + len(value) for name, value in texts)
            + len(self.reply.body)
        )


class ResponseCache:
    """The answers that are kept; `outcomes` counts fetches by how they were answered."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._stored: LRUCache[Key, Stored] = LRUCache(max_bytes, lambda one: one.size)
        self._unshared: TTLCache[Key, bool] = TTLCache(REMEMBERED, REMEMBERED_SECONDS, clock)
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
        key = request.url.partition("#")[0], tuple(sorted(names.items()))
        length = len(key[0]) + sum(len(name) + len(value) for name, value in key[1])
        return key if length <= MAX_KEY else None

    def may_be_for_others(self, key: Key) -> bool:
        """Whether pages may wait for one answer together; not for a while after one was not so."""
        return key not in self._unshared

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
            stored = Stored(reply, self._clock(), judged, key)
            if stored.size <= self._stored.maxsize:
                self._stored[key] = stored
        if judged.left > 0:
            self._unshared.pop(key, None)
        else:
            self._unshared[key] = True
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
