"""Starts init as PID 1 or as a subreaper, looks at it from outside, and leaves nothing behind.

It must never signal a process that it did not start, and never assume that something has happened
because some time has passed. It is no conftest, so that a test says by an import what it uses.
"""

import contextlib
import functools
import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[2]
INIT_FILE = ROOT / "poster_service" / "init.py"
PROGRAMS = Path(__file__).parent / "programs"
PYTHON = (sys.executable, "-I", "-S", "-E")
INIT = (*PYTHON, str(INIT_FILE))
UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")

PLACES = ("pid 1", "subreaper")
LIMIT_S = 60.0  # how long a condition may take before the test fails; nothing ever sleeps it out

# A soft limit without effect since Linux 2.4, inherited by everything: it marks what a test began,
# however it hides (docs/facts.md).
RLIMIT_LOCKS = 10
_tags = itertools.count(os.getpid() * 1_000_000 + 1)

Redirection = int | IO[bytes]


def program(name: str, *arguments: object) -> list[str]:
    """The command line of one of the small programs."""
    return [*PYTHON, str(PROGRAMS / f"{name}.py"), *map(str, arguments)]


def wait_until(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Look until a condition holds; fail with `what` when the limit is over."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {limit_s:g} s in vain until {what}")
        time.sleep(0.005)


def read(path: Path) -> str:
    """A file's text, or nothing where there is none (yet)."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def wait_for_text(path: Path, text: str) -> None:
    """Wait until a program has written something into a file."""
    wait_until(lambda: text in read(path), f"{text!r} stands in {path.name}: {read(path)[-500:]!r}")


def proc_field(pid: int, field: str) -> str:
    """One line of /proc/PID/status, without its name; "" when the process is gone."""
    for line in read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith(field + ":"):
            return line.partition(":")[2].strip()
    return ""


def state(pid: int) -> str:
    """The state letter of a process; "" when it is gone."""
    return proc_field(pid, "State")[:1]


def switches(pid: int) -> int:
    """How often a process has gone to sleep of its own will."""
    return int(proc_field(pid, "voluntary_ctxt_switches") or 0)


def children(pid: int) -> list[int]:
    """The direct children of a process, as seen from here."""
    return [int(word) for word in read(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def wait_for_program(parent: int, name: str) -> int:
    """Wait until a child of a process runs a program; its pid.

    A shell that writes "ready" behind `program &` has only forked: until the child runs the program
    it is a shell still, whose traps catch a signal that was meant to end the program.
    """

    def found() -> list[int]:
        return [pid for pid in children(parent) if proc_field(pid, "Name") == name]

    wait_until(found, f"a child of {parent} runs {name}")
    return found()[0]


def tagged(tag: int) -> list[int]:
    """Every process on the machine, zombies too, that carries a tag."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if resource.prlimit(int(entry.name), RLIMIT_LOCKS)[0] == tag:
                    found.append(int(entry.name))
    return found


@functools.cache
def namespace_fault() -> str:
    """Why this machine cannot make a PID namespace; "" if it can."""
    try:
        done = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    except OSError as fault:
        return str(fault)
    return done.stderr.decode() if done.returncode else ""


def require_namespace() -> None:
    """Skip where a PID namespace is not available; in CI that is a failure."""
    fault = namespace_fault()
    if fault and os.environ.get("CI") == "true":
        pytest.fail(f"CI has to be able to make a PID namespace: {fault}")
    if fault:
        pytest.skip(f"no PID namespace on this machine: {fault}")


class InitRun:
    """One run of init, seen from outside."""

    def __init__(self, process: subprocess.Popen[bytes], place: str, tag: int, err: Path) -> None:
        self.process = process
        self.place = place
        self.tag = tag
        self.err = err

    @property
    def pid(self) -> int:
        """Init's own pid as seen from here."""
        if self.place == "subreaper":
            return self.process.pid
        wait_until(lambda: children(self.process.pid), "unshare has forked")
        return children(self.process.pid)[0]

    @property
    def main(self) -> int:
        """The main child's pid as seen from here."""
        wait_until(lambda: children(self.pid), "init has started its child")
        return children(self.pid)[0]

    def signal(self, number: int) -> None:
        """Send a signal to init."""
        os.kill(self.pid, number)

    def wait(self, limit_s: float = LIMIT_S) -> int:
        """The status init left with. What it left behind fails the test."""
        status = self.process.wait(limit_s)
        left = {pid: proc_field(pid, "Name") for pid in tagged(self.tag)}
        assert not left, f"init left these behind: {left}"
        return status

    def stderr(self) -> str:
        """What init and its children have written to stderr so far."""
        return read(self.err)

    def close(self) -> None:
        """End the processes that the test has not ended itself.

        What forks while it is looked for has children that were not seen, so until none is left;
        zombies are left to who reaps them.
        """
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        end = time.monotonic() + LIMIT_S
        while left := [pid for pid in tagged(self.tag) if state(pid) not in ("", "Z")]:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < end, f"processes outlived KILL: {left}"


class Starter:
    """Starts init for one test, as often as it likes, in one place."""

    def __init__(self, place: str, folder: Path) -> None:
        self.place = place
        self.folder = folder
        self.runs: list[InitRun] = []

    def __call__(
        self,
        *arguments: object,
        before: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        init: Sequence[str] = INIT,
        stdin: Redirection = subprocess.DEVNULL,
        stdout: Redirection | None = None,
        stderr: Redirection | None = None,
    ) -> InitRun:
        """Start init with these arguments; `before` is a command that execs the rest."""
        tag = next(_tags)
        err = self.folder / f"stderr-{len(self.runs)}"
        tagger = ["prlimit", f"--locks={tag}:unlimited", "--"]
        place = list(UNSHARE) if self.place == "pid 1" else []
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("POSTER_", "TINI_"))}
        with err.open("wb") as file:
            process = subprocess.Popen(
                [*tagger, *place, *before, *init, *map(str, arguments)],
                stdin=stdin,
                stdout=file if stdout is None else stdout,
                stderr=file if stderr is None else stderr,
                env=environ if env is None else dict(env),
                cwd=cwd,
            )
        init_run = InitRun(process, self.place, tag, err)
        self.runs.append(init_run)
        return init_run

    def run(self, *arguments: object, **how: object) -> tuple[int, str]:
        """A whole run: the status, and what was written to stdout and stderr."""
        init_run = self(*arguments, **how)  # type: ignore[arg-type]  # the same keywords as above
        return init_run.wait(), init_run.stderr()


@contextlib.contextmanager
def starter(place: str, folder: Path) -> Iterator[Starter]:
    """A starter that ends all of its runs."""
    if place == "pid 1":
        require_namespace()
    start = Starter(place, folder)
    try:
        yield start
    finally:
        for init_run in start.runs:
            init_run.close()
