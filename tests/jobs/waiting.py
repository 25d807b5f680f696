"""Waits for what an answer has to show; never for a time."""

import asyncio
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
