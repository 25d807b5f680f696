"""Small frozen numbers that one room makes and another shows."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


class Phases:
    """The times of one render's phases.

    Attributes:
        milliseconds: How long each phase took, in the order in which they began.
    """

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside, whether it succeeds or not."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            took = (time.perf_counter() - begin) * 1000
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + took

    def server_timing(self) -> str:
        """The value of a Server-Timing header (W3C Server Timing)."""
        return ", ".join(f"{name};dur={took:.1f}" for name, took in self.milliseconds.items())


@dataclass(frozen=True)
class Done:
    """One render that has ended, however it ended; told to whoever counts.

    Attributes:
        outcome: "ok", "cancelled", or the stable code of the error.
        format: Encoding asked for.
        seconds: From the job's arrival to its end, waiting included.
        milliseconds: The phases, in the order they came.
        size: Bytes of the picture; 0 when there is none.
        script_errors: What went wrong in the page's scripts, without its words.
    """

    outcome: str
    format: str
    seconds: float
    milliseconds: Mapping[str, float]
    size: int = 0
    script_errors: tuple[str, ...] = ()


def ignore(*_: object) -> None:
    """Nobody counts."""


class InFlight:
    """How many of something are under way, and a wait for none."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @property
    def count(self) -> int:
        """How many there are."""
        return self._count

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more while inside."""
        self._count += 1
        self._none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def wait_none(self) -> None:
        """Wait until there is none."""
        await self._none.wait()
