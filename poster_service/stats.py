"""Small frozen numbers that one room makes and another shows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """How long each phase of one render took, in milliseconds, in the order they came."""

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
