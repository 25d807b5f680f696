"""Job control works: the child has the terminal, Ctrl-Z, Ctrl-C and fg do what they always do.

Every test talks through a pty, as the controlling terminal of a session of its own, to what
`docker run -it` would run, or to an interactive shell that runs init as one of its jobs.
"""

import contextlib
import os
import pty
import shlex
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.init_harness import (
    INIT,
    PYTHON,
    InitRun,
    Starter,
    children,
    program,
    read,
    state,
    wait_for_text,
    wait_until,
)

pytest_plugins = ("tests.process.init_fixtures",)

CTRL_C, CTRL_Z = "\x03", "\x1a"
BASH = ("bash", "--norc", "--noprofile", "-i")
BASH_ENV = {"PATH": "/usr/bin:/bin", "PS1": "here> ", "TERM": "dumb", "HOME": "/"}
IN_FRONT = "import os; os._exit(os.tcgetpgrp(0) != os.getpgrp())"  # 0 for yes


class Terminal:
    """The other end of a pty: what a person types and reads."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        os.set_blocking(self.master, False)
        self.text = ""

    def start(self, start: Starter, *arguments: object, init: tuple[str, ...] = INIT) -> InitRun:
        """Start something with this as its controlling terminal."""
        run = start(
            *arguments, init=init, before=("setsid", "--ctty"), env=BASH_ENV,
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
        )  # fmt: skip
        os.close(self.slave)
        return run

    def expect(self, text: str) -> None:
        """Read on until a text has come; what is behind it stays to be read."""

        def has_come() -> bool:
            with contextlib.suppress(OSError):
                self.text += os.read(self.master, 65536).decode(errors="replace")
            return text in self.text

        wait_until(has_come, f"{text!r} is on the terminal: {self.text[-300:]!r}")
        self.text = self.text.partition(text)[2]

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self.master, text.encode())

    def wait_for_foreground(self, name: str) -> int:
        """Wait until a command leads the foreground, sleeps, and is echoed to; its pid."""

        def is_in_front() -> bool:
            pid = os.tcgetpgrp(self.master)
            echoes = bool(termios.tcgetattr(self.master)[3] & termios.ECHO)
            return echoes and read(Path(f"/proc/{pid}/comm")) == name + "\n" and state(pid) == "S"

        wait_until(is_in_front, f"{name} is in the foreground")
        return os.tcgetpgrp(self.master)

    def hang_up(self) -> None:
        """Close it, once."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A fresh terminal."""
    it = Terminal()
    yield it
    it.hang_up()


def test_child_is_the_foreground_of_the_terminal(start_init: Starter, terminal: Terminal) -> None:
    """So it can read, and Ctrl-C is for it."""
    assert terminal.start(start_init, *PYTHON, "-c", IN_FRONT).wait() == 0


def test_ctrl_c_ends_the_child_and_init_says_130(start_init: Starter, terminal: Terminal) -> None:
    """Once, by the terminal itself."""
    run = terminal.start(start_init, "sleep", "1000")
    terminal.wait_for_foreground("sleep")
    terminal.type(CTRL_C)
    assert run.wait() == 130


def test_an_interactive_shell_keeps_its_job_control(
    start_init: Starter, terminal: Terminal
) -> None:
    """`docker run -it ... bash`: Ctrl-Z, fg, Ctrl-C, and out."""
    run = terminal.start(start_init, *BASH)
    terminal.expect("here> ")
    terminal.type("sleep 1000\n")
    sleep = terminal.wait_for_foreground("sleep")
    terminal.type(CTRL_Z)
    terminal.expect("Stopped")
    terminal.expect("here> ")
    assert state(sleep) == "T"
    terminal.type("fg\n")
    assert terminal.wait_for_foreground("sleep") == sleep
    terminal.type(CTRL_C)
    terminal.expect("here> ")
    terminal.type("echo it=$?=\n")
    terminal.expect("it=130=")
    terminal.type("exit 7\n")
    assert run.wait() == 7


def job(*command: str) -> str:
    """A command line that runs a command under init."""
    return shlex.join([*INIT, *command])


def test_as_a_shells_job_init_stops_and_goes_on_with_its_child(
    start_init_below: Starter, terminal: Terminal
) -> None:
    """Ctrl-Z stops the child's group only; the shell waits for init, so init has to stop, too."""
    run = terminal.start(start_init_below, *BASH, init=())
    terminal.expect("here> ")
    terminal.type(job("cat") + "\n")
    for word in ("first", "second", "third"):
        cat = terminal.wait_for_foreground("cat")
        terminal.type(word + "\n")
        terminal.expect(f"{word}\r\n{word}")  # the terminal's echo, then cat's
        terminal.type(CTRL_Z)
        terminal.expect("Stopped")
        terminal.expect("here> ")
        assert state(cat) == "T"
        terminal.type("fg\n")
    terminal.wait_for_foreground("cat")
    terminal.type(CTRL_C)
    terminal.expect("here> ")
    terminal.type("echo it=$?=; exit 6\n")
    terminal.expect("it=130=")
    assert run.wait() == 6


def test_a_stopped_job_can_go_on_in_the_background(
    start_init_below: Starter, terminal: Terminal
) -> None:
    """The shell keeps the terminal, also when the job ends there."""
    out = start_init_below.folder / "out"
    run = terminal.start(start_init_below, *BASH, init=())
    terminal.expect("here> ")
    terminal.type(job(*program("signal_printer", out, 15)) + "\n")
    wait_for_text(out, "ready")
    terminal.type(CTRL_Z)
    wait_for_text(out, "got 20")  # it only writes it down
    os.kill(children(children(run.pid)[0])[0], signal.SIGSTOP)
    terminal.expect("Stopped")
    terminal.type("bg; echo it=$?=\n")
    terminal.expect("it=0=")
    terminal.type("kill %1; wait; echo over''now\n")
    terminal.expect("overnow")
    terminal.type("exit 5\n")
    assert run.wait() == 5


def test_a_background_job_does_not_steal_the_terminal(
    start_init_below: Starter, terminal: Terminal
) -> None:
    """Tini does; the shell would be stopped or thrown out at its next read."""
    out = start_init_below.folder / "out"
    run = terminal.start(start_init_below, *BASH, init=())
    terminal.expect("here> ")
    terminal.type(job("sh", "-c", f"echo ready > {out}; exec sleep 1000") + " &\n")
    wait_for_text(out, "ready")
    terminal.type("echo still''here\n")
    terminal.expect("stillhere")
    terminal.type("kill %1; wait; exit 3\n")
    assert run.wait() == 3


def test_a_script_goes_on_in_the_foreground_behind_init(
    start_init_below: Starter, terminal: Terminal
) -> None:
    """The terminal is given back to those who had it."""
    check = shlex.join([*PYTHON, "-c", IN_FRONT])
    script = f"{job('true')}; {check}; exit $?"
    assert terminal.start(start_init_below, "sh", "-c", script, init=()).wait() == 0


def test_a_hangup_is_passed_on(start_init: Starter, terminal: Terminal) -> None:
    """Init leads the session, so the kernel tells init."""
    out = start_init.folder / "out"
    run = terminal.start(start_init, "-vvv", *program("signal_printer", out, 1))
    wait_for_text(out, "ready")
    terminal.hang_up()
    assert run.wait() == 42
    assert "got 1\n" in read(out)
