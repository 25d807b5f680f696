"""A program that runs as another user: given away for good, and still ended, reaped and removed.

The programs are shell scripts: where root's Python lies, another user may not be able to read.
"""

import asyncio
import os
import random
import resource
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from poster_service.process import census
from poster_service.process.instance_dir import InstanceDir
from poster_service.process.spawn import Command, Ending, Group
from poster_service.process.user import UNUSED, is_root, missing_capabilities
from tests.conftest import left, settled
from tests.process.harness import is_known, server_up

INSTANCE = random.randrange(1, 1 << census.INSTANCE_BITS)
LIMIT_S = 30.0

pytestmark = pytest.mark.skipif(
    not is_root() or bool(missing_capabilities()),
    reason="only root, with its usual capabilities, can run programs as another user",
)

Start = Callable[..., Group]


@pytest.fixture(params=["forked", "by-path"])
async def start(work_dir: Path, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    """Starts shell scripts as the unused user, each in a folder of its own; nothing may be left."""
    work_dir.chmod(0o700)
    home = InstanceDir.open(work_dir / f"{INSTANCE:x}", shared=True)
    groups: list[Group] = []
    server = await server_up() if request.param == "forked" else None

    def start_one(script: str, *, tag: int | None = None) -> Group:
        lease = len(groups) + 1
        folder = home.path / str(lease)
        if not folder.exists():
            folder.mkdir(mode=0o700)
        command = Command(
            argv=("/bin/sh", "-c", script),
            folder=folder,
            tag=census.make_tag(INSTANCE, lease) if tag is None else tag,
            environment={
                "PATH": "/usr/bin:/bin",
                "SERVICE": str(os.getpid()),
                "SERVER": str(server.pid if server else os.getpid()),
            },
            user=UNUSED,
        )
        groups.append(Group.start(command, server))
        return groups[-1]

    yield start_one
    for group in groups:
        group.end()
        await gone(group)
    assert left(INSTANCE, home.path) == []
    if server is not None:
        assert server.is_up, "they were run by path after all"
        server.close()
    home.close()


async def gone(group: Group) -> Ending:
    """The ending, within a limit."""
    async with asyncio.timeout(LIMIT_S):
        return await group.wait_gone()


async def output_of(group: Group) -> list[str]:
    """What a script that leaves by itself wrote to stderr."""
    await gone(group)
    return group.errors().splitlines()


async def leader_of(group: Group) -> int:
    """The script's own pid, once it is the other user's."""

    def found() -> list[int]:
        return [
            one.pid
            for one in census.tagged(INSTANCE)
            if one.pid != group.shim_pid and owner(one.pid) == UNUSED.uid
        ]

    assert await settled(lambda: bool(found()))
    return found()[0]


def owner(pid: int) -> int:
    """The real uid of a process, -1 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("latin-1")
    except OSError:
        return -1
    return int(text.split("\nUid:")[1].split()[0])


async def test_it_is_the_user_and_nothing_more(start: Start) -> None:
    """All four uids and gids, no group, no capability, and no set-uid program gives one back."""
    words = await output_of(start("cat /proc/self/status >&2"))
    status = dict(line.split(":", 1) for line in words if ":" in line)
    assert status["Uid"].split() == [str(UNUSED.uid)] * 4
    assert status["Gid"].split() == [str(UNUSED.gid)] * 4
    assert status["Groups"].split() == []
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize(
    "deed",
    [
        "cat /proc/$SERVICE/environ",
        "cat /proc/$PPID/environ",
        "cat /proc/$SERVER/environ",
        "kill -0 $SERVICE",
        "kill -9 $SERVER",
        "kill -9 $PPID",
        "cat ../../secret",
        "ls ..",
        "ls ../..",
        "touch ../mine",
    ],
)
async def test_it_reaches_nothing_of_the_services(start: Start, work_dir: Path, deed: str) -> None:
    """Neither environment, nor a file of its own, nor itself, nor the shim, nor other leases."""
    secret = work_dir / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    words = await output_of(start(f"if {deed}; then echo DONE >&2; fi; echo end >&2"))
    assert words[-1] == "end"
    assert "DONE" not in words
    refusals = ("Permission denied", "Operation not permitted")
    assert any(refusal in word for word in words for refusal in refusals), words


async def test_its_folder_is_its_own(start: Start) -> None:
    """It may write there, no other user may read, and all of it is removed with its rights."""
    group = start("stat -c '%u %a' . >&2; mkdir -p a/b && echo x >a/b/c && ls a/b >&2")
    assert await output_of(group) == [f"{UNUSED.uid} 700", "c"]
    assert (await gone(group)).clean
    assert not group.command.folder.exists()


async def test_what_is_not_the_users_resists_the_shim(start: Start, work_dir: Path) -> None:
    """The shim removes with the user's rights, so a link in a folder's place leads it nowhere.

    What root's folder in there shows: only the service's backstop, which follows no link, gets it.
    """
    folder = work_dir / f"{INSTANCE:x}" / "1"
    (folder / "roots").mkdir(parents=True)
    (folder / "roots" / "file").write_text("x")
    group = start("exit 0")
    ending = await gone(group)
    assert not ending.clean
    assert not folder.exists()


async def test_all_that_hides_is_ended(start: Start) -> None:
    """A session of its own, a stopped one, a daemon: the shim ends all of the other user."""
    group = start(
        "setsid sleep 999 & (setsid sleep 998 &) ; sh -c 'kill -STOP $$' & exec sleep 997"
    )

    def seen() -> list[tuple[str, str]]:
        found = [(one.name, one.state) for one in census.tagged(INSTANCE)]
        return sorted(one for one in found if one[0] in ("sleep", "sh"))

    hidden = [("sh", "stopped"), *[("sleep", "sleeping")] * 3]
    assert await settled(lambda: seen() == hidden)
    group.end()
    ending = await gone(group)
    assert (ending.clean, ending.reason) == (True, "asked")
    assert ending.adopted == 3


async def test_a_killed_shim_takes_it_along(start: Start) -> None:
    """The parent-death signal, which a change of user clears, is set behind it; no tag helps."""
    group = start("echo $$ >&2; exec sleep 999", tag=0)
    assert await settled(lambda: group.errors().isdigit())
    leader = os.pidfd_open(int(group.errors()))
    try:
        os.kill(group.shim_pid, signal.SIGKILL)
        assert await settled(lambda: not is_known(leader))
    finally:
        os.close(leader)
    assert (await gone(group)).reason == "lost"


async def test_the_backstop_finds_and_ends_it(start: Start) -> None:
    """A stopped shim and a process that left the group: found by the tag, in whosever name."""
    group = start("setsid sleep 999 & exec sleep 998")
    await leader_of(group)
    os.kill(group.shim_pid, signal.SIGKILL)
    ending = await gone(group)
    assert (ending.reason, ending.survivors) == ("lost", ())


async def test_the_census_reads_another_users_tag(start: Start) -> None:
    """By prlimit(2), and where that is refused, by /proc, which every user may read."""
    group = start("exec sleep 999")
    leader = await leader_of(group)
    assert census.tag_of(leader) == census.locks_limit(leader) == group.command.tag
    os.kill(leader, signal.SIGSTOP)
    assert census.memory_below(group.shim_pid) > 0


def test_a_process_without_a_limit_has_no_tag() -> None:
    """Ours says "unlimited", or a number that is no tag; one that is gone is said to be."""
    own = resource.getrlimit(census.RLIMIT_LOCKS)[0]
    assert census.locks_limit(os.getpid()) == own
    with pytest.raises(ProcessLookupError):
        census.locks_limit(1 << 30)


async def test_a_folder_it_cannot_enter_is_reported(start: Start, work_dir: Path) -> None:
    """In one line of the shim's, before the program begins."""
    work_dir.chmod(0o700)
    words = await output_of(start("echo RAN >&2"))
    assert len(words) == 1
    assert words[0].startswith("shim: cannot start /bin/sh")
    assert "Permission denied" in words[0]
