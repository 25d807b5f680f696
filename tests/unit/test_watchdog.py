"""A stuck event loop is logged, and one that stays stuck ends the service."""

import asyncio
import logging
import signal
import subprocess
import sys
import time

import pytest

from poster_service.watchdog import EXIT_STALLED, Watchdog
from tests.conftest import SETTLE_SECONDS

#: Runs under a watchdog that ends it after 0.6 s, on a loop whose timers count only what it ran.
PAUSED = """
import asyncio, logging, signal
from poster_service.clock import PauseAwareLoop, skipped
from poster_service.watchdog import Watchdog

class Handler(logging.StreamHandler):
    def emit(self, record):
        super().emit(record)
        loop.call_soon_threadsafe(logged.set)

async def main():
    global loop
    loop = asyncio.get_running_loop()
    logging.getLogger().addHandler(Handler())
    Watchdog(0.2, 0.6).start()
    loop.add_signal_handler(signal.SIGUSR1, going.set)
    try:
        async with asyncio.timeout(5):  # the pause alone is longer
            print("ready", flush=True)
            await going.wait()
    except TimeoutError:
        print("out of time")
    print("skipped" if skipped() > 2 else "nothing skipped")
    await asyncio.wait_for(logged.wait(), 60)  # or the process could end before the watchdog's turn

going, logged = asyncio.Event(), asyncio.Event()
with asyncio.Runner(loop_factory=PauseAwareLoop) as runner:
    runner.run(main())
"""

#: Keeps the interpreter to itself, so that the watchdog's thread has no turn, and comes back.
GREEDY = """
import asyncio, re, time
from poster_service.watchdog import Watchdog

async def main():
    watchdog = Watchdog(0.1, 600)
    watchdog.start()
    await asyncio.sleep(0)
    begin = time.monotonic()
    while time.monotonic() < begin + 1:
        re.match("(a+)+b", "a" * 24)
    while watchdog.longest < 0.3 and time.monotonic() < begin + 20:
        re.match("(a+)+b", "a" * 22)
    print(watchdog.longest > 0.3)

asyncio.run(main())
"""

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

#: Stuck with the lock of the log's own handler.
STUCK_WITH_LOG = """
import asyncio, logging, time
from poster_service import logs
from poster_service.watchdog import Watchdog

async def main():
    logs.set_up("info", "json")
    Watchdog(0.05, 0.3).start()
    await asyncio.sleep(0)
    logging.getLogger().handlers[0].acquire()
    while True:
        time.sleep(1)

asyncio.run(main())
"""


async def test_a_stall_is_reported_once_with_what_the_loop_is_stuck_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has the stack; the counter has one more, and not one more a tick."""
    watchdog = Watchdog(0.05, 60)
    watchdog.start()
    await asyncio.sleep(0)
    give_up = time.monotonic() + SETTLE_SECONDS
    while watchdog.longest < 0.3 and time.monotonic() < give_up:
        time.sleep(0.5)  # noqa: ASYNC251 - blocking the loop is what is tested
    assert watchdog.longest > 0.3
    await watchdog.stop()
    assert watchdog.stalls == 1
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert "time.sleep(0.5)" in record.__dict__["fields"]["stack"]


async def test_a_loop_that_turns_is_never_reported() -> None:
    """Many short waits are no stall."""
    watchdog = Watchdog(5, 60)
    watchdog.start()
    for _ in range(100):
        await asyncio.sleep(0.005)
    await watchdog.stop()
    assert watchdog.stalls == 0


def test_a_loop_blocked_for_good_ends_the_process_with_its_status() -> None:
    """70, so that a supervisor that restarts it knows why; the stack is on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK_FOR_EVER], capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == EXIT_STALLED
    assert "stays blocked" in done.stderr


def test_not_even_the_lock_of_the_log_keeps_a_blocked_process_from_its_end() -> None:
    """The line is lost, the status is not."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK_WITH_LOG], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == EXIT_STALLED


def test_a_loop_that_keeps_the_interpreter_to_itself_is_stuck() -> None:
    """The watchdog has no turn then either; the CPU tells that it was no pause."""
    done = subprocess.run(
        [sys.executable, "-c", GREEDY], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "True\n", done.stderr


def test_a_pause_is_no_stall_and_takes_no_time_from_a_render() -> None:
    """Stopped for ten times as long as a loop may be stuck, and longer than a timer runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", PAUSED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(6)  # the pause itself
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "skipped\n"), err
    assert "did not run" in err
