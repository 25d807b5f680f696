"""A shared cache of what pages fetched, for as long as each server allows (RFC 9111).

A new Chrome has an empty cache. This one is an LRU cache bounded in bytes; its methods never await,
so a cancelled render cannot leave it half changed. The key is all that is sent: the URL and every
header. So `Vary` needs no code of its own, and no header that one page makes up can change what
another page gets.
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

#: How a fetch was answered: "hit" from the cache; "revalidated" from the cache after a 304; "miss"
#: by the server, and stored if it allows that; "coalesced" by a fetch that several pages shared;
#: "bypass" by the server, without the cache.
OUTCOMES = ("hit", "revalidated", "miss", "coalesced", "bypass")
#: What one entry takes besides its strings and its body, in bytes, roughly.
OVERHEAD = 2048
#: A longer request (URL and headers, in characters) bypasses the cache.
MAX_KEY = 8192
#: For how long the cache remembers that a response was not shareable, in seconds, and how many.
UNSHARED_SECONDS, MAX_UNSHARED = 60, 4096
#: A request with one of these headers bypasses the cache: it is about one user, or the page itself
#: asks for validation or for a part of the body.
BYPASS_HEADERS = frozenset((
    "authorization", "cache-control", "cookie", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "pragma", "range",
))  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """A stored response.

    Attributes:
        since: When it was received or last validated, on the monotonic clock.
        freshness: As of then.
        key: Its key; a page chose that, and the server the headers, so the size counts both.
    """

    reply: Reply
    since: float
    freshness: Freshness
    key: Key

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        strings = (*self.key[1], *self.reply.headers)
        return (
            OVERHEAD
            + len(self.key[0])
            + sum(len(name) + len(value) for name, value in strings)
            + len(self.reply.body)
        )


@dataclass(frozen=True)
class Exchange:
    """A request that is about to be sent, and the stored response that it may validate.

    Attributes:
        sent: When it is sent, in seconds since the epoch.
        stored: The response in the cache, stale; None without one.
    """

    key: Key
    sent: float
    stored: Stored | None

    @property
    def conditions(self) -> dict[str, str]:
        """Request headers that ask the server to validate the stored response; maybe empty."""
        if self.stored is None:
            return {}
        headers = self.stored.reply.headers
        validators = {
            "If-None-Match": header(headers, "etag"),
            "If-Modified-Since": header(headers, "last-modified"),
        }
        return {name: value for name, value in validators.items() if value}

    def validated(self, reply: Reply) -> Reply | None:
        """The stored response with the headers of a 304; None where the reply is no 304 to it."""
        if reply.status != 304 or self.stored is None:
            return None
        return with_new_headers(self.stored.reply, reply)


class ResponseCache:
    """The stored responses.

    Attributes:
        outcomes: Number of fetches by `OUTCOMES`; the fetcher counts them.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._stored: LRUCache[Key, Stored] = LRUCache(max_bytes, lambda entry: entry.size)
        self._unshared: TTLCache[Key, bool] = TTLCache(MAX_UNSHARED, UNSHARED_SECONDS, clock)
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
        """The key of a request sent with these headers; None where it bypasses the cache."""
        names = {name.lower(): value for name, value in headers.items()}
        if not self._stored.maxsize or request.method != "GET" or request.body is not None:
            return None
        if not names.keys().isdisjoint(BYPASS_HEADERS):
            return None
        key = request.url.partition("#")[0], tuple(sorted(names.items()))
        length = len(key[0]) + sum(len(name) + len(value) for name, value in key[1])
        return key if length <= MAX_KEY else None

    def may_coalesce(self, key: Key) -> bool:
        """Whether pages may wait for one response together.

        False for `UNSHARED_SECONDS` after a response to this request was not shareable: pages would
        wait for nothing.
        """
        return key not in self._unshared

    def fresh(self, key: Key) -> Reply | None:
        """A stored response that may be used without validation, with its `Age`; else None."""
        stored = self._stored.get(key)
        if stored is None or self._residence(stored) >= stored.freshness.left:
            return None
        age = math.ceil(stored.freshness.age + self._residence(stored))
        headers = tuple(pair for pair in stored.reply.headers if pair[0].lower() != "age")
        return replace(stored.reply, headers=(*headers, ("Age", str(age))))

    def begin(self, key: Key) -> Exchange:
        """Begin a request to the server, now."""
        return Exchange(key, time.time(), self._stored.get(key))

    def store(self, exchange: Exchange, reply: Reply) -> tuple[Reply, bool]:
        """Take the server's response, and store it if the server allows that.

        Returns:
            What the page gets, and whether other pages may have it without validation.
        """
        key = exchange.key
        self._stored.pop(key, None)
        reply = exchange.validated(reply) or reply
        fresh = freshness(reply, exchange.sent, time.time())
        if fresh.may_store and (fresh.left > 0 or fresh.has_validator):
            stored = Stored(reply, self._clock(), fresh, key)
            if stored.size <= self._stored.maxsize:
                self._stored[key] = stored
        if fresh.left > 0:
            self._unshared.pop(key, None)
        else:
            self._unshared[key] = True
        return reply, fresh.left > 0

    def _residence(self, stored: Stored) -> float:
        return self._clock() - stored.since


def with_new_headers(stored: Reply, not_modified: Reply) -> Reply:
    """A stored response with the headers of the 304 that validated it (RFC 9111, 4.3.4)."""
    new = {name.lower() for name, _ in not_modified.headers} | {"age"}
    kept = tuple(pair for pair in stored.headers if pair[0].lower() not in new)
    return replace(stored, headers=(*kept, *not_modified.headers))
