"""Collects the status of a killed child of ours without ever waiting for one that does not die.

SIGKILL is certain, its moment is not: a process in a frozen control group dies when it is thawed,
and of one under a tracer the parent gets no status until the tracer lets go, dead though it is
(ptrace(2)). Neither may hold up the event loop.
"""

import asyncio
import logging
import os
import select
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: How long the loop stands still for a killed child, in seconds; as a rule it takes a few
#: milliseconds to die.
AT_ONCE_SECONDS = 0.05
#: Longest pause between two attempts to collect the status of a child that is dead and traced, in
#: seconds.
RETRY_SECONDS = 0.5


def see_out(
    pid: int, poll: Callable[[], int | None], pidfd: int, loop: asyncio.AbstractEventLoop | None
) -> None:
    """Collect the status of a child that was sent SIGKILL: now, or when the kernel gives it.

    Args:
        pid: Its number, for the log.
        poll: Collects its status without waiting; None while there is none to be had.
        pidfd: The descriptor that names it, owned from here on; -1 where there is none.
        loop: The loop that goes on watching it; without one it is left to our own parent.
    """
    if _collected_at_once(pidfd, poll):
        close(pidfd)
        return
    logger.warning("killed process %d does not end: it is frozen or traced; not waited for", pid)
    if loop is None or loop.is_closed():
        close(pidfd)
        return
    if pidfd < 0:
        retry(loop, poll)
        return

    def died() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        retry(loop, poll)

    loop.add_reader(pidfd, died)


def retry(
    loop: asyncio.AbstractEventLoop, poll: Callable[[], int | None], pause: float = 0.01
) -> None:
    """Collect the status of a dead child, again and again until it is there."""
    if poll() is None and not loop.is_closed():
        loop.call_later(pause, retry, loop, poll, min(2 * pause, RETRY_SECONDS))


def _collected_at_once(pidfd: int, poll: Callable[[], int | None]) -> bool:
    """Whether a child has died and its status was to be had, within AT_ONCE_SECONDS."""
    give_up = time.monotonic() + AT_ONCE_SECONDS
    death = select.poll()
    if pidfd >= 0:
        death.register(pidfd, select.POLLIN)
        death.poll(AT_ONCE_SECONDS * 1000)
        death.unregister(pidfd)
    while poll() is None:
        if time.monotonic() > give_up:
            return False
        death.poll(1)  # where no descriptor tells of its death, or a tracer holds it back
    return True


def close(pidfd: int) -> None:
    """Close a descriptor, if there is one."""
    if pidfd >= 0:
        os.close(pidfd)
