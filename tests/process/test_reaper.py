"""A killed helper that does not end delays no caller, and is reaped when it does end."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from poster_service.process import reaper
from poster_service.process.forkserver import ForkServer
from poster_service.process.spawn import Command, Group
from tests.conftest import REAPS_AT_ONCE_SECONDS, settled
from tests.process.harness import cannot, server_up
from tests.process.init_harness import program

#: Far longer than any of these may hold up the loop; it would be for ever.
LIMIT_SECONDS = 30.0


@pytest.fixture(autouse=True)
def _frozen_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a service; other tests wait."""
    monkeypatch.setattr(reaper, "AT_ONCE_SECONDS", REAPS_AT_ONCE_SECONDS)


@contextlib.asynccontextmanager
async def held(pid: int, how: str) -> AsyncIterator[None]:
    """Keep a process from ending, or its parent from its status; let go at the end."""
    if how == "frozen":
        group = freezer()
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        assert await settled(lambda: "FROZEN" in (group / "freezer.state").read_text())
        try:
            yield
        finally:
            (group / "freezer.state").write_text("THAWED")
            assert await settled(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()
        return
    words = [sys.executable, program("tracer")[-1], str(pid), how]
    tracer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert tracer.stdout is not None
    if tracer.stdout.readline() != b"seized\n":
        cannot("no process can be traced here")
    try:
        yield
    finally:
        tracer.communicate()


def freezer() -> Path:
    """A new control group of the freezer of version 1."""
    group = Path(f"/sys/fs/cgroup/freezer/poster-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        cannot(f"no writable freezer of cgroup v1: {error}")
    return group


KINDS = pytest.mark.parametrize("how", ["frozen", "exit", "zombie"])


@KINDS
async def test_a_server_that_does_not_end_is_left_and_collected_later(how: str) -> None:
    """Closing it comes back; there is another one at once; no zombie stays in the end."""
    server = await server_up()
    pid = server.pid
    assert pid is not None
    loop = asyncio.get_running_loop()
    async with held(pid, how):
        begin = loop.time()
        server.close()
        assert loop.time() - begin < LIMIT_SECONDS
        assert psutil.pid_exists(pid)
        server.start()
        assert await settled(lambda: server.is_up)
    assert await settled(lambda: not psutil.pid_exists(pid))
    server.close()


@KINDS
async def test_a_shim_that_does_not_end_holds_up_no_other(work_dir: Path, how: str) -> None:
    """Its group's ending comes all the same; it is collected when it is let go."""
    server: ForkServer = await server_up()
    folder = work_dir / "1"
    folder.mkdir()
    command = Command(("/bin/sleep", "86400"), folder, 0, {}, end_seconds=0.5)
    group = Group.start(command, server)
    assert await settled(lambda: len(psutil.Process(group.shim_pid).children()) == 1)
    async with held(group.shim_pid, how):
        turns = 0
        group.end()
        ending = asyncio.ensure_future(group.wait_gone())
        while not ending.done() and turns < 3000:
            turns += 1
            await asyncio.sleep(0.01)
        assert ending.done()
        assert (ending.result().clean, ending.result().reason) == (False, "late")
    assert await settled(lambda: not psutil.pid_exists(group.shim_pid))
    server.close()
    assert not folder.exists()
