"""Finished pictures that replicas have in common, in Redis.

It is a help and never a need: what it does not know, or does not answer in time, is painted. After
a failure it is left alone for a while, so that a store which is down costs one wait and not one for
each render. What it holds is believed, so it should be reached by nobody else.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poster_service import __version__
from poster_service.logs import event

logger = logging.getLogger(__name__)

#: What an answer may take, connecting included, in seconds: less than most renders.
PATIENCE = 0.25
#: How long it is left alone after a failure, in seconds.
PAUSE = 5.0
#: Connections at most; who finds none free waits for one, as long as it has patience.
CONNECTIONS = 16
#: A larger picture is not stored, in bytes: it would hardly come back in time.
LARGEST = 8 << 20
#: Between an entry's head and its picture.
SEAM = b"\n"
#: Of the keys: another version of us may paint otherwise.
PREFIX = f"poster-service:{__version__}:".encode()

#: Outcomes that are counted.
FOUND, UNKNOWN, STORED, FAILED = OUTCOMES = ("hit", "miss", "stored", "failed")


@dataclass(frozen=True)
class Entry:
    """One picture, with times that mean the same on every machine.

    Attributes:
        body: Its bytes.
        content_type: Its media type.
        etag: Of the bytes.
        since: When it was finished, in seconds since the epoch.
        until: As long as this it stays the same by itself; infinite where nothing was fetched.
        warnings: The value of `X-Render-Warnings`; mostly empty.
    """

    body: bytes
    content_type: str
    etag: str
    since: float
    until: float
    warnings: str = ""

    def packed(self) -> bytes:
        """As one string of bytes: a line of JSON, then the picture."""
        until = None if math.isinf(self.until) else self.until
        head = _Head(
            content_type=self.content_type, etag=self.etag, since=self.since, until=until,
            size=len(self.body), warnings=self.warnings,
        )  # fmt: skip
        return head.model_dump_json().encode() + SEAM + self.body

    @classmethod
    def unpacked(cls, raw: bytes) -> "Entry | None":
        """What `packed` gave; None for anything else."""
        line, _, body = raw.partition(SEAM)
        try:
            head = _Head.model_validate_json(line)
        except ValidationError:
            return None
        if len(body) != head.size:
            return None
        until = math.inf if head.until is None else head.until
        return cls(body, head.content_type, head.etag, head.since, until, head.warnings)


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    content_type: str
    etag: str
    since: float
    until: float | None
    size: int
    warnings: str = Field("", pattern=r"^[ -~]*$", max_length=8_000)


class Store:
    """The door to Redis."""

    def __init__(self, address: str, seconds: int, realm: str = "") -> None:
        """Connect to nothing yet.

        Args:
            address: redis://, rediss:// or unix://, as redis-py takes it.
            seconds: How long a picture is kept there.
            realm: Those who have another one do not see each other's pictures.

        Raises:
            ValueError: The address is none.
        """
        # Imported here: 50 ms and some megabytes, for those who have a Redis only.
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ResponseError

        pool = BlockingConnectionPool.from_url(
            address, max_connections=CONNECTIONS, timeout=None,
            socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 1),  # a connection may have ended since its last use
            driver_info=None,  # it would look for its own version on disk for each connection
        )  # fmt: skip
        self._redis: Any = Redis.from_pool(pool)
        self._refusal = ResponseError
        self._prefix = PREFIX + realm.encode() + b":"
        self._is_closed = False
        self._seconds = seconds
        self._asleep_until = -math.inf
        #: What has failed since it last worked, of reading and writing: each is told once.
        self._down: set[str] = set()
        self._storing: set[asyncio.Task[None]] = set()
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))

    async def find(self, key: bytes) -> Entry | None:
        """The picture of this key, if there is one and it comes in time."""
        if self._is_out():
            return None
        raw = await self._ask("read", self._redis.get, self._prefix + key)
        if raw is FAILED:
            return None
        entry = None if raw is None else Entry.unpacked(raw)
        self.outcomes[UNKNOWN if entry is None else FOUND] += 1
        return entry

    def keep(self, key: bytes, entry: Entry) -> None:
        """Store a picture, behind the caller's back."""
        if len(entry.body) > LARGEST or self._is_out():
            return
        task = asyncio.get_running_loop().create_task(self._keep(key, entry))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _keep(self, key: bytes, entry: Entry) -> None:
        packed = entry.packed()
        told = await self._ask(
            "written", self._redis.set, self._prefix + key, packed, self._seconds
        )
        self.outcomes[STORED] += told is not FAILED

    def _is_out(self) -> bool:
        return self._is_closed or time.monotonic() < self._asleep_until

    async def _ask(self, what: str, command: Callable[..., Any], *words: object) -> Any:
        """What Redis answers, or FAILED; whatever goes wrong there goes wrong there only."""
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await command(*words)
        except Exception as error:
            self.outcomes[FAILED] += 1
            if not isinstance(error, self._refusal):  # that was an answer: full, say, or read-only
                self._asleep_until = time.monotonic() + PAUSE
            if what not in self._down:
                self._down.add(what)
                event(
                    logger, logging.WARNING,
                    f"the cache in Redis cannot be {what}; renders go on without it",
                    error=_words(error),
                )  # fmt: skip
            return FAILED
        if what in self._down:
            self._down.remove(what)
            event(logger, logging.INFO, f"the cache in Redis can be {what} again")
        return answer

    async def settled(self) -> None:
        """Wait until all that was to be stored is, or has failed."""
        while self._storing:
            await asyncio.wait(set(self._storing))

    async def ping(self) -> str:
        """What is wrong with it, "" when nothing is."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._redis.ping()
        except Exception as error:
            return _words(error)
        return ""

    async def close(self) -> None:
        """Store what is under way, and hang up."""
        self._is_closed = True
        await self.settled()
        with contextlib.suppress(Exception):  # a server that does not answer does not hang up
            await self._redis.aclose()


def _words(error: BaseException) -> str:
    """An error in words, some of which have none."""
    return str(error) or f"no answer in {PATIENCE * 1000:.0f} ms"
