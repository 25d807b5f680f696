"""The log says what matters, drops what is not read, says how much that was, and never blocks."""

import fcntl
import os
import pty
import signal
import termios
from pathlib import Path

import pytest

from tests.process.init_harness import (
    PYTHON,
    InitRun,
    Starter,
    children,
    program,
    read,
    tagged,
    wait_for_text,
    wait_until,
)

pytest_plugins = ("tests.process.init_fixtures",)

ORPHANS = 400


def busy_life(start: Starter, stderr: int) -> int:
    """A run with many log lines about orphans; the status, after a TERM that got through."""
    out = start.folder / "out"
    init = start("-vvv", "-w", *program("orphan_maker", ORPHANS, out), stderr=stderr)
    wait_for_text(out, f"made {ORPHANS}")
    wait_until(lambda: not orphans(init), "all orphans are reaped")
    init.signal(signal.SIGTERM)
    return init.wait()


def orphans(init: InitRun) -> list[int]:
    """What is there beside init and its main child."""
    known = {init.process.pid, init.pid, *children(init.pid)[:1]}
    return [pid for pid in tagged(init.tag) if pid not in known]


def test_a_full_pipe_stops_neither_reaping_nor_signals(start_init: Starter) -> None:
    """Tini, dumb-init and catatonit stand still until the pipe is read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    assert busy_life(start_init, writer) == 0
    os.close(writer)
    os.close(reader)


def test_a_pipe_that_has_no_reader_any_more_is_survived(start_init: Starter) -> None:
    """EPIPE, and a SIGPIPE that is not passed on."""
    reader, writer = os.pipe()
    os.close(reader)
    assert busy_life(start_init, writer) == 0
    os.close(writer)


def test_a_full_disk_is_survived(start_init: Starter) -> None:
    """ENOSPC at every line."""
    with Path("/dev/full").open("wb") as full:
        assert busy_life(start_init, full.fileno()) == 0


def test_a_closed_stderr_is_survived(start_init: Starter) -> None:
    """And no other file that init opens is taken for it."""
    ledger = start_init.folder / "ledger"
    closed = ("sh", "-c", 'exec "$@" 2>&- <&-', "sh")
    init = start_init("-vvv", "-o", ledger, "sh", "-c", "(exit 1 &); exit 8", before=closed)
    assert init.wait() == 8
    assert read(ledger).startswith("{")
    assert read(ledger).count("\n") == 1


def test_a_terminal_that_hung_up_is_survived(start_init: Starter) -> None:
    """EIO at every line."""
    master, slave = pty.openpty()
    os.close(master)
    assert busy_life(start_init, slave) == 0
    os.close(slave)


def test_a_terminal_held_by_ctrl_s_is_survived(start_init: Starter) -> None:
    """Output is stopped; a plain write would wait until Ctrl-Q."""
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    assert busy_life(start_init, slave) == 0
    os.close(slave)
    os.close(master)


def test_the_childs_stderr_stays_blocking(start_init: Starter) -> None:
    """O_NONBLOCK is shared by all who hold the same open file; init must not set it."""
    reader, writer = os.pipe()
    out = start_init.folder / "signals"
    init = start_init("-vvv", *program("signal_printer", out, 15), stderr=writer)
    wait_for_text(out, "ready")
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    init.signal(signal.SIGTERM)
    init.process.wait()
    os.close(writer)
    os.close(reader)


def test_lost_lines_are_counted_and_the_count_is_reported(start_init: Starter) -> None:
    """In the next line that finds room, and in the last."""
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ: one page
    os.write(writer, b"x" * size)
    out = start_init.folder / "signals"
    init = start_init("-vvv", *program("signal_printer", out, 15), stderr=writer)
    wait_for_text(out, "ready")
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        init.signal(number)
        wait_for_text(out, f"got {int(number)}\n")
    assert os.read(reader, size) == b"x" * size
    init.signal(signal.SIGTERM)
    init.wait()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    assert "(3 log lines before this one were lost) got TERM" in text  # started, USR1, USR2
    assert ", lost 3 log lines; exiting with 42" in text


def test_a_quiet_life_says_nothing(start_init: Starter) -> None:
    """Init in front of `true` writes no line."""
    assert start_init.run("true") == (0, "")


def test_one_line_at_the_end_tells_why_how_long_and_what_was_reaped(start_init: Starter) -> None:
    """When there was something to tell."""
    _, text = start_init.run("sh", "-c", "(sh -c 'exit 3' &); sleep 0.1; exit 2")
    assert text.count("\n") == 1
    assert "the main child ended by itself (exit 2); ran 0." in text
    assert "reaped 1 orphan (sh 1)" in text
    assert text.endswith("exiting with 2\n")


@pytest.mark.parametrize(("level", "lines"), [((), 0), (("-v",), 3), (("-vv",), 3), (("-vvv",), 3)])
def test_levels(start_init: Starter, level: tuple[str, ...], lines: int) -> None:
    """-v tells of the start, the child's end, and why init leaves."""
    assert start_init.run(*level, "sh", "-c", "exit 1")[1].count("poster-init[") == lines


def test_tini_verbosity_sets_the_level(start_init: Starter) -> None:
    """0 silences even the line at the end."""
    env = {"PATH": "/usr/bin:/bin", "TINI_VERBOSITY": "0"}
    assert start_init.run("-w", "sh", "-c", "(exit 3 &); sleep 0.1", env=env) == (0, "")


def test_reaped_orphans_are_reported_if_asked(start_init: Starter) -> None:
    """-w: name, pid and how it ended."""
    _, text = start_init.run(
        "-w", "sh", "-c", "(sh -c 'kill -9 $$' &); (sh -c 'exit 3' &) ; sleep 0.1"
    )
    assert "reaped orphan sh (pid" in text
    assert "): KILL\n" in text
    assert "): exit 3\n" in text


@pytest.mark.slow
def test_a_storm_is_summed_up_in_a_line_a_second(start_init: Starter) -> None:
    """A few one by one, then a sum; together all of them."""
    out = start_init.folder / "out"
    init = start_init("-w", *program("orphan_maker", 3000, out))
    wait_for_text(out, "made 3000")
    wait_for_text(init.err, "more orphans: python")  # logged by the clock, not only at the end
    init.signal(signal.SIGTERM)
    init.wait()
    lines = init.stderr().splitlines()
    single = [line for line in lines if "reaped orphan " in line]
    sums = [int(line.split()[2]) for line in lines if " more orphans" in line]
    assert len(single) + sum(sums) == 3000
    assert len(single) <= 5 * (len(sums) + 1)
    assert len(lines) < 100


def test_a_command_name_cannot_forge_a_log_line(start_init: Starter) -> None:
    """A process may call itself anything, line feeds and escapes too."""
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    open('/proc/self/comm', 'w').write('a\\nb\\x1b[m')\n"
        "    os._exit(1)\n"
        "os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)\n"  # else init's TERM may come before
    )
    _, text = start_init.run("-w", *PYTHON, "-c", code)
    assert "\x1b" not in text
    assert "reaped orphan a\\u000ab\\u001b[m (pid" in text
