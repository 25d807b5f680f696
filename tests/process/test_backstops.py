"""Backstops for a shim that fails: each catches its case, and no other render waits."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from poster_service.process import census, reaper
from poster_service.process.spawn import Command, Ending, Group
from tests.conftest import REAPS_AT_ONCE_SECONDS, is_shim, left, settled
from tests.process.harness import cannot, group_v2

#: Of this run only: what the reaper of an earlier run is still slow to reap does not count.
INSTANCE = random.randrange(1, 1 << census.INSTANCE_BITS)
LIMIT_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _frozen_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a service; other tests wait."""
    monkeypatch.setattr(reaper, "AT_ONCE_SECONDS", REAPS_AT_ONCE_SECONDS)


def start(home: Path, *argv: str, end_seconds: float = 10.0) -> Group:
    """A group in a folder of its own."""
    folder = home / "1"
    folder.mkdir()
    tag = census.make_tag(INSTANCE, 1)
    return Group.start(Command(argv, folder, tag, {}, end_seconds=end_seconds))


async def gone(group: Group) -> Ending:
    """The ending, within a limit."""
    async with asyncio.timeout(LIMIT_SECONDS):
        return await group.wait_gone()


async def running(group: Group) -> psutil.Process:
    """The leader, once it has replaced the forked shim by its program."""
    shim = psutil.Process(group.shim_pid)

    def started() -> bool:
        children = shim.children()
        return bool(children) and not is_shim(children[0].pid)

    assert await settled(started)
    return shim.children()[0]


async def test_a_stopped_shim_is_continued_and_does_its_work(work_dir: Path) -> None:
    """SIGSTOP to the shim prevents nothing: asking it to end continues it."""
    group = start(work_dir, "/bin/sleep", "86400")
    await running(group)
    os.kill(group.shim_pid, signal.SIGSTOP)
    group.end()
    assert (await gone(group)).clean
    assert left(INSTANCE, work_dir) == []


async def test_a_shim_that_hangs_is_given_up_and_its_group_is_ended(work_dir: Path) -> None:
    """Frozen, the shim never reports: the backstop ends all by tag, the shim too."""
    freezer = group_v2("freeze")
    group = start(work_dir, "/bin/sleep", "86400", end_seconds=0.3)
    await running(group)
    (freezer / "cgroup.procs").write_text(str(group.shim_pid))
    (freezer / "cgroup.freeze").write_text("1")
    assert await settled(lambda: "frozen 1" in (freezer / "cgroup.events").read_text())
    group.end()
    ending = await gone(group)
    assert (ending.clean, ending.reason, ending.survivors) == (False, "late", ())
    after = census.snapshot(INSTANCE, work_dir)
    # The dead are reaped by the process that adopts them: under `serve` that is our init.
    assert (after.alive, after.folders) == ((), ())
    assert await settled(lambda: not (freezer / "cgroup.procs").read_text())
    freezer.rmdir()


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A file system on which every write waits, uninterruptibly, until the second is called."""
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    search = "/usr/sbin:/sbin:/usr/bin:/bin"
    make, freeze = (shutil.which(name, path=search) for name in ("mkfs.ext4", "fsfreeze"))
    if os.geteuid() != 0 or make is None or freeze is None:
        cannot("a file system can be frozen only by root, with mkfs.ext4 and fsfreeze")
    subprocess.run([make, "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, mount], check=False).returncode:
        cannot("no loop device to mount here")
    subprocess.run([freeze, "-f", mount], check=True)
    is_frozen = True

    def thaw() -> None:
        nonlocal is_frozen
        if is_frozen:
            subprocess.run([freeze, "-u", mount], check=True)
        is_frozen = False

    yield mount, thaw
    thaw()
    subprocess.run(["umount", mount], check=True)


@pytest.mark.slow
async def test_a_process_in_uninterruptible_sleep_is_named_and_waited_for_no_longer(
    work_dir: Path, frozen: tuple[Path, Callable[[], None]]
) -> None:
    """It outlives SIGKILL: the ending tells its pid in bounded time; it goes when it can."""
    mount, thaw = frozen
    group = start(work_dir, "/bin/sh", "-c", f"echo x > {mount}/file", end_seconds=0.5)
    shim = psutil.Process(group.shim_pid)
    assert await settled(
        lambda: [c.status() for c in shim.children()] == [psutil.STATUS_DISK_SLEEP]
    )
    (stuck,) = shim.children()
    group.end()
    ending = await gone(group)
    assert not ending.clean
    assert stuck.pid in [seen.pid for seen in ending.survivors]
    assert stuck.is_running()
    thaw()
    assert await settled(lambda: not stuck.is_running() or stuck.status() == "zombie")


@pytest.mark.slow
async def test_the_pool_never_forgets_a_survivor(work_dir: Path) -> None:
    """On the list until it is gone, then off it."""
    from poster_service.browser.pool import Pool, PoolSize
    from poster_service.browser.spec import ChromeSpec, Sandbox

    spec = ChromeSpec(Path("/bin/true"), Sandbox.OFF, work_dir / "1", INSTANCE, start_timeout=1)
    pool = Pool(spec, PoolSize(ready=1, capacity=1))
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    seen = census.inspect(alive.pid, 0)
    assert seen is not None
    pool._record.ended(1, Ending(clean=False, reason="late", survivors=(seen,)))
    assert [one.pid for one in pool.statistics().survivors] == [alive.pid]
    alive.communicate(b"\n")
    assert await settled(lambda: pool.statistics().survivors == ())
    assert pool.statistics().unclean == 1
