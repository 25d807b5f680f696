"""Collects the status of a killed child without ever blocking on one that does not exit.

SIGKILL is certain, but not its moment: a process in a frozen control group dies when it is thawed,
and the parent of a traced process gets no status until the tracer detaches, although the process is
dead (ptrace(2)). Neither may block the event loop.
"""

import asyncio
import logging
import os
import select
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: How long the event loop may block for a killed child, in seconds; mostly it exits within a few
#: milliseconds.
AT_ONCE_SECONDS = 0.05
#: Longest pause between two attempts to collect the status of a dead, traced child, in seconds.
RETRY_SECONDS = 0.5


def collect(
    pid: int, poll: Callable[[], int | None], pidfd: int, loop: asyncio.AbstractEventLoop | None
) -> None:
    """Collect the status of a child that was sent SIGKILL: now, or when the kernel has it.

    Args:
        pid: Its pid, for the log.
        poll: Collects its status without waiting; returns None while there is none.
        pidfd: Its pidfd, which this function closes; -1 where there is none.
        loop: Watches it if it does not exit now; without a loop it is left to our own parent.
    """
    if _collected_at_once(pidfd, poll):
        close(pidfd)
        return
    logger.warning(
        "killed process %d has not exited: it is frozen or traced; not waiting for it", pid
    )
    if loop is None or loop.is_closed():
        close(pidfd)
        return
    if pidfd < 0:
        retry(loop, poll)
        return

    def exited() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        retry(loop, poll)

    loop.add_reader(pidfd, exited)


def retry(
    loop: asyncio.AbstractEventLoop, poll: Callable[[], int | None], pause: float = 0.01
) -> None:
    """Try to collect the status of a dead child at intervals until it is there."""
    if poll() is None and not loop.is_closed():
        loop.call_later(pause, retry, loop, poll, min(2 * pause, RETRY_SECONDS))


def _collected_at_once(pidfd: int, poll: Callable[[], int | None]) -> bool:
    """Whether a child exited and its status was collected within AT_ONCE_SECONDS."""
    give_up = time.monotonic() + AT_ONCE_SECONDS
    exit_ = select.poll()
    if pidfd >= 0:
        exit_.register(pidfd, select.POLLIN)
        exit_.poll(AT_ONCE_SECONDS * 1000)
        exit_.unregister(pidfd)
    while poll() is None:
        if time.monotonic() > give_up:
            return False
        exit_.poll(1)  # where there is no pidfd, or a tracer holds the status back
    return True


def close(pidfd: int) -> None:
    """Close a descriptor, if there is one."""
    if pidfd >= 0:
        os.close(pidfd)
