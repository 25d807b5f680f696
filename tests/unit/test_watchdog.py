"""A stuck event loop is told, and one that stays stuck ends the service."""

import asyncio
import logging
import subprocess
import sys
import time

import pytest

from poster_service.watchdog import WEDGED, Watchdog
from tests.conftest import settled

STUCK_FOR_EVER = """
import asyncio, time
from poster_service.watchdog import Watchdog

async def main():
    Watchdog(0.05, 0.3).start()
    await asyncio.sleep(0)
    while True:
        time.sleep(1)

asyncio.run(main())
"""


async def test_a_stall_is_told_once_with_what_the_loop_is_stuck_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has the stack; the counter has one more, and not one more a tick."""
    watchdog = Watchdog(0.05, 60)
    watchdog.start()
    await asyncio.sleep(0)
    time.sleep(0.5)  # noqa: ASYNC251 - blocking the loop is what is tested
    assert await settled(lambda: watchdog.longest > 0.3)
    await watchdog.stop()
    assert watchdog.stalls == 1
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert "time.sleep(0.5)" in record.__dict__["fields"]["stack"]


async def test_a_loop_that_turns_is_never_told_of() -> None:
    """Many short waits are no stall."""
    watchdog = Watchdog(5, 60)
    watchdog.start()
    for _ in range(100):
        await asyncio.sleep(0.005)
    await watchdog.stop()
    assert watchdog.stalls == 0


def test_a_loop_wedged_for_good_ends_the_process_with_its_status() -> None:
    """70, so that whoever restarts it knows why; the stack is on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK_FOR_EVER], capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == WEDGED
    assert "wedged" in done.stderr
