"""A control group per lease: its limits hold, `cgroup.kill` ends all in it, and it is removed."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from poster_service.process import census, cgroup
from poster_service.process.cgroup import CannotLimit, Cgroups, Limits
from poster_service.process.spawn import Command, Group
from tests.conftest import left, settled
from tests.process.harness import cannot, group_v2

#: Of this process alone: two workers may run tests at once.
INSTANCE = random.randrange(1, 1 << census.INSTANCE_BITS)


def find(limits: Limits) -> Cgroups:
    """Where limits can be set here, else a skip with the reason."""
    try:
        return Cgroups.find(limits)
    except CannotLimit as error:
        cannot(f"no writable control group: {error}")


async def run_in(home: Path, groups: tuple[Path, ...], script: str, end: bool = False) -> Group:
    """A shell script in a lease with control groups, until it ends by itself or is ended."""
    folder = home / "1"
    folder.mkdir()
    command = Command(
        ("/bin/sh", "-c", script), folder, census.make_tag(INSTANCE, 1),
        {"PATH": os.environ["PATH"]}, groups=groups,
    )  # fmt: skip
    group = Group.start(command)
    if end:
        group.end()
    async with asyncio.timeout(60):
        assert (await group.wait_gone()).clean
    return group


async def test_a_limit_on_processes_holds_and_the_group_is_removed(
    work_dir: Path, tmp_path: Path
) -> None:
    """Of sixty children some cannot be forked; afterwards no group is left."""
    groups = find(Limits(pids=20)).make("poster-test-pids")
    script = f"for i in $(seq 60); do sleep 60 & done 2> {tmp_path}/said; true"
    await run_in(work_dir, groups, script)
    assert "fork" in (tmp_path / "said").read_text()
    assert not any(group.exists() for group in groups)
    assert left(INSTANCE, work_dir) == []


async def test_a_limit_on_memory_holds(work_dir: Path, tmp_path: Path) -> None:
    """The kernel kills a child that wants more than the lease may have, and no other process."""
    groups = find(Limits(memory=64 << 20)).make("poster-test-memory")
    hungry = "import sys; block = b'x' * (400 << 20); open(sys.argv[1], 'w').write('had it')"
    script = f'python3 -c "{hungry}" {tmp_path}/had; echo $? > {tmp_path}/status'
    await run_in(work_dir, groups, script)
    assert not (tmp_path / "had").exists()
    assert (tmp_path / "status").read_text().strip() == "137"
    assert not any(group.exists() for group in groups)


async def test_cgroup_kill_ends_all_in_a_group(work_dir: Path) -> None:
    """The backstop of version 2: after one write all processes in the group have ended."""
    group = group_v2("kill")
    if not (group / "cgroup.kill").exists():
        group.rmdir()
        cannot("this kernel has no cgroup.kill (Linux 5.14)")
    process = await asyncio.create_subprocess_exec("/bin/sleep", "86400")
    (group / "cgroup.procs").write_text(str(process.pid))
    cgroup.kill([group])
    assert await process.wait() == -9
    assert await settled(lambda: not (group / "cgroup.procs").read_text())
    cgroup.remove([group])
    assert not group.exists()


V1 = "4:memory:/docker/abc\n8:pids:/docker/abc\n0::/\n"
V1_MOUNTS = (
    "35 31 0:32 /docker/abc {root}/memory ro - cgroup cgroup rw,memory\n"
    "39 31 0:36 /docker/abc {root}/pids ro - cgroup cgroup rw,pids\n"
)


def test_a_container_sees_only_its_own_part_of_the_tree(tmp_path: Path) -> None:
    """The mount shows our group as its root, as in Docker: groups are made right there."""
    for name in ("memory", "pids"):
        (tmp_path / name).mkdir()
    folder, file = cgroup._folder_of(cgroup.MEMORY, V1_MOUNTS.format(root=tmp_path), V1)
    assert (folder.resolve(), file) == (tmp_path / "memory", "memory.limit_in_bytes")


def test_version_2_needs_the_controller_handed_down(tmp_path: Path) -> None:
    """Only a controller in cgroup.subtree_control can limit a group below."""
    mounts, own = f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup rw\n", "0::/own\n"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "cgroup.subtree_control").write_text("pids\n")
    assert cgroup._folder_of(cgroup.PIDS, mounts, own) == (tmp_path / "own", "pids.max")
    with pytest.raises(CannotLimit, match="memory controller is not delegated"):
        cgroup._folder_of(cgroup.MEMORY, mounts, own)


def test_without_limits_no_group_is_made() -> None:
    """The default costs nothing and needs nothing."""
    assert Cgroups.find(Limits()).make("poster-test-none") == ()
