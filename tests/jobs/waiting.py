"""Waits for what an answer has to show; never for a time."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable

#: Longer than anything takes on a machine with ten times more work than cores.
PATIENCE_SECONDS = 90.0


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS
) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not, in a time that must be enough.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while not await condition():
        if loop.time() > give_up:
            raise TimeoutError(f"not within {seconds:g} s: {condition}")
        await asyncio.sleep(0.05)


def until_up(
    process: subprocess.Popen[bytes], answers: Callable[[], bool], name: str, seconds: float
) -> None:
    """Wait until a server that was started answers; its end and a time without an answer fail."""
    give_up = time.monotonic() + seconds
    while not answers():
        assert process.poll() is None, f"{name} ended"
        assert time.monotonic() < give_up, f"{name} does not answer"
        time.sleep(0.1)
