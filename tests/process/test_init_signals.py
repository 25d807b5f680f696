"""Every signal a child could get is passed on: once, as it came, and to the child alone."""

import os
import signal
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
    switches,
    wait_for_program,
    wait_for_text,
    wait_until,
)

pytest_plugins = ("tests.process.init_fixtures",)

ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
NOT_TO_BE_CAUGHT = {signal.SIGKILL, signal.SIGSTOP}
HARMLESS = sorted(map(int, signal.valid_signals() - ENDING - NOT_TO_BE_CAUGHT))


def got(path: Path) -> list[int]:
    """The signals a signal printer has written down, in order."""
    return [int(line.split()[1]) for line in read(path).splitlines() if line.startswith("got")]


def printer(start: Starter, *options: object, end: int = signal.SIGTERM) -> tuple[InitRun, Path]:
    """A signal printer under init, listening."""
    out = start.folder / "signals"
    init = start(*options, *program("signal_printer", out, int(end)))
    wait_for_text(out, "ready")
    return init, out


def test_every_signal_is_passed_on_exactly_once(start_init: Starter) -> None:
    """Standard and real-time ones; dumb-init sends TERM twice."""
    init, out = printer(start_init)
    for number in HARMLESS:
        init.signal(number)
        wait_for_text(out, f"got {number}\n")
    init.signal(signal.SIGTERM)
    assert init.wait() == 42
    assert got(out) == [*HARMLESS, signal.SIGTERM]


@pytest.mark.parametrize("number", sorted(ENDING))
def test_the_signals_that_begin_the_end_are_passed_on_as_they_are(
    start_init: Starter, number: int
) -> None:
    """TERM, INT and QUIT; and init leaves with what the child makes of it."""
    init, out = printer(start_init, end=number)
    init.signal(number)
    assert init.wait() == 42
    assert got(out) == [number]


def bystander(start: Starter, *options: object) -> tuple[InitRun, Path, Path]:
    """Two signal printers in one process group, of which one is the main child."""
    main, beside = start.folder / "main", start.folder / "beside"
    second = " ".join(program("signal_printer", beside, int(signal.SIGTERM)))
    script = f'{second} & exec "$@"'
    init = start(*options, "sh", "-c", script, "sh", *program("signal_printer", main, 15))
    wait_for_text(main, "ready")
    wait_for_text(beside, "ready")
    return init, main, beside


def test_signals_go_to_the_main_child_alone(start_init: Starter) -> None:
    """A group-wide TERM would end Chrome at the same instant as the server."""
    init, main, beside = bystander(start_init)
    init.signal(signal.SIGUSR1)
    wait_until(lambda: got(main) == [signal.SIGUSR1], "the main child has it")
    init.signal(signal.SIGTERM)
    assert init.wait() == 42
    assert got(beside)[0] == signal.SIGTERM  # the sweep; USR1 never came


def test_signals_go_to_the_group_if_asked(start_init: Starter) -> None:
    """With -g, as in tini."""
    init, main, beside = bystander(start_init, "-g")
    init.signal(signal.SIGUSR1)
    wait_until(lambda: got(main) == got(beside) == [signal.SIGUSR1], "both have it")
    init.signal(signal.SIGTERM)
    assert init.wait() == 42


def test_tinis_variable_asks_for_the_group_too(start_init: Starter) -> None:
    """In an existing image, without other changes."""
    env = {"PATH": os.environ["PATH"], "TINI_KILL_PROCESS_GROUP": ""}
    script = "trap 'echo told' USR1; sleep 1000 & wait; echo $?; wait"
    init = start_init("sh", "-c", script, env=env)
    wait_for_program(init.main, "sleep")  # the trap was set before
    init.signal(signal.SIGUSR1)  # ends the sleep, too, so that the last wait returns
    assert init.wait() == 0
    assert "told" in init.stderr()


@pytest.mark.parametrize("rule", ["TERM:INT", "15:2", "SIGTERM:2"])
def test_a_signal_is_passed_on_as_another(start_init: Starter, rule: str) -> None:
    """By name or number; it begins the end all the same."""
    init, out = printer(start_init, "-r", rule, end=signal.SIGINT)
    init.signal(signal.SIGTERM)
    assert init.wait() == 42
    assert got(out) == [signal.SIGINT]


def test_a_signal_can_be_dropped(start_init: Starter) -> None:
    """It neither arrives nor begins the end."""
    init, out = printer(start_init, "-r", "TERM:0", "-r", "USR1:0", end=signal.SIGUSR2)
    init.signal(signal.SIGTERM)
    init.signal(signal.SIGUSR1)
    init.signal(signal.SIGUSR2)
    assert init.wait() == 42
    assert got(out) == [signal.SIGUSR2]


def test_delayed_term_arrives_later_and_others_at_once(start_init: Starter) -> None:
    """The load balancer needs a moment to notice; nothing else has to wait for that."""
    init, out = printer(start_init, "--delay", "0.4", "-v")
    init.signal(signal.SIGTERM)
    wait_until(lambda: "now delaying" in init.stderr(), "init holds TERM back")
    init.signal(signal.SIGUSR1)
    assert init.wait() == 42
    assert got(out) == [signal.SIGUSR1, signal.SIGTERM]
    assert init.stderr().index("now delaying") < init.stderr().index("now asked")


def test_a_second_term_cuts_the_delay_short(start_init: Starter) -> None:
    """Without it this test would run into its timeout; the child gets one TERM, not two."""
    init, out = printer(start_init, "--delay", "1000", "-v")
    init.signal(signal.SIGTERM)
    wait_until(lambda: "now delaying" in init.stderr(), "init holds TERM back")
    init.signal(signal.SIGTERM)
    assert init.wait() == 42
    assert got(out) == [signal.SIGTERM]


def test_inits_own_broken_pipe_is_not_passed_on(start_init: Starter) -> None:
    """Its log has lost its reader; the SIGPIPE for that is init's, and would kill a child."""
    reader, writer = os.pipe()
    out = start_init.folder / "signals"
    init = start_init("-vvv", *program("signal_printer", out, 15), stderr=writer)
    os.close(writer)
    os.close(reader)
    wait_for_text(out, "ready")
    init.signal(signal.SIGUSR1)
    init.signal(signal.SIGTERM)
    assert init.wait() == 42
    assert got(out) == [signal.SIGUSR1, signal.SIGTERM]


@pytest.mark.slow
def test_init_never_wakes_up_without_cause(start_init: Starter) -> None:
    """Tini wakes up every second. The same look at a process that does sees it."""
    waker = ["sh", "-c", "while :; do sleep 0.3; done"]
    init = start_init(*waker)
    wait_until(lambda: switches(init.main) > 2, "the child is at work")
    init_before, child_before = switches(init.pid), switches(init.main)
    wait_until(lambda: switches(init.main) > child_before + 6, "some seconds have gone by")
    assert switches(init.pid) == init_before
    init.signal(signal.SIGTERM)
    init.wait()


def test_a_stopped_main_child_does_not_stop_init(start_init: Starter) -> None:
    """Without a terminal no shell could continue it: orphans go on being reaped."""
    init, out = printer(start_init)
    os.kill(init.main, signal.SIGSTOP)
    wait_until(lambda: proc_field(init.main, "State").startswith("T"), "the child is stopped")
    init.signal(signal.SIGUSR1)
    assert proc_field(init.pid, "State")[:1] in ("S", "R")
    init.signal(signal.SIGCONT)
    wait_until(lambda: signal.SIGUSR1 in got(out), "the child goes on")
    init.signal(signal.SIGTERM)
    assert init.wait() == 42


def test_a_death_is_seen_also_when_its_sigchld_was_merged(start_init: Starter) -> None:
    """Another sender's SIGCHLD is pending when the kernel's comes: only one, the first, is kept."""
    init, _ = printer(start_init)
    main = init.main
    init.signal(signal.SIGSTOP)
    wait_until(lambda: proc_field(init.pid, "State").startswith("T"), "init is stopped")
    init.signal(signal.SIGCHLD)
    os.kill(main, signal.SIGKILL)
    wait_until(lambda: proc_field(main, "State").startswith("Z"), "the child is dead")
    init.signal(signal.SIGCONT)
    assert init.wait() == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_parent_death_signal_reaches_init(start_init_below: Starter, number: int) -> None:
    """-p: when the process that started init dies, init gets a signal."""
    out = start_init_below.folder / "out"
    name = signal.Signals(number).name
    script = f'"$@" & echo $! > {out}; exec sleep 1000'
    init = start_init_below(
        "-p", name, "sh", "-c", f"echo child >> {out}; exec sleep 1000",
        before=("sh", "-c", script, "sh"),
    )  # fmt: skip
    wait_for_text(out, "child")
    pid = int(read(out).split()[0])
    assert Path(f"/proc/{pid}").exists()
    init.process.kill()
    wait_until(lambda: proc_field(pid, "State")[:1] in ("", "Z"), "init has gone too")


def test_a_killed_subreapers_main_child_does_not_live_on(start_init_first: Starter) -> None:
    """No process can catch KILL; the kernel ends the child. An init around it reaps the rest."""
    out = start_init_first.folder / "out"
    inner = [*INIT, "sh", "-c", f"echo $PPID $$ > {out}; exec sleep 1000"]
    init = start_init_first("sh", "-c", '"$@"; echo ended $?; exec sleep 1000', "sh", *inner)
    wait_for_text(out, "\n")
    shell = init.main
    wait_until(lambda: children(shell), "the shell has started the inner init")
    init_pid = children(shell)[0]
    wait_until(lambda: children(init_pid), "the inner init has started its child")
    child = children(init_pid)[0]
    os.kill(init_pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{child}").exists(), "its child has gone, and was reaped")
    wait_for_text(init.err, "ended 137")
    init.signal(signal.SIGTERM)
    init.wait()
