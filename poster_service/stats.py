"""Small records of renders and counts, which one layer writes and another shows."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


class Phases:
    """The times of one render's phases.

    Attributes:
        milliseconds: How long each phase took, in the order in which they began.
        spans: Each phase with its begin and end, in seconds of `time.perf_counter`; one that had
            several parts is there with each of them.
    """

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self.spans: list[tuple[str, float, float]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside, whether it succeeds or not."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            end = time.perf_counter()
            self.spans.append((name, begin, end))
            took = (end - begin) * 1000
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + took

    def server_timing(self) -> str:
        """The value of a Server-Timing header (W3C Server Timing)."""
        return ", ".join(f"{name};dur={took:.1f}" for name, took in self.milliseconds.items())


@dataclass(frozen=True)
class Done:
    """One render that has ended, with or without success.

    Attributes:
        outcome: "ok", "cancelled", or the stable code of the error.
        format: Encoding asked for; "several" for several outputs.
        seconds: From the arrival of the request to the end of the render, queueing included.
        milliseconds: The phases, in the order of their begin.
        size: Bytes of the picture; 0 when there is none.
        script_errors: The errors of the page's scripts, without the page's text.
    """

    outcome: str
    format: str
    seconds: float
    milliseconds: Mapping[str, float]
    size: int = 0
    script_errors: tuple[str, ...] = ()


def ignore(*_: object) -> None:
    """The observer that ignores everything."""


class InFlight:
    """Counts what is under way, and waits until nothing is."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @property
    def count(self) -> int:
        """How many are under way."""
        return self._count

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count one more while inside."""
        self._count += 1
        self._none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def wait_none(self) -> None:
        """Wait until nothing is under way."""
        await self._none.wait()
