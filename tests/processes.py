"""Processes that tests inspect and end: any of them may exit between two lines of a test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import psutil

from tests.conftest import SETTLE_SECONDS


def tree(pid: int) -> list[psutil.Process]:
    """A process and everything below it; empty when it is gone."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def seconds_of_cpu(pid: int) -> float:
    """CPU so far of a process and everything below it that lives, in seconds."""
    found = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            found += used.user + used.system
    return found


def name_of(process: psutil.Process) -> str:
    """The name of a process; empty when it is gone."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def signal_all(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to each process that is still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def end(process: asyncio.subprocess.Process, seconds: float = 3 * SETTLE_SECONDS) -> bool:
    """Terminate a process that a test started, and wait for it; False when it had to be killed.

    A failed test may have left it, or a process below it, stopped. Stopped processes handle no
    SIGTERM, so all are continued first; otherwise the cleanup would hang and hide the failure.
    """
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    for one in tree(process.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.resume()
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return True


@contextlib.asynccontextmanager
async def running(*command: str, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process for the time of a block, with what `create_subprocess_exec` takes.

    A block that fails has it ended, too: else it would be a failure of the next test that its pipes
    are still open.
    """
    process = await asyncio.create_subprocess_exec(*command, **how)
    try:
        yield process
    finally:
        if process.returncode is None:
            await end(process)
