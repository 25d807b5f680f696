"""The end: ask, grace, TERM for the rest, grace, KILL; over as soon as nothing is left.

Graces are set long where they must not be waited for (the test would run into its timeout) and
short where they must.
"""

import signal
import subprocess
import time

import pytest

from tests.process.init_harness import (
    PYTHON,
    InitRun,
    Starter,
    program,
    read,
    state,
    switches,
    tagged,
    wait_for_program,
    wait_for_text,
    wait_until,
)

pytest_plugins = ("tests.process.init_fixtures",)

LONG = ("--grace", "1000", "--kill-grace", "1000")


def ready_pid(start: Starter, name: str) -> int:
    """The pid a program has written down, in its own namespace."""
    wait_for_text(start.folder / name, "ready")
    return int(read(start.folder / name).split()[1])


def test_a_child_with_nothing_left_behind_ends_init_at_once(start_init: Starter) -> None:
    """No grace is waited for."""
    assert start_init.run(*LONG, "sh", "-c", "exit 3")[0] == 3


def test_a_child_behind_a_shell_finishes_cleaning_up(start_init: Starter) -> None:
    """Tini and dumb-init cut it off: the shell dies of TERM, and they kill what is left at once."""
    out = start_init.folder / "out"
    cleaner = " ".join(program("slow_cleaner", out, 0.3))
    init = start_init(*LONG, "sh", "-c", f"{cleaner}; true")
    wait_for_text(out, "ready")
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGTERM  # the shell's
    assert "clean\n" in read(out)


def test_leftovers_get_term_also_when_the_main_child_ends_by_itself(start_init: Starter) -> None:
    """With its status; those in a session of their own, too."""
    out = start_init.folder / "out"
    cleaner = " ".join(program("slow_cleaner", out, 0.1))
    script = f"setsid {cleaner} & while ! grep -q ready {out}; do sleep 0.01; done; exit 5"
    assert start_init.run(*LONG, "sh", "-c", script)[0] == 5
    assert "clean\n" in read(out)


def test_a_main_child_that_does_not_go_is_ended_after_its_grace(start_init: Starter) -> None:
    """TERM, grace, TERM to all, grace, KILL: 137, and the sum is not exceeded by much."""
    out = start_init.folder / "out"
    init = start_init("-t", "0.2", "-k", "0.2", "-v", *program("stubborn", out))
    ready_pid(start_init, "out")
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGKILL
    text = init.stderr()
    assert text.index("now asked") < text.index("now terminating") < text.index("now killing")


def test_leftovers_that_do_not_go_are_killed_and_reported(start_init: Starter) -> None:
    """The main child's status stands, and the line at the end says how many were killed."""
    out = start_init.folder / "out"
    stubborn = " ".join(program("stubborn", out))
    script = f"setsid {stubborn} & while ! grep -q ready {out}; do sleep 0.01; done; exit 4"
    status, text = start_init.run("-k", "0.1", "sh", "-c", script)
    assert status == 4
    assert "reaped 1 orphan" in text
    assert "1 of them killed" in text


@pytest.mark.parametrize("hurry", [signal.SIGTERM, signal.SIGINT])
def test_each_further_term_moves_to_the_next_phase_at_once(start_init: Starter, hurry: int) -> None:
    """With graces of 1000 s only impatience ends this."""
    out = start_init.folder / "out"
    init = start_init(*LONG, "-v", *program("stubborn", out))
    ready_pid(start_init, "out")
    for phase in ("asked", "terminating", "killing"):
        init.signal(hurry)
        wait_for_text(init.err, f"now {phase}")
    assert init.wait() == 128 + signal.SIGKILL


def test_the_first_term_during_the_sweep_does_not_cut_it_short(start_init: Starter) -> None:
    """The main child has gone by itself; `docker stop` a moment later is no second request."""
    out = start_init.folder / "out"
    cleaner = " ".join(program("slow_cleaner", out, 0.5))
    script = f"setsid {cleaner} & while ! grep -q ready {out}; do sleep 0.01; done; exit 5"
    init = start_init(*LONG, "sh", "-c", script)
    wait_for_text(out, "cleaning")
    init.signal(signal.SIGTERM)
    assert init.wait() == 5
    assert "clean\n" in read(out)


def test_a_stopped_main_child_is_continued_so_that_it_can_die(start_init: Starter) -> None:
    """TERM alone would wait in vain."""
    out = start_init.folder / "out"
    init = start_init(*LONG, *program("stubborn", out, "stop"))
    wait_until(lambda: state(init.main) == "T", "the main child has stopped itself")
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGTERM


def test_stopped_leftovers_are_continued_so_that_they_can_die(start_init: Starter) -> None:
    """Without KILL, whose grace is too long to wait for."""
    out = start_init.folder / "out"
    stopped = " ".join(program("stubborn", out, "stop"))
    script = f"setsid {stopped} & while ! grep -q ready {out}; do sleep 0.01; done; sleep 1000"
    init = start_init(*LONG, "sh", "-c", script)
    wait_until(lambda: "T" in [state(pid) for pid in tagged(init.tag)], "it has stopped itself")
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGTERM


def test_all_processes_are_reported_not_only_those_next_to_init(start_init: Starter) -> None:
    """A parent that ignores TERM does not keep it from its children."""
    out = start_init.folder / "out"
    code = (
        "import os, signal, sys\n"
        "if os.fork() == 0: os.execv(sys.argv[1], sys.argv[1:])\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.wait()\n"
    )
    cleaner = program("slow_cleaner", out, 0.1)
    init = start_init("-t", "0.1", "-k", "1000", *PYTHON, "-c", code, *cleaner)
    wait_for_text(out, "ready")
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
    assert "clean\n" in read(out)


def bystander() -> subprocess.Popen[bytes]:
    """A process that is no descendant of init."""
    return subprocess.Popen(["sleep", "1000"])


def test_a_subreaper_touches_nothing_but_its_descendants(start_init_below: Starter) -> None:
    """`kill(-1)` would have ended this test, the editor and the display."""
    other = bystander()
    try:
        out = start_init_below.folder / "out"
        init = start_init_below("-t", "0", "-k", "0", *program("stubborn", out))
        ready_pid(start_init_below, "out")
        init.signal(signal.SIGTERM)
        assert init.wait() == 128 + signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def family(start: Starter, depth: int) -> InitRun:
    """A chain of processes, each in a session of its own, all deaf to TERM."""
    out = start.folder / "out"
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"for _ in range({depth}):\n"
        "    if os.fork(): signal.pause()\n"
        "    os.setsid()\n"
        f"open({str(out)!r}, 'w').write('ready')\n"
        "signal.pause()\n"
    )
    init = start("-t", "0.05", "-k", "0.05", *PYTHON, "-c", code)
    wait_for_text(out, "ready")
    return init


def test_a_long_chain_of_deaf_descendants_is_ended_to_the_last(start_init: Starter) -> None:
    """Killing one layer makes the next one init's own children, until none is left."""
    init = family(start_init, 60)
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGKILL


def test_a_subreaper_stays_until_what_it_killed_is_dead(start_init_below: Starter) -> None:
    """A child that takes long to die has children, which init sees only then. None lives on."""
    init = family(start_init_below, 1)
    held = init.main
    tracer = subprocess.Popen(
        program("tracer", held, "exit"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with tracer:  # at the end of its stdin it lets go
        assert tracer.stdout is not None
        assert tracer.stdout.readline() == b"seized\n"
        init.signal(signal.SIGTERM)
        wait_until(lambda: state(held) == "t", "the child cannot finish to die")
        before = switches(init.pid)
        wait_until(
            lambda: init.process.poll() is not None or switches(init.pid) > before + 2,
            "init has left, or its last wait was over more than once",
        )
        assert init.process.poll() is None
    assert init.wait() == 128 + signal.SIGKILL


def test_ten_thousand_forks_a_second_do_not_outrun_the_end(start_init: Starter) -> None:
    """A comet: it forks and exits for ever, never twice under the same pid, and ignores TERM."""
    out = start_init.folder / "out"
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork(): signal.pause()\n"
        "os.setsid()\n"
        f"open({str(out)!r}, 'w').write('ready')\n"
        "while True:\n"
        "    if os.fork(): os._exit(0)\n"
    )
    init = start_init("-t", "0.1", "-k", "0.1", *PYTHON, "-c", code)
    wait_for_text(out, "ready")
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGKILL


def test_who_entered_the_namespace_from_outside_is_asked_too(start_init_first: Starter) -> None:
    """`docker exec`: no child of init's, yet in its house; it gets its time to clean up."""
    out = start_init_first.folder / "out"
    init = start_init_first(*LONG, "sleep", "1000")
    enter = ["nsenter", "--target", str(init.pid), "--pid", "--mount", "--"]
    assert init.main
    guest = subprocess.Popen([*enter, *program("slow_cleaner", out, 0.3)])
    try:
        wait_for_text(out, "ready")
        init.signal(signal.SIGTERM)
        assert guest.wait(60) == 0
        assert init.wait() == 128 + signal.SIGTERM
        assert "clean\n" in read(out)
    finally:
        guest.kill()
        guest.wait()


@pytest.mark.slow
def test_by_default_even_the_deaf_are_gone_before_docker_loses_patience(
    start_init: Starter,
) -> None:
    """`docker stop` waits 10 s; this is the one promise that is about time."""
    out = start_init.folder / "out"
    init = start_init(*program("stubborn", out))
    ready_pid(start_init, "out")
    begun = time.monotonic()
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + signal.SIGKILL
    assert time.monotonic() - begun < 10


def test_quit_begins_the_end_like_term_and_int(start_init: Starter) -> None:
    """And what the child does about it decides the status."""
    init = start_init(*LONG, "sh", "-c", "trap 'exit 9' QUIT; sleep 1000 & wait")
    wait_for_program(init.main, "sleep")
    init.signal(signal.SIGQUIT)
    assert init.wait() == 9
