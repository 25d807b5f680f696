"""The witness: who is alive, who is a zombie, what is left on disk."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.process import census
from tests.conftest import left, settled
from tests.process.init_harness import read, wait_until

INSTANCES = st.integers(0, (1 << census.INSTANCE_BITS) - 1)
LEASES = st.integers(0, (1 << census.LEASE_BITS) - 1)


class Tagged:
    """Starts sleeping processes that carry a tag, as children of ours."""

    def __init__(self) -> None:
        self.instance = random.randrange(1, 1 << census.INSTANCE_BITS)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, lease: int = 1, *, instance: int | None = None) -> "subprocess.Popen[bytes]":
        """One process of a lease."""
        tag = census.make_tag(self.instance if instance is None else instance, lease)
        process = self.run(tag, "sleep", "86400")
        wait_until(lambda: read(Path(f"/proc/{process.pid}/comm")) == "sleep\n", "it sleeps")
        return process

    def run(self, tag: int, *command: str) -> "subprocess.Popen[bytes]":
        """A command that carries a tag."""
        self.processes.append(subprocess.Popen(["prlimit", f"--locks={tag}:", "--", *command]))
        return self.processes[-1]

    def untagged(self) -> "subprocess.Popen[bytes]":
        """One that looks the same and carries no tag."""
        self.processes.append(subprocess.Popen(["sleep", "86400"]))
        return self.processes[-1]

    def zombie(self, lease: int = 1) -> "subprocess.Popen[bytes]":
        """One that is dead and not waited for."""
        process = self.start(lease)
        process.kill()
        wait_until(
            lambda: read(Path(f"/proc/{process.pid}/stat")).split()[2] == "Z", "it is a zombie"
        )
        return process

    def close(self) -> None:
        """Kill and reap all."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def tagged(tmp_path: Path) -> Iterator[Tagged]:
    """Tagged processes; in the end none may be left."""
    one = Tagged()
    try:
        yield one
    finally:
        one.close()
    assert left(one.instance, tmp_path / "nowhere") == []


def seen_with(tag: int) -> census.Seen:
    """A process with a tag, and nothing else of interest."""
    return census.Seen(1, tag, "", state="sleeping", parent=0, memory=0, started=0.0)


@given(instance=INSTANCES, lease=LEASES)
def test_a_tag_tells_its_instance_and_its_lease(instance: int, lease: int) -> None:
    """And fits the limit that carries it, short of its infinity."""
    tag = census.make_tag(instance, lease)
    assert census.instance_of(tag) == instance
    assert seen_with(tag).lease == lease
    assert 0 < tag < 1 << 62


@given(one=st.tuples(INSTANCES, LEASES), other=st.tuples(INSTANCES, LEASES))
def test_no_two_leases_share_a_tag(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Of one instance or of two."""
    assert (census.make_tag(*one) == census.make_tag(*other)) == (one == other)


@given(instance=st.integers(0, 1 << 70), lease=st.integers(0, 1 << 70))
def test_numbers_too_large_wrap_around(instance: int, lease: int) -> None:
    """The four millionth lease is numbered like the first, and nothing spills over."""
    tag = census.make_tag(instance, lease)
    assert census.instance_of(tag) == instance % (1 << census.INSTANCE_BITS)
    assert seen_with(tag).lease == lease % (1 << census.LEASE_BITS)


@given(st.integers(-1, 1 << 64).filter(lambda number: number >> 46 != census.MAGIC))
def test_other_numbers_are_no_tags(number: int) -> None:
    """Not infinity (-1), not 0, nor what another program may have set."""
    assert census.instance_of(number) is None


def test_a_live_process_is_seen_with_all_that_is_known_of_it(tagged: Tagged) -> None:
    """Its pid, tag, lease and name, and that it is no zombie."""
    process = tagged.start(lease=5)
    (seen,) = census.tagged(tagged.instance)
    assert (seen.pid, seen.lease, seen.name, seen.zombie) == (process.pid, 5, "sleep", False)
    assert seen.tag == census.make_tag(tagged.instance, 5)


def test_a_zombie_is_seen_as_one_until_it_is_reaped(tagged: Tagged, tmp_path: Path) -> None:
    """The tag can still be read of the dead."""
    process = tagged.zombie()
    counted = census.snapshot(tagged.instance, tmp_path)
    assert [seen.pid for seen in counted.zombies] == [process.pid]
    assert counted.alive == ()
    process.wait()
    after = census.snapshot(tagged.instance, tmp_path)
    assert (after.alive, after.zombies, after.folders) == ((), (), ())


def test_a_stopped_process_counts_as_alive(tagged: Tagged, tmp_path: Path) -> None:
    """It holds all that it holds."""
    process = tagged.start()
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: read(Path(f"/proc/{process.pid}/stat")).split()[2] == "T", "it is stopped")
    assert [seen.pid for seen in census.snapshot(tagged.instance, tmp_path).alive] == [process.pid]


def test_only_the_instance_asked_for_is_counted(tagged: Tagged) -> None:
    """None asks for all of ours, of every instance."""
    mine = tagged.start()
    other = tagged.start(instance=tagged.instance ^ 1)
    assert {seen.pid for seen in census.tagged(tagged.instance)} == {mine.pid}
    assert {seen.pid for seen in census.tagged(tagged.instance ^ 1)} == {other.pid}
    assert {seen.pid for seen in census.tagged()} >= {mine.pid, other.pid}
    other.kill()
    other.wait()


def test_a_process_without_a_tag_is_not_ours(tagged: Tagged) -> None:
    """With any name: nothing is found by name."""
    plain = tagged.untagged()
    assert plain.pid not in {seen.pid for seen in census.tagged()}


@pytest.mark.parametrize("names", [[], ["7"], ["10", "9", "stray file"]])
def test_folders_are_listed_in_order(tagged: Tagged, tmp_path: Path, names: list[str]) -> None:
    """Every entry of the work folder counts, and no folder at all is none left."""
    for name in names:
        (tmp_path / name).mkdir()
    assert census.snapshot(tagged.instance, tmp_path).folders == tuple(sorted(names))
    assert census.snapshot(tagged.instance, tmp_path / "missing").folders == ()


async def test_the_backstop_ends_a_lease_and_touches_no_other(
    tagged: Tagged, tmp_path: Path
) -> None:
    """Neither another lease nor another instance nor who has no tag; it says how many it hit."""
    ours = [tagged.start(lease=1) for _ in range(3)]
    ours[0].send_signal(signal.SIGSTOP)
    others = [tagged.start(lease=2), tagged.start(lease=1, instance=tagged.instance ^ 1)]
    others.append(tagged.untagged())
    result = await census.end_all(census.make_tag(tagged.instance, 1).__eq__)
    assert result == census.KillResult(killed=3)
    assert [process.wait(60) for process in ours] == [-signal.SIGKILL] * 3
    assert [process.poll() for process in others] == [None] * 3
    assert len(left(tagged.instance, tmp_path)) == 1


async def test_the_backstop_has_nothing_to_do_with_the_dead(tagged: Tagged) -> None:
    """A zombie is its parent's: it is not waited for, and not counted."""
    process = tagged.zombie()
    async with asyncio.timeout(60):
        result = await census.end_all(census.make_tag(tagged.instance, 1).__eq__)
    assert result == census.KillResult(killed=0)
    assert [seen.pid for seen in census.tagged(tagged.instance)] == [process.pid]


async def test_the_backstop_catches_those_that_are_born_meanwhile(tagged: Tagged) -> None:
    """It looks again until a look finds none."""
    tag = census.make_tag(tagged.instance, 1)
    script = "trap '' TERM; for i in 1 2 3 4 5 6 7 8; do sleep 86400 & done; wait"
    process = tagged.run(tag, "sh", "-c", script)
    assert await settled(lambda: len(list(census.tagged(tagged.instance))) > 1)
    assert (await census.end_all(tag.__eq__)).killed >= 2
    process.wait(60)
    alive = census.snapshot(tagged.instance, Path("/nonexistent")).alive
    assert alive == ()
    assert await settled(lambda: left(tagged.instance, Path("/nonexistent")) == [])


def test_the_search_names_what_is_left(tagged: Tagged, tmp_path: Path) -> None:
    """One living, one zombie, one folder: each of them is found, so an empty search means none."""
    tagged.start()
    tagged.zombie(lease=2)
    (tmp_path / "3").mkdir()
    kinds = [word.split(":")[0] for word in left(tagged.instance, tmp_path)]
    assert kinds == ["alive", "zombie", "folder"]


def test_memory_is_what_descendants_hold_and_not_what_they_share_with_files() -> None:
    """Private and shared, of children's children too; gone with them."""
    script = "import mmap, time; a = b'x' * (50 << 20); b = mmap.mmap(-1, 30 << 20);"
    script += " b.write(b'y' * (30 << 20)); print('ready', flush=True); time.sleep(60)"
    line = f'"{sys.executable}" -c "{script}" & wait'
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, start_new_session=True) as sh:
        assert sh.stdout is not None
        sh.stdout.readline()
        held = census.memory_below(os.getpid())
        os.killpg(sh.pid, signal.SIGKILL)
    assert 80 << 20 < held < 160 << 20
    assert census.memory_below(os.getpid()) < 80 << 20
    assert census.memory_below(2**22 + 1) == 0


def test_what_is_stopped_or_a_zombie_below_a_process_is_found_and_nothing_else() -> None:
    """Also in a session of its own, and itself; of more children than one read of /proc returns."""
    script = (
        "import os, signal\n"
        "for n in range(700):\n"
        "    if os.fork() == 0: os._exit(0)\n"
        "pid = os.fork()\n"
        "if pid == 0: os.setsid(); signal.pause()\n"
        "print(pid, flush=True)\n"
        "signal.pause()\n"
    )
    with contextlib.ExitStack() as undo:
        command = [sys.executable, "-c", script]
        parent = undo.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        undo.callback(parent.kill)
        assert parent.stdout is not None
        inner = int(parent.stdout.readline())
        undo.callback(os.kill, inner, signal.SIGKILL)
        wait_until(lambda: len(census.unhealthy_below(parent.pid)) == 700, "all are zombies")
        assert not {parent.pid, inner} & census.unhealthy_below(parent.pid)
        os.kill(inner, signal.SIGSTOP)
        wait_until(lambda: inner in census.unhealthy_below(parent.pid), "it is stopped")
        parent.send_signal(signal.SIGSTOP)
        wait_until(lambda: parent.pid in census.unhealthy_below(parent.pid), "so is the parent")
    assert census.unhealthy_below(parent.pid) == frozenset()
