"""Each instance has a folder; leftovers of ended ones are swept, running ones are not touched."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poster_service.process import census
from poster_service.process.instance_dir import InstanceDir, Swept, instances, lock_of, sweep
from tests.conftest import left, settled
from tests.process.harness import cannot, dig
from tests.processes import signal_all
from tests.web.served import left_of, serving

#: A process that carries the tag of a lease and does nothing.
TAGGED = """
import resource, sys, time
_, hard = resource.getrlimit(10)
resource.setrlimit(10, (int(sys.argv[1]), hard))
print("ready", flush=True)
time.sleep(86400)
"""


def start_tagged(instance: int) -> "subprocess.Popen[bytes]":
    """A live process of an instance."""
    tag = str(census.make_tag(instance, 1))
    process = subprocess.Popen([sys.executable, "-c", TAGGED, tag], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def abandon(work_dir: Path, instance: int) -> Path:
    """What a killed instance leaves: its folder, two leases in it, an unlocked lock."""
    home = InstanceDir.open(work_dir / f"{instance:x}")
    for lease in ("7", "8"):
        (home.path / lease / "profile").mkdir(parents=True)
        (home.path / lease / "profile" / "file").write_text("left")
    home._release()  # as the kernel does for a dead process
    return home.path


async def test_leftovers_of_a_dead_instance_are_swept(work_dir: Path) -> None:
    """Its processes, its folders, its lock; the sweep says what it found."""
    instance = 0x51E47
    abandon(work_dir, instance)
    process = start_tagged(instance)
    assert await sweep(work_dir) == [Swept(instance, processes=1, folders=2)]
    assert process.wait() == -signal.SIGKILL
    assert left(instance, work_dir / f"{instance:x}") == []
    assert list(work_dir.iterdir()) == []
    process.communicate()


async def test_a_running_instance_is_not_touched(work_dir: Path) -> None:
    """It holds its lock, so neither its folder nor its processes are swept."""
    instance = 0xA11FE
    home = InstanceDir.open(work_dir / f"{instance:x}")
    (home.path / "1").mkdir()
    process = start_tagged(instance)
    assert await sweep(work_dir) == []
    assert process.poll() is None
    assert (home.path / "1").is_dir()
    process.kill()
    process.communicate()
    (home.path / "1").rmdir()
    home.close()
    assert list(work_dir.iterdir()) == []


async def test_a_folder_without_its_lock_is_a_dead_instance(work_dir: Path) -> None:
    """The lock is made first and removed last, so its absence is proof enough."""
    folder = abandon(work_dir, 0xF01)
    lock_of(folder).unlink()
    assert len(await sweep(work_dir)) == 1
    assert list(work_dir.iterdir()) == []


async def test_what_is_not_ours_in_the_folder_stays(work_dir: Path) -> None:
    """Names that are no instance's number are left alone."""
    for name in ("notes.txt", "0ff", "zz", "1234567", "ABC"):
        (work_dir / name).mkdir()
    assert await sweep(work_dir) == []
    assert len(list(work_dir.iterdir())) == 5
    assert instances(work_dir) == []
    assert instances(work_dir / "missing") == []


def test_two_instances_cannot_have_the_same_folder(work_dir: Path) -> None:
    """The second gets an error."""
    home = InstanceDir.open(work_dir / "abc")
    with pytest.raises(OSError, match="another instance"):
        InstanceDir.open(work_dir / "abc")
    home.close()


@pytest.mark.slow
async def test_an_earlier_life_killed_with_all_its_helpers_is_swept_at_the_next_start(
    work_dir: Path,
) -> None:
    """init, service and every shim SIGKILLed in one blow: the next start leaves nothing of it."""
    async with serving(work_dir) as first:
        (home,) = first.homes()
        helpers = first.helpers()
        assert len(helpers) >= 3
        # Suspended first, so that none of them can act on the death of another. The shim of the
        # Chrome by which the service proved itself may be leaving, and be gone between two lines.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            signal_all(helpers, number)
        await first.process.wait()
        async with serving(work_dir) as second:
            assert home not in second.homes()
            assert len(second.homes()) == 1
            instance = int(home.name, 16)
            assert await settled(lambda: not census.snapshot(instance, home).alive)
    assert left_of(work_dir) == []


# --- what others do to the work folder -----------------------------------------------------------


@pytest.mark.parametrize("missing", ["lock", "folder", "both", "replaced"])
async def test_an_instance_whose_lock_or_folder_was_removed_is_still_running(
    work_dir: Path, missing: str
) -> None:
    """Its processes are not ended, what is there of its folder is not removed."""
    instance = 0xA11FE
    home = InstanceDir.open(work_dir / f"{instance:x}")
    (home.path / "1").mkdir()
    process = start_tagged(instance)
    if missing in ("lock", "both", "replaced"):
        lock_of(home.path).unlink()
    if missing in ("folder", "both"):
        (home.path / "1").rmdir()
        home.path.rmdir()
    if missing == "replaced":
        home.path.rename(work_dir / "elsewhere")
        (home.path / "1").mkdir(parents=True)
    assert await sweep(work_dir) == []
    assert process.poll() is None
    assert (home.path / "1").is_dir() == (missing in ("lock", "replaced"))
    assert not home.is_there()
    process.kill()
    process.communicate()
    home._release()


@pytest.mark.parametrize("witness", ["_socket", "_lock", "_folder"])
async def test_each_lock_alone_shows_that_an_instance_runs(work_dir: Path, witness: str) -> None:
    """Another network namespace, a removed lock file, a removed folder: one is enough."""
    home = InstanceDir.open(work_dir / "a11fe")
    kept, home_fds = getattr(home, witness), (home._folder, home._lock)
    for descriptor in home_fds:
        if descriptor != kept:
            os.close(descriptor)
    assert home._socket is not None
    if witness != "_socket":
        home._socket.close()
    assert await sweep(work_dir) == []
    assert home.path.is_dir()
    home._folder = home._lock = -1
    home._socket.close()
    if witness != "_socket":
        os.close(kept)
    assert len(await sweep(work_dir)) == 1


async def test_a_folder_that_was_removed_is_made_again_with_its_locks(work_dir: Path) -> None:
    """By the same instance, which is as safe from a sweep as before."""
    home = InstanceDir.open(work_dir / "w" / "a11fe", shared=True)
    lock_of(home.path).unlink()
    home.path.rmdir()
    home.path.parent.rmdir()
    assert not home.is_there()
    home.recreate()
    assert home.is_there()
    assert home.path.stat().st_mode & 0o777 == 0o711
    assert await sweep(home.path.parent) == []
    home.close()
    assert list(home.path.parent.iterdir()) == []


async def test_a_deep_tree_of_a_dead_instance_keeps_no_other_from_starting(
    work_dir: Path,
) -> None:
    """It is removed like anything else."""
    folder = abandon(work_dir, 0xDEE9)
    dig(folder / "7", 1100, "d")
    assert [(one.folders, one.leftovers) for one in await sweep(work_dir)] == [(2, 0)]
    assert list(work_dir.iterdir()) == []


async def test_what_resists_is_reported_and_tried_again(work_dir: Path) -> None:
    """As a folder that something is mounted on: the sweep goes on, the next one gets it."""
    folder = abandon(work_dir, 0xDEE9)
    if subprocess.run(["mount", "-t", "tmpfs", "none", folder / "7"], check=False).returncode:
        cannot("nothing can be mounted here")
    try:
        (found,) = await sweep(work_dir)
        assert found.leftovers > 0
        assert lock_of(folder).exists()
    finally:
        subprocess.run(["umount", folder / "7"], check=True)
    assert [one.leftovers for one in await sweep(work_dir)] == [0]
    assert list(work_dir.iterdir()) == []
