"""Waits for processes that are not our children: until they have exited, or have been reaped.

A process that has exited is a zombie until its parent waits for it; a zombie holds nothing but its
pid.
"""

import asyncio
import os

#: Pause between two checks of a process for which the kernel gives no descriptor, in seconds.
LOOK_SECONDS = 0.005


def is_there(pid: int) -> bool:
    """Whether the kernel knows such a process; a zombie counts."""
    return os.path.lexists(f"/proc/{pid}")


def wait_exit(pid: int) -> "asyncio.Future[None]":
    """A future that is done when a process has exited, or if there is none.

    The process is identified when this is called, so that a reused pid does not matter. Its pidfd
    becomes readable when it exits (pidfd_open(2), Linux 5.3). Where there is no pidfd to be had,
    /proc is checked until the process has been reaped, which is later by as long as its parent
    takes to wait for it. Cancelling the future closes the pidfd.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # ESRCH, or any error of a sandboxed kernel
        return asyncio.ensure_future(_wait_reaped(pid))
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not exited.done():
            exited.set_result(None)

    def close(_: object) -> None:
        loop.remove_reader(handle)
        os.close(handle)

    loop.add_reader(handle, settle)
    exited.add_done_callback(close)
    return exited


async def _wait_reaped(pid: int) -> None:
    while is_there(pid):  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(LOOK_SECONDS)


async def wait_reaped(pids: list[int]) -> None:
    """Wait, without a limit, until processes have exited and their parents have reaped them."""
    for pid in pids:
        await _wait_reaped(pid)
