"""The helpers of tests end processes in any state in which a failed test has left them."""

import asyncio
import os
import signal
import sys

from tests.conftest import settled
from tests.processes import end, name_of, signal_all, tree

#: Starts a child, stops on SIGTERM only after the child has exited, as init does.
WAITS = """
import signal, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
print("ready", flush=True)
child.wait()
"""
#: Ignores SIGTERM.
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""


async def started(code: str) -> asyncio.subprocess.Process:
    """A Python program that is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_a_stopped_process_and_its_stopped_child_are_ended() -> None:
    """Each would hang the cleanup: the parent handles no signal, the child does not exit."""
    process = await started(WAITS)
    below = tree(process.pid)
    assert len(below) == 2
    signal_all(below, signal.SIGSTOP)
    assert await end(process)
    assert process.returncode == 0
    assert await settled(lambda: not any(one.is_running() for one in below))


async def test_a_process_that_ignores_the_signal_is_killed() -> None:
    """And the caller learns that it did not end by itself."""
    process = await started(DEAF)
    assert not await end(process, seconds=0.2)
    assert process.returncode == -signal.SIGKILL


async def test_processes_that_are_gone_do_no_harm() -> None:
    """They are no tree, have no name and get no signal."""
    process = await started(WAITS)
    below = tree(process.pid)
    assert await end(process)
    assert await settled(lambda: not any(one.is_running() for one in below))
    assert tree(process.pid) == []
    assert [name_of(one) for one in below] == ["", ""]
    signal_all(below, signal.SIGKILL)
    assert await end(process)
    assert name_of(tree(os.getpid())[0]) != ""
