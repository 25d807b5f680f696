"""The server that forks shims: what it forks is ours, and nothing hangs on its life.

What a group promises for both ways in which its shim starts is in `test_spawn.py`.
"""

import asyncio
import errno
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from poster_service.process import census, forkserver
from poster_service.process.forkserver import Forked, ForkServer, by_path
from poster_service.process.spawn import Command, Group
from tests.conftest import left, settled
from tests.process.harness import descriptors, gone
from tests.process.init_harness import program

INSTANCE = random.randrange(1, 1 << census.INSTANCE_BITS)


class Programs:
    """The command lines of servers, as by path until one is to go wrong."""

    def __init__(self) -> None:
        #: What goes wrong (see `programs/forkserver_fails.py`); "" for nothing.
        self.kind = ""

    def __call__(self, *words: str) -> list[str]:
        if not self.kind:
            return by_path(*words)
        return [sys.executable, *program("forkserver_fails", self.kind)[-2:], *words]


@pytest.fixture
def programs() -> Programs:
    """What the servers of a test run."""
    return Programs()


@pytest.fixture
async def server(programs: Programs) -> AsyncIterator[ForkServer]:
    """A server that is up; it is closed in the end, and no child of ours is left over by it."""
    before = children()
    one = ForkServer(programs)
    one.start()
    await up(one)
    yield one
    one.close()
    assert children() <= before


def children() -> set[int]:
    """Our children, the dead too."""
    return {one.pid for one in psutil.Process().children()}


async def up(server: ForkServer) -> None:
    """Wait until it is."""
    assert await settled(lambda: server.is_up)


class Starter:
    """Starts programs by one server, each in a folder of its own."""

    def __init__(self, home: Path, server: ForkServer) -> None:
        self.home = home
        self.server = server
        self.groups: list[Group] = []

    def __call__(self, *argv: str, **changes: Any) -> Group:
        lease = 1 + len(self.groups)
        folder = self.home / str(lease)
        folder.mkdir(exist_ok=True)
        argv = argv or ("/bin/sleep", "86400")
        tag = census.make_tag(INSTANCE, lease)
        given: dict[str, Any] = {"environment": {}, **changes}
        self.groups.append(Group.start(Command(argv, folder, tag, **given), self.server))
        return self.groups[-1]


@pytest.fixture
async def start(work_dir: Path, server: ForkServer) -> AsyncIterator[Starter]:
    """Start programs; nothing may be left of any."""
    starter = Starter(work_dir, server)
    yield starter
    for group in starter.groups:
        group.end()
        await gone(group)
    starter.server.close()
    assert left(INSTANCE, work_dir) == []


async def failing(start: Starter, programs: Programs, kind: str) -> None:
    """Let this server and the next ones be such that something goes wrong; shims are as ever."""
    programs.kind = kind
    start.server.close()
    start.server.start()
    if kind != "dies-first":
        await up(start.server)


def is_forked(group: Group) -> bool:
    """How its shim came to be; the command line of one by path has its own words."""
    words = " ".join(psutil.Process(group.shim_pid).cmdline())
    return "serve=" in words and "control=" not in words


# --- what it forks -----------------------------------------------------------------------------


async def test_a_forked_shim_is_our_child_in_a_session_of_its_own(start: Starter) -> None:
    """We wait for it, and no signal of our terminal reaches it; `ps` names it."""
    shim = psutil.Process(start().shim_pid)
    assert shim.ppid() == os.getpid()
    assert await settled(lambda: shim.name() == "poster-shim")
    # The server that forked it has that name, too, so it may not have come to its session yet.
    assert await settled(lambda: os.getsid(shim.pid) == os.getpgid(shim.pid) == shim.pid)


async def test_what_the_program_sees_does_not_tell_how_its_shim_came_to_be(start: Starter) -> None:
    """Descriptors, environment, signals, limits: the same as below a shim that is run by path."""
    reported = []
    for server in (start.server, None):
        start.server, kept = server, start.server  # type: ignore[assignment] # None is for Group
        answers, answer = os.pipe()
        argv = [sys.executable, "-I", "-S", *program("group_tell", 9)[-2:]]
        nowhere = os.open(os.devnull, os.O_WRONLY)
        group = start(*argv, environment={"漢": "字"}, descriptors=((9, answer), (40, nowhere)))
        start.server = kept
        assert (await gone(group)).leader_status == 0, group.errors()
        one = json.loads(os.read(answers, 65536))
        os.close(answers)
        assert one.pop("pid") == one.pop("session") == one.pop("group")
        assert one.pop("parent") == group.shim_pid
        assert one.pop("tag") == group.command.tag
        assert one.pop("folder") == one["descriptors"].pop("2").removesuffix("/stderr")
        assert one["descriptors"].pop("9").startswith("pipe:")
        reported.append(one)
    assert reported[0] == reported[1]
    assert set(reported[0]["descriptors"].values()) == {os.devnull}


async def test_a_server_serves_many_and_holds_nothing_of_them(start: Starter) -> None:
    """Neither it nor we keep a descriptor; thirty at once are thirty programs."""
    await gone(start("/bin/true"))
    pid = start.server.pid
    assert pid is not None
    server, before = psutil.Process(pid), descriptors()
    open_before = server.num_fds()
    groups = [start() for _ in range(30)]
    assert await settled(lambda: sum("sleep" in one.name for one in census.tagged(INSTANCE)) == 30)
    for group in groups:
        group.end()
    for group in groups:
        assert (await gone(group)).clean
    assert descriptors() == before
    assert server.num_fds() == open_before
    assert server.num_threads() == 1
    assert server.children() == []


async def test_the_server_carries_no_tag_and_leads_a_session(start: Starter) -> None:
    """No sweep takes it for what a lease left, and no Ctrl-C ends it."""
    start()
    assert start.server.pid is not None
    assert census.tag_of(start.server.pid) in (0, -1)  # -1 is the kernel's "no limit"
    assert os.getsid(start.server.pid) == start.server.pid


# --- when it dies ------------------------------------------------------------------------------


async def test_nothing_is_lost_with_a_server_that_dies_at_rest(start: Starter) -> None:
    """What it forked lives on, it does not stay a zombie, and soon there is another."""
    group = start()
    first = start.server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert await settled(lambda: not psutil.pid_exists(first))
    assert psutil.Process(group.shim_pid).status() != psutil.STATUS_ZOMBIE
    second = start()
    assert not is_forked(second), "while the next server comes up"
    await up(start.server)
    assert is_forked(start())
    group.end()
    assert (await gone(group)).reason == "asked"


async def test_a_server_that_has_just_died_is_noticed_too(start: Starter) -> None:
    """Before the loop has heard of its death: the request finds no server."""
    pid = start.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - no turn of the loop
    assert not is_forked(start())
    assert not psutil.pid_exists(pid)


async def test_a_server_that_does_not_answer_is_replaced(start: Starter) -> None:
    """A stopped one is killed; this shim is run by path, and no second one comes of it."""
    start.server.close()
    start.server = ForkServer(answer_seconds=0.1)
    start.server.start()
    await up(start.server)
    before = descriptors()
    assert start.server.pid is not None
    os.kill(start.server.pid, signal.SIGSTOP)
    group = start()
    assert not is_forked(group)
    assert children() == {group.shim_pid}
    group.end()
    await gone(group)
    assert len(descriptors()) == len(before) - 2  # the server's socket and its pidfd
    start.server.start()
    await up(start.server)
    assert is_forked(start())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dies-after", "dies-at-once"])
async def test_a_shim_whose_server_died_before_it_could_answer_is_not_lost(
    start: Starter, programs: Programs, kind: str
) -> None:
    """It is found among our children, and watched, ended and waited for like any other.

    Even one that was stopped before it could do anything.
    """
    other = start()
    await failing(start, programs, kind)
    group = start()
    assert start.server.pid is None
    assert children() == {other.shim_pid, group.shim_pid}
    assert is_forked(group) or kind == "dies-at-once"
    group.end()
    ending = await gone(group)
    assert (ending.clean, ending.reason) == (True, "asked")


async def test_a_shim_that_dies_with_its_server_is_reaped(
    start: Starter, programs: Programs
) -> None:
    """Both killed within microseconds: an unclean ending, and no zombie."""
    await failing(start, programs, "dies-childless")
    group = start()
    ending = await gone(group)
    assert (ending.clean, ending.reason) == (False, "lost")
    assert children() == set()


async def test_a_request_that_dies_with_its_server_is_made_by_path(
    start: Starter, programs: Programs
) -> None:
    """There is nothing that it forked, so a shim of our own is not a second one."""
    await failing(start, programs, "dies-before")
    group = start()
    assert not is_forked(group)
    assert children() == {group.shim_pid}


# --- where it cannot ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cannot", "dies-first", "dies-before"])
async def test_where_it_fails_again_and_again_shims_are_run_by_path(
    start: Starter, programs: Programs, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Another kind of machine, a sandboxed kernel: slower, said once, and all else as ever."""
    await failing(start, programs, kind)
    for _ in range(forkserver.PATIENCE + 2):
        assert await settled(lambda: start.server.pid is None or start.server.is_up)
        group = start()
        assert not is_forked(group)
        group.end()
        assert (await gone(group)).clean
    assert await settled(lambda: start.server.pid is None)
    programs.kind = ""
    start.server.start()
    assert start.server.pid is None, "it is given up"
    assert sum("cannot be forked here" in text for text in caplog.messages) == 1


async def test_one_refusal_is_not_the_end_of_it(start: Starter) -> None:
    """No more processes for a moment is no reason to go without for good."""
    await up(start.server)
    start.server._failed()
    start.server._failed()
    assert is_forked(start())
    start.server._failed()
    assert is_forked(start()), "a success starts the count again"


@pytest.mark.parametrize("running", [True, False])
async def test_without_descriptors_a_start_fails_as_by_path_and_keeps_none(
    start: Starter, running: bool
) -> None:
    """At every step at which they run out the error is the kernel's; what was opened is closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not running:
        start.server.close()
    failed = 0
    for more in range(14):
        before = descriptors()
        taken = {int(one.split()[0]) for one in before}
        # The limit is one of numbers: what is open above it leaves more of them free below.
        free = (number for number in itertools.count() if number not in taken)
        limit = next(itertools.islice(free, more, None))
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            start()
        except OSError as error:
            failed += error.errno == errno.EMFILE
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for group in start.groups:
            group.end()
            await gone(group)
        (start.home / "1" / "stderr").unlink(missing_ok=True)
        if running:
            assert descriptors() == before
        else:
            start.server.close()
            assert len(descriptors()) == len(before)
    assert failed >= 4
    start.server.start()
    await up(start.server)
    assert is_forked(start())


async def test_what_holds_a_nul_is_no_request(start: Starter) -> None:
    """It would be read as two words, one of them anything: by path it is refused, as ever."""
    before = descriptors()
    with pytest.raises(ValueError, match="null byte"):
        start(environment={"A": "b\0no-reap"})
    assert descriptors() == before
    empty(start.home / "1")


def empty(folder: Path) -> None:
    """Remove the folder of a start that failed, which is the caller's."""
    (folder / "stderr").unlink()
    folder.rmdir()


async def test_where_the_kernel_reaps_for_us_the_ending_comes_all_the_same(start: Starter) -> None:
    """SIGCHLD ignored, as a service may inherit it: there is no status to be had."""
    kept = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        group = start()
        assert is_forked(group)
        group.end()
        assert (await gone(group)).clean
    finally:
        signal.signal(signal.SIGCHLD, kept)


async def test_a_service_without_stderr_hears_its_programs_all_the_same(work_dir: Path) -> None:
    """`2>&-`: the server has none either, and the shim's is the first number that is free."""
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from poster_service.process.forkserver import ForkServer\n"
        "from poster_service.process.spawn import Command, Group\n"
        "async def main():\n"
        "    server = ForkServer(); server.start()\n"
        "    while not server.is_up: await asyncio.sleep(0.001)\n"
        "    folder = Path(sys.argv[1]); folder.mkdir()\n"
        "    words = ('/bin/sh', '-c', 'echo heard >&2')\n"
        "    group = Group.start(Command(words, folder, 0, {}), server)\n"
        "    await group.wait_gone()\n"
        "    server.close()\n"
        "    print(group.errors())\n"
        "asyncio.run(main())\n"
    )
    line = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", script, str(work_dir / "1")]
    done = await asyncio.create_subprocess_exec(*line, stdout=subprocess.PIPE)
    output, _ = await done.communicate()
    assert output == b"heard\n"


async def test_a_closed_one_is_gone_and_closing_may_be_repeated(server: ForkServer) -> None:
    """At once; it may be started again."""
    pid = server.pid
    assert pid is not None
    server.close()
    assert not psutil.pid_exists(pid)
    server.close()
    server.start()
    await up(server)


async def test_a_forked_child_is_waited_for_once() -> None:
    """Its number may be another's afterwards, and is not signalled."""
    child = subprocess.Popen(["sh", "-c", "exit 3"])
    known: set[int] = set()
    forked = Forked(child.pid, known)
    assert known == {child.pid}
    assert await settled(lambda: forked.poll() is not None)
    assert forked.poll() == 3
    assert known == set()
    forked.kill()
    child.returncode = 3  # or Popen would warn that it was not waited for
