"""What differs between processors: numbers of system calls, as the kernel's own headers have them.

Constants that this service writes out itself are the same on all of them (prctl options, clone
flags, RLIMIT_LOCKS, the numbers of signals), and no structure of the kernel is laid out by hand.
`tests/image/test_arm64.py` runs the programs on an emulated arm64.
"""

import os
import posix
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from poster_service import init
from poster_service.process import shim
from tests.process.init_harness import PYTHON

#: Where Debian's linux-libc-dev has the table of each; the generic one is that of all newer ones.
TABLES = {
    "x86_64": "x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "asm-generic/unistd.h",
    "riscv64": "asm-generic/unistd.h",
}


def header(name: str) -> str:
    """A header of the kernel; without the package the test is left out."""
    file = Path("/usr/include") / name
    if not file.exists():
        pytest.skip(f"{file} is not here (Debian's package linux-libc-dev)")
    return file.read_text("utf-8")


def constant(text: str, name: str) -> int:
    """The number that a header gives a name."""
    return int(re.findall(rf"^#define\s+{name}\s+(\w+)", text, re.MULTILINE)[0], 0)


@pytest.mark.parametrize("architecture", TABLES)
def test_the_number_of_clone_is_the_kernels(architecture: str) -> None:
    """By the header that programs for that architecture are compiled with."""
    assert shim.CLONE[architecture] == constant(header(TABLES[architecture]), "__NR_clone")


def test_every_architecture_that_is_listed_is_checked() -> None:
    """None is added to the table without its header."""
    assert shim.CLONE.keys() == TABLES.keys()


def test_the_constants_are_the_kernels() -> None:
    """Options of prctl(2) and flags of clone(2), which no architecture changes."""
    options = header("linux/prctl.h")
    for module, names in {
        shim: ("PR_SET_PDEATHSIG", "PR_SET_NAME", "PR_SET_CHILD_SUBREAPER", "PR_SET_NO_NEW_PRIVS"),
        init: ("PR_SET_PDEATHSIG", "PR_SET_CHILD_SUBREAPER"),
    }.items():
        for name in names:
            assert getattr(module, name) == constant(options, name), name
    assert constant(header("linux/sched.h"), "CLONE_PARENT") == shim.CLONE_PARENT
    assert constant(header("asm-generic/resource.h"), "RLIMIT_LOCKS") == shim.RLIMIT_LOCKS
    assert (signal.SIGKILL, signal.SIGCHLD) == (shim.SIGKILL, shim.SIGCHLD)


def test_a_fork_by_number_is_a_fork() -> None:
    """In a process of its own: by the number for this architecture there is a child."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(shim.__file__).parent)!r})\n"
        "import posix, shim\n"
        "pid = shim.call('syscall', shim.CLONE[shim.architecture()], shim.SIGCHLD, 0, 0, 0, 0)\n"
        "if pid == 0: posix._exit(7)\n"
        "waited, status = posix.waitpid(-1, 0)\n"
        "print(waited == pid > 0, posix.waitstatus_to_exitcode(status))\n"
    )
    done = subprocess.run([*PYTHON, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "True 7\n", done.stderr


def test_the_architecture_is_that_of_the_program_and_not_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another name of the kernel, as under setarch or emulation, gives no other numbers."""
    other = SimpleNamespace(machine="riscv64")
    monkeypatch.setattr(posix, "uname", lambda: other)
    assert shim.architecture() == str(sys.implementation._multiarch).partition("-")[0]
    monkeypatch.setattr(sys, "implementation", SimpleNamespace(name="other"))
    assert shim.architecture() == "riscv64"


def test_on_an_unknown_architecture_nothing_is_called_by_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server says that it cannot; the service starts each shim by itself then."""

    def called(*_: object) -> int:
        raise AssertionError("a system call by a number of another architecture")

    monkeypatch.setattr(shim, "call", called)
    monkeypatch.setattr(shim, "architecture", lambda: "loongarch64")
    assert shim.fork_sibling() == -1
    assert os.getpid() > 0
