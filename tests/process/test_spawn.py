"""The asyncio side of a process group: what it promises to the room to its left."""

import asyncio
import dataclasses
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poster_service.process import census
from poster_service.process.forkserver import ForkServer
from poster_service.process.spawn import Command, Ending, Group
from tests.conftest import is_shim, left, settled
from tests.process.harness import LIMIT_S, descriptors, gone, server_up
from tests.process.init_harness import INIT, program, read

INSTANCE = random.randrange(1, 1 << census.INSTANCE_BITS)


class Starter:
    """Starts groups in folders of their own, all of one instance."""

    def __init__(self, home: Path, server: ForkServer | None) -> None:
        self.home = home
        self.server = server
        self.groups: list[Group] = []
        self._leases = itertools.count(100)

    def command(self, *argv: str, **changes: Any) -> Command:
        """A command of the next lease; its folder is made."""
        lease = next(self._leases)
        folder = self.home / str(lease)
        folder.mkdir()
        command = Command(
            argv=argv or ("/bin/sleep", "86400"),
            folder=folder,
            tag=census.make_tag(INSTANCE, lease),
            environment={},
        )
        return dataclasses.replace(command, **changes)

    def __call__(self, *argv: str, **changes: Any) -> Group:
        """Start one group."""
        group = Group.start(self.command(*argv, **changes), self.server)
        self.groups.append(group)
        return group

    def sh(self, script: str) -> Group:
        """Start a shell script."""
        return self("/bin/sh", "-c", script)

    def hide(self, kind: str) -> Group:
        """Start the program that hides its descendants; descriptor 7 leads nowhere."""
        return self(*program("group_hide", kind), descriptors=((7, os.open(os.devnull, 1)),))


@pytest.fixture(params=["forked", "by-path"])
def how(request: pytest.FixtureRequest) -> str:
    """How a shim comes to be: all that a group promises holds for both."""
    reported: str = request.param
    return reported


@pytest.fixture
async def start(work_dir: Path, how: str) -> AsyncIterator[Starter]:
    """Start groups; in the end nothing may be left of any."""
    server = await server_up() if how == "forked" else None
    starter = Starter(work_dir, server)
    yield starter
    for group in starter.groups:
        group.end()
    for group in starter.groups:
        async with asyncio.timeout(LIMIT_S):
            await group.wait_gone()
    assert left(INSTANCE, work_dir) == []
    if server is not None:
        assert server.is_up, "they were run by path after all"
        server.close()


def pids() -> list[int]:
    """Live processes of this instance, but for the shims."""
    alive = [seen.pid for seen in census.tagged(INSTANCE) if not seen.zombie]
    return [pid for pid in alive if not is_shim(pid)]


# --- endings -----------------------------------------------------------------------------------


async def test_a_group_that_is_ended_is_wholly_gone_when_the_wait_returns(start: Starter) -> None:
    """No process, no zombie, no folder, and the ending says that it was asked for."""
    group = start.hide("escaped")
    assert await settled(lambda: len(pids()) == 2)
    group.end()
    ending = await gone(group)
    assert left(INSTANCE, start.home) == []
    assert (ending.clean, ending.reason, ending.leader_status) == (True, "asked", -signal.SIGKILL)
    assert ending.adopted >= 1
    assert ending.swept == 0


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", -signal.SIGSEGV)]
)
async def test_a_leader_that_leaves_by_itself_ends_its_group(
    start: Starter, script: str, status: int
) -> None:
    """The ending comes by itself, with the leader's status."""
    ending = await gone(start.sh(f"sleep 86400 & {script}"))
    assert ending == Ending(True, "exited", status, adopted=1)
    assert left(INSTANCE, start.home) == []


async def test_a_term_to_the_shim_is_distinguished(start: Starter) -> None:
    """Another process may stop a shim by TERM; that is a clean ending too."""
    group = start()
    assert await settled(lambda: len(pids()) == 1)
    os.kill(group.shim_pid, signal.SIGTERM)
    ending = await gone(group)
    assert (ending.clean, ending.reason) == (True, "term")


async def test_ending_before_the_program_runs_is_as_good(start: Starter) -> None:
    """End follows start at once: the shim has not come up, and still all goes."""
    groups = [start() for _ in range(20)]
    for group in groups:
        group.end()
    endings = [await gone(group) for group in groups]
    assert {(ending.clean, ending.reason) for ending in endings} == {(True, "asked")}


async def test_end_may_be_called_at_any_time_and_again(start: Starter) -> None:
    """Twice in life, and after the end: it does nothing then."""
    group = start()
    group.end()
    group.end()
    await gone(group)
    before = descriptors()
    group.end()
    assert descriptors() == before


async def test_a_program_that_is_not_there_is_an_exit_that_says_so(start: Starter) -> None:
    """127, as a shell has it, with the reason in what it said; nothing raises."""
    group = start("/nonexistent/chrome")
    ending = await gone(group)
    assert "/nonexistent/chrome" in group.errors()
    assert (ending.clean, ending.reason, ending.leader_status) == (True, "exited", 127)


async def test_a_folder_deeper_than_pythons_stack_does_not_hang_the_wait(start: Starter) -> None:
    """There is an ending with any folder: a lease that never ends is a slot lost."""
    command = start.command()
    dig(command.folder)
    group = Group.start(command, start.server)
    group.end()
    try:
        async with asyncio.timeout(60):
            await group.wait_gone()
    finally:
        remove(command.folder)


def dig(folder: Path) -> None:
    """Make more levels of folders than Python calls itself."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def remove(folder: Path) -> None:
    """Remove a folder of any depth."""
    subprocess.run(["rm", "-rf", folder], check=True)


# --- waiting -----------------------------------------------------------------------------------


async def test_a_cancelled_wait_spoils_no_other(start: Starter) -> None:
    """One who waits may be cancelled; those beside it and those after it get the ending."""
    group = start()
    first = asyncio.create_task(group.wait_gone())
    second = asyncio.create_task(group.wait_gone())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    group.end()
    ending = await gone(group)
    assert await second is ending
    assert await gone(group) is ending


async def test_on_gone_is_called_once_with_the_ending(start: Starter) -> None:
    """Whether it was asked for before the end or after it, and each caller of it."""
    group = start()
    calls: list[Ending] = []
    group.on_gone(calls.append)
    group.on_gone(calls.append)
    assert calls == []
    group.end()
    ending = await gone(group)
    assert await settled(lambda: len(calls) == 2)
    group.on_gone(calls.append)
    assert await settled(lambda: len(calls) == 3)
    assert calls == [ending] * 3


async def test_many_end_at_once(start: Starter) -> None:
    """Each gets its own ending."""
    groups = [start.sh(f"exit {number}") for number in range(20)]
    endings = await asyncio.gather(*map(gone, groups))
    assert [ending.leader_status for ending in endings] == list(range(20))
    assert all(ending.clean for ending in endings)


# --- what the program gets and says ------------------------------------------------------------


async def test_errors_gives_the_last_of_stderr_in_life_and_after_it(start: Starter) -> None:
    """As text, for any bytes; the folder that they were written to is gone by then."""
    group = start.sh(r"printf 'first\377 line\nthe last line \n' >&2; exec sleep 86400")
    assert await settled(lambda: "the last line" in group.errors())
    output = "first\N{REPLACEMENT CHARACTER} line\nthe last line"
    assert group.errors() == output
    group.end()
    await gone(group)
    assert group.errors() == output


async def test_errors_is_bounded(start: Starter) -> None:
    """However much a program writes, only the end of it is kept."""
    group = start.sh("for i in $(seq 5000); do echo line $i >&2; done; echo the end >&2")
    await gone(group)
    assert len(group.errors()) <= 2000
    assert group.errors().endswith("line 5000\nthe end")


async def test_descriptors_are_handed_over_and_closed_here(start: Starter) -> None:
    """The program has the only copy, so that its end is the end of the pipe."""
    reader, writer = os.pipe()
    pipe = os.readlink(f"/proc/self/fd/{writer}")  # noqa: PTH115
    group = start("/bin/sh", "-c", "echo hello >&5; exec sleep 86400", descriptors=((5, writer),))
    try:
        assert [word for word in descriptors() if word.endswith(pipe)] == [f"{reader} {pipe}"]
        assert await asyncio.to_thread(os.read, reader, 100) == b"hello\n"
        group.end()
        await gone(group)
        assert await asyncio.to_thread(os.read, reader, 100) == b""
    finally:
        os.close(reader)


async def test_nothing_of_our_environment_is_inherited(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what the command gives."""
    monkeypatch.setenv("POSTER_SECRET", "token")
    reader, writer = os.pipe()
    group = start("/usr/bin/env", environment={"ONLY": "this"}, descriptors=((1, writer),))
    try:
        await gone(group)
        reported = os.read(reader, 65536).decode().splitlines()
    finally:
        os.close(reader)
    assert [line for line in reported if not line.startswith("LC_CTYPE=")] == ["ONLY=this"]


async def test_a_shim_is_out_of_reach_of_the_terminals_ctrl_c(start: Starter) -> None:
    """Ctrl-C goes to the terminal's foreground group: the service stops, renders finish first.

    A shim in the service's own group would hear it too, and kill its Chrome in the middle.
    """
    group = start()
    assert os.getpgid(group.shim_pid) != os.getpgid(0)


# --- when it cannot be started -----------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        lambda command: dataclasses.replace(command, folder=command.folder / "missing"),
        lambda command: dataclasses.replace(command, environment={"BIG": "x" * (1 << 20)}),
        lambda command: dataclasses.replace(command, argv=["/bin/true", "x" * (1 << 20)]),
    ],
    ids=["no-folder", "environment-too-long", "argument-too-long"],
)
async def test_a_failed_start_closes_every_descriptor(
    start: Starter, spoil: Callable[[Command], Command]
) -> None:
    """OSError, and ours are closed as after a start: the caller never has to ask which."""
    command = start.command()
    before = descriptors()
    reader, writer = os.pipe()
    with pytest.raises(OSError):  # noqa: PT011 - which one is the kernel's choice
        Group.start(dataclasses.replace(spoil(command), descriptors=((3, writer),)), start.server)
    os.close(reader)
    assert descriptors() == before
    remove(command.folder)


async def test_fifty_groups_leave_descriptors_and_threads_as_they_were(start: Starter) -> None:
    """Nothing grows: no descriptor stays open, and no thread watches a child."""
    await gone(start.sh("exit 0"))
    before = descriptors(), threading.enumerate()
    for _ in range(10):
        groups = [start.sh("sleep 86400 & exit 0") for _ in range(5)]
        assert threading.enumerate() == before[1]
        for group in groups:
            await gone(group)
    assert (descriptors(), threading.enumerate()) == before


def untrusted() -> "subprocess.Popen[bytes]":
    """A child of ours that is no shim."""
    return subprocess.Popen(["sh", "-c", "exit 7"])


async def test_our_own_children_are_left_to_those_who_started_them(start: Starter) -> None:
    """Nothing here waits for a process but the shims: the status of another child is kept."""
    other = untrusted()
    assert await settled(lambda: read(Path(f"/proc/{other.pid}/stat")).split()[2:3] == ["Z"])
    await gone(start.sh("exit 0"))
    assert other.wait(LIMIT_S) == 7


# --- when the shim is killed -------------------------------------------------------------------


class Service:
    """A service in small, below our init, with one group."""

    def __init__(self, how: str, home: Path, *command: str) -> None:
        self.folder = home / "1"
        self.folder.mkdir()
        self.nowhere = os.open(os.devnull, os.O_WRONLY)
        tag = census.make_tag(INSTANCE, 1)
        serve = program("group_serve", how, self.folder, tag, self.nowhere)
        self.process = subprocess.Popen(
            [*INIT, "--", sys.executable, *serve[4:], "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self.nowhere],
            env={"PATH": os.environ["PATH"]},
        )
        self.shim = int(self.read_message()["shim"])

    def read_message(self) -> dict[str, Any]:
        """The next line it prints."""
        assert self.process.stdout is not None
        reported: dict[str, Any] = json.loads(self.process.stdout.readline())
        return reported

    def close(self) -> None:
        """End it, by way of init: a test that failed may have left its group alive."""
        os.close(self.nowhere)
        self.process.terminate()
        self.process.communicate(timeout=LIMIT_S)


@pytest.fixture
def serve(work_dir: Path, how: str) -> Iterator[Callable[..., Service]]:
    """Start small services; in the end nothing may be left."""
    services: list[Service] = []

    def one(*command: str) -> Service:
        services.append(Service(how, work_dir, *command))
        return services[-1]

    yield one
    for service in services:
        service.close()
    assert left(INSTANCE, work_dir) == []


@pytest.mark.parametrize(
    ("kind", "swept"), [("nothing", 0), ("escaped", 1), ("stopped", 1), ("deaf", 1)]
)
async def test_a_killed_shim_is_an_unclean_ending_that_is_swept(
    serve: Callable[..., Service], work_dir: Path, kind: str, swept: int
) -> None:
    """The leader dies with it, the tag finds the rest, and the folder is removed all the same."""
    service = serve(*program("group_hide", kind))
    in_place = 1 if kind == "nothing" else 2
    assert await settled(lambda: len(pids()) >= in_place and _in_place(kind))
    os.kill(service.shim, signal.SIGKILL)
    reported = await asyncio.to_thread(service.read_message)
    assert not service.folder.exists()
    assert (reported["clean"], reported["reason"], reported["leader_status"]) == (
        False,
        "lost",
        None,
    )
    assert reported["swept"] >= swept
    assert await settled(lambda: left(INSTANCE, work_dir) == [])


def _in_place(kind: str) -> bool:
    """Whether the hidden one is where it wants to be: no more intermediate process there."""
    names = sorted(seen.name for seen in census.tagged(INSTANCE))
    return "sleep" in names if kind == "escaped" else True


async def test_the_backstop_does_not_touch_another_lease(
    serve: Callable[..., Service], start: Starter, work_dir: Path
) -> None:
    """It sweeps by the lease's own tag."""
    other = start()
    assert other.command.tag != census.make_tag(INSTANCE, 1)
    service = serve(*program("group_hide", "escaped"))
    assert await settled(lambda: len(pids()) == 3)
    os.kill(service.shim, signal.SIGKILL)
    await asyncio.to_thread(service.read_message)
    assert await settled(
        lambda: {seen.tag for seen in census.tagged(INSTANCE)} == {other.command.tag}
    )
    assert other.command.folder.is_dir()


async def test_the_search_finds_what_is_left_on_purpose(start: Starter, work_dir: Path) -> None:
    """A running group is named by processes and folder: the search at the end can fail."""
    group = start()
    assert await settled(lambda: len(left(INSTANCE, work_dir)) == 3)
    *alive, folder = left(INSTANCE, work_dir)
    assert all(word.startswith("alive: ") for word in alive)
    assert folder == f"folder: {group.command.folder.name}"


async def test_the_loop_is_never_made_to_wait(start: Starter) -> None:
    """While a group ends, everything else goes on: the wait is no blocking call."""
    group = start.hide("escaped")
    assert await settled(lambda: len(pids()) == 2)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside: Awaitable[None] = asyncio.ensure_future(others())
    group.end()
    await gone(group)
    assert isinstance(beside, asyncio.Future)
    beside.cancel()
    assert turns > 1
