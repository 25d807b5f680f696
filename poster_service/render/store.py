"""The cache of finished images in Redis, which replicas share.

A render never depends on it: an image that is not there, or does not come in time, is rendered.
After a failure the service does not use Redis for a while, so that an outage costs one wait and not
one for each render. The entries are trusted, so no other client should have access to that Redis.
"""

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poster_service import __version__
from poster_service.logs import event
from poster_service.redis_client import COMMAND_SECONDS, PAUSE_SECONDS, client, error_text
from poster_service.render.formats import OutputFormat
from poster_service.render.picture import Picture

logger = logging.getLogger(__name__)

#: A larger image is not stored, in bytes: reading it would probably exceed the time limit.
MAX_BYTES = 8 << 20
#: Separates an entry's head from its image.
SEPARATOR = b"\n"
#: Prefix of the keys: another version of the service may render differently.
PREFIX = f"poster-service:{__version__}:".encode()

#: Outcomes that are counted.
HIT, MISS, STORED, FAILED = OUTCOMES = ("hit", "miss", "stored", "failed")


@dataclass(frozen=True)
class Entry:
    """The images of one render, with times by the wall clock, which all machines share.

    Attributes:
        pictures: The image, or one for each output.
        since: When they were rendered, in seconds since the epoch.
        until: Until when its fetched parts are fresh, likewise; infinite if nothing was fetched.
        warnings: The value of `X-Render-Warnings`; mostly empty.
        page: Address, status and title of a page on the web; None of any other.
        isolation: The isolation level at which they were painted.
    """

    pictures: tuple[Picture, ...]
    since: float
    until: float
    warnings: str = ""
    page: tuple[str, int, str] | None = None
    isolation: str = ""

    @property
    def size(self) -> int:
        """Bytes of all images."""
        return sum(len(one.body) for one in self.pictures)

    def packed(self) -> bytes:
        """The entry as bytes: a line of JSON, then the images, one after the other."""
        until = None if math.isinf(self.until) else self.until
        pictures = [
            _Described(name=one.name, format=one.format, etag=one.etag, size=len(one.body))
            for one in self.pictures
        ]
        head = _Head(
            pictures=pictures, since=self.since, until=until, warnings=self.warnings,
            page=self.page, isolation=self.isolation,
        )  # fmt: skip
        bodies = (one.body for one in self.pictures)
        return b"".join((head.model_dump_json().encode(), SEPARATOR, *bodies))

    @classmethod
    def unpacked(cls, raw: bytes) -> "Entry | None":
        """The entry from the bytes of `packed`; None for any other bytes."""
        line, _, bodies = raw.partition(SEPARATOR)
        try:
            head = _Head.model_validate_json(line)
        except ValidationError:
            return None
        sizes = [one.size for one in head.pictures]
        if len(bodies) != sum(sizes):
            return None
        ends = itertools.accumulate(sizes)
        pictures = tuple(
            Picture(one.format, bodies[end - one.size : end], one.etag, one.name)
            for one, end in zip(head.pictures, ends, strict=True)
        )
        until = math.inf if head.until is None else head.until
        return cls(pictures, head.since, until, head.warnings, head.page, head.isolation)


Plain = Annotated[str, Field(pattern=r"^[ -~]*$", max_length=8_000)]


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    format: OutputFormat
    etag: str
    size: int = Field(ge=0)


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pictures: list[_Described] = Field(min_length=1)
    since: float
    until: float | None
    warnings: str = Field("", pattern=r"^[ -~]*$", max_length=8_000)
    page: tuple[Plain, int, Plain] | None = None
    isolation: Plain = ""


class Store:
    """Reads and writes images in Redis."""

    def __init__(self, address: str, seconds: int, realm: str = "") -> None:
        """Connect to nothing yet.

        Args:
            address: redis://, rediss:// or unix://, as redis-py takes it.
            seconds: How long an image is stored there.
            realm: A part of every key: services with different ones do not share images.

        Raises:
            ValueError: The address is invalid.
        """
        self._redis = client(address)
        from redis.exceptions import ResponseError  # after `client`, which says what it costs

        self._refusal = ResponseError
        self._prefix = PREFIX + realm.encode() + b":"
        self._is_closed = False
        self._seconds = seconds
        self._paused_until = -math.inf
        #: Which of "read" and "written" failed last; each failure is logged once.
        self._down: set[str] = set()
        self._storing: set[asyncio.Task[None]] = set()
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))

    async def find(self, key: bytes) -> Entry | None:
        """The image of this key; None if there is none, or it does not come in time."""
        if self._is_unavailable():
            return None
        raw = await self._run("read", self._redis.get, self._prefix + key)
        if raw is FAILED:
            return None
        entry = None if raw is None else Entry.unpacked(raw)
        self.outcomes[MISS if entry is None else HIT] += 1
        return entry

    def keep(self, key: bytes, entry: Entry) -> None:
        """Store an image in the background."""
        if entry.size > MAX_BYTES or self._is_unavailable():
            return
        task = asyncio.get_running_loop().create_task(self._store(key, entry))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, key: bytes, entry: Entry) -> None:
        packed = entry.packed()
        answer = await self._run(
            "written", self._redis.set, self._prefix + key, packed, self._seconds
        )
        self.outcomes[STORED] += answer is not FAILED

    def _is_unavailable(self) -> bool:
        return self._is_closed or time.monotonic() < self._paused_until

    async def _run(self, what: str, command: Callable[..., Any], *arguments: object) -> Any:
        """The result of a command; FAILED after any error, which must not reach the render."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                answer = await command(*arguments)
        except Exception as error:
            self.outcomes[FAILED] += 1
            if not isinstance(error, self._refusal):  # Redis works, but e.g. is full or read-only
                self._paused_until = time.monotonic() + PAUSE_SECONDS
            if what not in self._down:
                self._down.add(what)
                event(
                    logger, logging.WARNING,
                    f"the cache in Redis cannot be {what}; renders go on without it",
                    error=error_text(error),
                )  # fmt: skip
            return FAILED
        if what in self._down:
            self._down.remove(what)
            event(logger, logging.INFO, f"the cache in Redis can be {what} again")
        return answer

    async def settled(self) -> None:
        """Wait until every `keep` so far has finished, or failed."""
        while self._storing:
            await asyncio.wait(set(self._storing))

    async def ping(self) -> str:
        """Check the connection; the error as text, "" without one."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._redis.ping()
        except Exception as error:
            return error_text(error)
        return ""

    async def close(self) -> None:
        """Finish what is being stored, and close the connections."""
        self._is_closed = True
        await self.settled()
        with contextlib.suppress(
            Exception
        ):  # a server that does not answer does not confirm either
            await self._redis.aclose()
