"""When a process that is not our child has died: by its descriptor, without asking again and again.

Dead is not gone: until its parent has waited for it, it is a zombie, which holds nothing but its
number.
"""

import asyncio
import os

#: Pause between two looks at a process of which the kernel gives no descriptor, in seconds.
LOOK_SECONDS = 0.005


def is_there(pid: int) -> bool:
    """Whether the kernel knows such a process, dead ones that nobody waited for too."""
    return os.path.lexists(f"/proc/{pid}")


def wait_exit(pid: int) -> "asyncio.Future[None]":
    """Done when a process has died, or if there is none; which one is settled at once.

    A descriptor that names the process becomes readable when it dies (pidfd_open(2), Linux 5.3).
    Where there are none, or no more, /proc is looked at until the process is gone altogether, which
    is later by as long as its parent takes to wait for it.
    Cancelling it gives the descriptor back.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # ESRCH, and whatever a sandboxed kernel has to say
        return asyncio.ensure_future(_gone(pid))
    loop = asyncio.get_running_loop()
    died: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not died.done():
            died.set_result(None)

    def give_back(_: object) -> None:
        loop.remove_reader(handle)
        os.close(handle)

    loop.add_reader(handle, tell)
    died.add_done_callback(give_back)
    return died


async def _gone(pid: int) -> None:
    while is_there(pid):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(LOOK_SECONDS)


async def gone(pids: list[int]) -> None:
    """Wait until nothing is left of processes, not even zombies; for as long as it takes."""
    for pid in pids:
        await _gone(pid)
