"""Every orphan is adopted and reaped, however many there are, and TERM never waits behind them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.process.init_harness import (
    INIT,
    InitRun,
    Starter,
    children,
    proc_field,
    program,
    read,
    state,
    tagged,
    wait_for_text,
    wait_until,
)

pytest_plugins = ("tests.process.init_fixtures",)


def reaped(init: InitRun) -> int:
    """How many orphans init says, as it leaves, that it has reaped."""
    _, found, tail = init.stderr().rpartition(", reaped ")
    words = tail.split()
    return int(words[0]) if found and words[0].isdigit() else 0


def zombies(init: InitRun) -> list[int]:
    """The zombies among all processes of this run."""
    return [pid for pid in tagged(init.tag) if state(pid) == "Z"]


def test_the_search_for_zombies_finds_them(start_init_below: Starter) -> None:
    """Otherwise the tests here would promise nothing."""
    out = start_init_below.folder / "out"
    init = start_init_below(*program("zombie_maker", 7, out))
    wait_for_text(out, "ready")
    assert len(zombies(init)) == 7  # their parent lives and does not wait: no other process can
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGTERM


def test_zombies_are_reaped_when_the_parent_that_made_them_goes(start_init: Starter) -> None:
    """They become orphans, dead already when init adopts them."""
    out = start_init.folder / "out"
    maker = " ".join(program("zombie_maker", 25, out))
    init = start_init("sh", "-c", f"{maker} & echo $! > {out}.pid; wait; exec sleep 1000")
    wait_for_text(out, "ready")
    wait_until(lambda: len(zombies(init)) == 25, "all are zombies")
    os.kill(next(pid for pid in children(init.main)), signal.SIGKILL)
    wait_until(lambda: not zombies(init), "init has reaped them")
    init.signal(signal.SIGTERM)
    init.wait()
    assert reaped(init) == 25


def test_orphans_are_reaped_while_the_main_child_lives(start_init: Starter) -> None:
    """One after the other, for as long as it takes."""
    out = start_init.folder / "out"
    init = start_init(*program("orphan_maker", 300, out))
    wait_for_text(out, "made 300")
    wait_until(lambda: len(tagged(init.tag)) == expected(init), "all orphans are gone")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert reaped(init) == 300


def expected(init: InitRun) -> int:
    """How many of ours there are at rest: unshare where it is used, init, the main child."""
    return 3 if init.place == "pid 1" else 2


def test_orphans_that_die_at_the_same_instant_are_all_reaped(start_init: Starter) -> None:
    """SIGCHLD says once what happened many times."""
    out = start_init.folder / "out"
    init = start_init(*program("orphan_maker", 600, out, 200))
    wait_for_text(out, "made 600")
    wait_until(lambda: len(tagged(init.tag)) == expected(init), "all orphans are gone")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert reaped(init) == 600


def test_three_forks_make_seven_children_and_init_waits_for_all(start_init: Starter) -> None:
    """The riddle of the seven: 2 x 2 x 2 processes, of which one is the main child."""
    out = start_init.folder / "out"
    status, text = start_init.run("-v", *program("three_forks", out))
    assert status == 0
    assert len(read(out).split()) == 8
    assert "exiting with 0" in text


def test_an_orphan_that_leaves_group_and_session_is_adopted(start_init: Starter) -> None:
    """As Chrome's crash handlers do."""
    init = start_init("sh", "-c", "(setsid sleep 1000 &); exec sleep 1000")

    def names() -> list[str]:
        return [proc_field(pid, "Name") for pid in children(init.pid)]

    wait_until(lambda: names() == ["sleep", "sleep"], "the hidden one is init's own child")
    init.signal(signal.SIGTERM)
    init.wait()
    assert "(sleep 1)" in init.stderr()


@pytest.mark.slow
def test_term_is_passed_on_in_the_middle_of_a_storm(start_init: Starter) -> None:
    """Signals get through while orphans come without end, and nothing is left afterwards."""
    beside = start_init.folder / "signals"
    maker = " ".join(program("orphan_maker", 10**9))
    init = start_init(
        "sh", "-c", f'{maker} & exec "$@"', "sh", *program("signal_printer", beside, 15)
    )
    wait_for_text(beside, "ready")
    wait_until(lambda: children_made(init) > 500, "the storm is under way")
    for number in (signal.SIGUSR1, signal.SIGRTMIN + 1):
        init.signal(number)
        wait_for_text(beside, f"got {int(number)}\n")
        assert [state(pid) != "Z" for pid in children(init.main)] == [True]  # the storm goes on
    init.signal(signal.SIGTERM)
    assert init.wait() == 42
    assert "got 15" in read(beside)


def children_made(init: InitRun) -> int:
    """How far the storm is: the CPU time of init tells that it reaps (clock ticks, times 100)."""
    fields = read(Path(f"/proc/{init.pid}/stat")).rpartition(")")[2].split()
    return 100 * (int(fields[11]) + int(fields[12])) if fields else 0


@pytest.mark.slow
@pytest.mark.parametrize("orphans", [2_000, pytest.param(20_000, marks=pytest.mark.endurance)])
def test_a_storm_leaves_nothing(start_init: Starter, orphans: int) -> None:
    """Every one is reaped and counted."""
    out = start_init.folder / "out"
    init = start_init(*program("orphan_maker", orphans, out))
    wait_until(lambda: f"made {orphans}" in read(out), "all are made", 600)
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert reaped(init) == orphans


def test_it_adopts_without_flags_also_inside_another_init(start_init: Starter) -> None:
    """The inner one is a subreaper, the outer one sees nothing of its orphans."""
    out = start_init.folder / "out"
    maker = program("orphan_maker", 50, out)
    init = start_init(*INIT, *maker)
    wait_for_text(out, "made 50")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    inner, _, outer = init.stderr().partition("exiting with 0")
    assert "reaped 50 orphans" in inner
    assert "reaped no orphans" in outer


def test_as_a_subreaper_it_says_nothing_about_it(start_init_below: Starter) -> None:
    """Tini warns where it is not PID 1, dumb-init and my_init just lose the orphans."""
    assert start_init_below.run("true") == (0, "")
    assert start_init_below.run("-s", "true") == (0, "")


def test_children_from_before_are_reaped_too(start_init: Starter) -> None:
    """A shell that became init by exec has left it what it had started."""
    out = start_init.folder / "out"
    before = ("sh", "-c", 'sh -c "exit 3" & sleep 1000 & exec "$@"', "sh")
    init = start_init("sh", "-c", f"echo ready > {out}; exec sleep 1000", before=before)
    wait_for_text(out, "ready")
    wait_until(lambda: not zombies(init), "the zombie of before is reaped")
    init.signal(signal.SIGTERM)
    init.wait()
    assert reaped(init) == 2


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("orphans", [10_000, pytest.param(100_000, marks=pytest.mark.endurance)])
def test_memory_stays_flat_over_many_orphans(start_init: Starter, orphans: int) -> None:
    """my_init leaks 80 bytes for each: 625 KiB of 8,000. The ledger must not grow either."""
    first, rest = orphans // 5, orphans * 4 // 5
    out = start_init.folder / "out"
    ready = start_init.folder / "ready"
    script = (
        f'"$@" {first}; touch {ready}; while test -e {ready}; do sleep 0.05; done; "$@" {rest}; '
        f"echo done > {out}; exec sleep 1000"
    )
    init = start_init("sh", "-c", script, "sh", *program("orphan_maker"))
    wait_until(ready.exists, f"the first {first} are made", 300)
    wait_until(lambda: not zombies(init), "and reaped")
    before = private_kib(init.pid)
    ready.unlink()
    wait_until(lambda: "done" in read(out), f"{rest} more are made", 900)
    wait_until(lambda: not zombies(init), "and reaped")
    assert private_kib(init.pid) - before <= 128
    init.signal(signal.SIGTERM)
    init.wait()
    assert reaped(init) >= orphans


def private_kib(pid: int) -> int:
    """Memory that is a process's own, in KiB."""
    rollup = subprocess.run(
        ["cat", f"/proc/{pid}/smaps_rollup"], capture_output=True, check=True, text=True
    ).stdout
    return sum(int(line.split()[1]) for line in rollup.splitlines() if "Private_Dirty" in line)
