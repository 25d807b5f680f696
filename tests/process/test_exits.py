"""The status of a death, of processes that are not our children."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poster_service.process.exits import is_there, wait_exit, wait_reaped

#: Starts a process that sleeps, tells its number, and waits for it only after a line on stdin.
PARENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
sys.stdin.readline()
child.wait()
print("waited", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[str]"]:
    """The parent of the process that is watched."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        yield one
        one.kill()


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _line(parent: "subprocess.Popen[str]") -> str:
    assert parent.stdout is not None
    return parent.stdout.readline().strip()


def _send_line(parent: "subprocess.Popen[str]") -> None:
    assert parent.stdin is not None
    parent.stdin.write("\n")
    parent.stdin.flush()


async def test_a_zombie_is_dead_and_not_gone(parent: "subprocess.Popen[str]") -> None:
    """Reported when it dies; gone only when its parent has waited."""
    pid = int(await asyncio.to_thread(_line, parent))
    died = wait_exit(pid)
    await asyncio.sleep(0.05)
    assert not died.done()
    os.kill(pid, 9)
    await asyncio.wait_for(died, 60)
    assert is_there(pid)
    going = asyncio.ensure_future(wait_reaped([pid]))
    await asyncio.sleep(0.05)
    assert not going.done()
    _send_line(parent)
    await asyncio.wait_for(going, 60)
    assert not is_there(pid)
    await asyncio.wait_for(wait_exit(pid), 60)  # of one that is not there, at once


async def test_without_descriptors_it_is_looked_at(
    parent: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel has none to give, dead is known when it is gone."""

    def refuse(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    pid = int(await asyncio.to_thread(_line, parent))
    died = wait_exit(pid)
    os.kill(pid, 9)
    await asyncio.sleep(0.05)
    assert not died.done()
    _send_line(parent)
    await asyncio.wait_for(died, 60)


async def test_a_caller_that_stops_waiting_gives_the_descriptor_back(
    parent: "subprocess.Popen[str]",
) -> None:
    """Nothing is left open, and nothing is heard any more."""
    pid = int(await asyncio.to_thread(_line, parent))
    before = _descriptors()
    died = wait_exit(pid)
    died.cancel()
    await asyncio.sleep(0)
    assert _descriptors() == before
    os.kill(pid, 9)
    _send_line(parent)
