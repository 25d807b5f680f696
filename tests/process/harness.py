"""Helpers of the tests of processes: the fork server, deep folders, control groups."""

import asyncio
import os
import signal
from pathlib import Path
from typing import NoReturn

import pytest

from poster_service.process import cgroup
from poster_service.process.forkserver import ForkServer
from poster_service.process.spawn import Ending, Group
from tests.conftest import settled


def cannot(reason: str) -> NoReturn:
    """Skip the test with a reason; where CI is set, fail instead."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def group_v2(name: str) -> Path:
    """A new control group of version 2, whose files are there even without any controller."""
    mounts = cgroup._cgroup_mounts(Path("/proc/self/mountinfo").read_text())
    roots = [mount for kind, _, _, mount in mounts if kind == "cgroup2"]
    group = (roots or [Path("/nowhere")])[0] / f"poster-test-{name}-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        cannot(f"no writable cgroup v2: {error}")
    return group


def dig(folder: Path, levels: int, name: str) -> None:
    """Create nested folders with a file in each, by descriptor: the path would be too long."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)


def is_known(pidfd: int) -> bool:
    """Whether the kernel still has the process, be it as a zombie."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    return True


LIMIT_S = 60.0


async def server_up() -> ForkServer:
    """A running fork server."""
    server = ForkServer()
    server.start()
    assert await settled(lambda: server.is_up)
    return server


async def gone(group: Group) -> Ending:
    """The ending, within a limit."""
    async with asyncio.timeout(LIMIT_S):
        return await group.wait_gone()


def descriptors() -> list[str]:
    """What this process has open, by kind; the listing itself is left out."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(f"{link.name} {link.readlink()}")
        except OSError:
            continue
    return sorted(found)
