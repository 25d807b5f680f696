"""DNS lookups: as the system does them, without threads, and cancelled with their task."""

import asyncio
import os
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest

from poster_service.fetch.lookups import look_up


def sockets() -> Counter[str]:
    """The sockets that this process has open."""
    found: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink() and os.path.lexists(entry):
            try:
                found[str(entry.readlink()).partition(":")[0]] += 1
            except OSError:  # the folder itself was open as one of them
                continue
    return Counter({"socket": found["socket"]})


async def test_the_hosts_file_is_read() -> None:
    """`localhost` of both families, and of one where only that is asked for."""
    found = await look_up("localhost", socket.AF_INET)
    assert found == [(socket.AF_INET, "127.0.0.1")]
    assert {address for _, address in await look_up("localhost")} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "name", ["nowhere.invalid", "INVALID.", "a..b", "x" * 64 + ".test", "", ".", "a." * 200, "\x00"]
)
async def test_what_is_no_name_is_a_gaierror(name: str) -> None:
    """For all names that a page makes up; `.invalid` (RFC 6761) is not even asked for."""
    with pytest.raises(OSError):  # noqa: PT011 - its words are c-ares's
        async with asyncio.timeout(60):
            await look_up(name)


async def test_a_look_up_that_is_cut_off_leaves_nothing() -> None:
    """No thread, no socket, no timer: its task was all that it had."""
    before, threads = sockets(), threading.active_count()
    tasks = [asyncio.ensure_future(look_up(f"n{i}.example.test")) for i in range(50)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for _ in range(500):
        if sockets() == before:
            break
        await asyncio.sleep(0.01)
    assert sockets() == before
    assert threading.active_count() <= threads + 1  # c-ares frees its channels in one of its own
