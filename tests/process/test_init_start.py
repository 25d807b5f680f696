"""The child gets what init was given: signals, folder, environment, arguments, and nothing more."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.init_harness import PYTHON, Starter, program, read, wait_for_text, wait_until

pytest_plugins = ("tests.process.init_fixtures",)

STATES = ("SigBlk", "SigIgn", "SigCgt")
MIXED = ("10,40", "1,17,20,21,22")  # blocks USR1 and a real-time one; ignores HUP, CHLD, TSTP, ...


def signal_state(text: str) -> dict[str, str]:
    """The lines of /proc/PID/status that tell of signals."""
    lines = (line.split() for line in text.splitlines() if line.startswith(STATES))
    return {words[0]: words[1] for words in lines}


@pytest.mark.parametrize("given", [("-", "-"), MIXED, ("-", "2"), ("2,15,17", "-")])
def test_child_has_the_mask_and_dispositions_that_init_was_started_with(
    start_init: Starter, given: tuple[str, str]
) -> None:
    """Catatonit leaves TSTP, TTIN and TTOU blocked, dumb-init clears the mask, others leak PIPE."""
    launcher = program("started_with", *given)
    _, bare = start_init.run("cat", "/proc/self/status", before=launcher, init=())
    status, below = start_init.run("cat", "/proc/self/status", before=launcher)
    assert status == 0
    assert signal_state(below) == signal_state(bare)
    assert len(signal_state(below)) == 3


def test_what_python_ignores_is_default_in_the_child(start_init: Starter) -> None:
    """SIGPIPE and SIGXFSZ: `yes | head` must end, although Python ignores both in init."""
    _, text = start_init.run("cat", "/proc/self/status")
    ignored = int(signal_state(text)["SigIgn:"], 16)
    assert ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)) == 0


def test_sigchld_inherited_as_ignored_does_not_hang_init(start_init: Starter) -> None:
    """The kernel would reap behind its back: tini and catatonit wait for ever."""
    launcher = program("started_with", "-", "17")
    status, _ = start_init.run("sh", "-c", "exit 5", before=launcher)
    assert status == 5


def test_child_leads_a_process_group_of_its_own(start_init: Starter) -> None:
    """So that -g can reach it and only it."""
    code = "import os; os.write(1, b'%d' % (os.getpgrp() == os.getpid()))"
    assert start_init.run(*PYTHON, "-c", code) == (0, "1")


def test_init_goes_to_the_root_folder_and_the_child_stays_in_the_callers(
    start_init: Starter, tmp_path: Path
) -> None:
    """Its working directory pins no mount."""
    inside = tmp_path / "inside"
    inside.mkdir()
    out = tmp_path / "out"
    init_run = start_init("sh", "-c", f"pwd > {out}; exec sleep 1000", cwd=inside)
    wait_for_text(out, "\n")
    assert read(out).strip() == str(inside)
    wait_until(lambda: Path(f"/proc/{init_run.pid}/cwd").readlink() == Path("/"), "init is in /")
    init_run.signal(signal.SIGTERM)
    assert init_run.wait() == 128 + signal.SIGTERM


def test_init_holds_no_pipe_open_that_the_child_has_closed(
    start_init: Starter, tmp_path: Path
) -> None:
    """A reader of the child's output sees its end when the child closes it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    into_pipe = ("sh", "-c", f'exec "$@" >{pipe}', "sh")  # below unshare, which keeps its own
    init_run = start_init("sh", "-c", "exec >&-; exec sleep 1000", before=into_pipe)
    assert read(pipe) == ""  # ends when the last writer has gone; the suite's timeout is the limit
    assert init_run.process.poll() is None
    init_run.signal(signal.SIGTERM)
    init_run.wait()


def environment(text: str) -> dict[str, str]:
    """What `env` prints."""
    return dict(line.split("=", 1) for line in text.splitlines())


def test_environment_is_the_callers_plus_who_init_is(start_init: Starter) -> None:
    """Not even the LC_CTYPE that Python sets in the C locale is left in it (PEP 538)."""
    given = {"PATH": os.environ["PATH"], "HOME": "/", "EMPTY": ""}
    status, text = start_init.run("env", env=given)
    found = environment(text)
    pid = found.pop("POSTER_INIT_PID")
    assert (status, found) == (0, given)
    assert pid == "1" if start_init.place == "pid 1" else int(pid) > 1


def test_an_lc_ctype_of_the_callers_is_left_alone(start_init: Starter) -> None:
    """Only Python's own is taken out."""
    given = {"PATH": os.environ["PATH"], "LC_CTYPE": "C.UTF-8"}
    _, text = start_init.run("env", env=given)
    assert environment(text)["LC_CTYPE"] == "C.UTF-8"


def test_poster_init_pid_is_the_childs_parent(start_init: Starter) -> None:
    """That is how a program sees that it has init in front."""
    status, _ = start_init.run("sh", "-c", 'test "$PPID" = "$POSTER_INIT_PID"')
    assert status == 0


def test_settings_of_init_do_not_reach_a_nested_init(start_init: Starter, tmp_path: Path) -> None:
    """Two inits with one status file would overwrite each other's ledger."""
    path = tmp_path / "ledger.json"
    _, text = start_init.run("--status-file", path, "env", env={
        "PATH": os.environ["PATH"], "POSTER_INIT_GRACE": "3", "POSTER_INIT_STATUS": "/outer",
    })  # fmt: skip
    found = environment(text.rpartition("poster-init[")[0] or text)
    assert found["POSTER_INIT_STATUS"] == str(path)
    assert "POSTER_INIT_GRACE" not in found


def test_arguments_arrive_byte_for_byte(start_init: Starter, tmp_path: Path) -> None:
    """Also those that are no UTF-8."""
    out = tmp_path / "out"
    odd = b"\xff\xfe \n'\""
    script = f'printf %s "$1" > {out}'
    assert start_init.run("sh", "-c", script, "sh", os.fsdecode(odd))[0] == 0
    assert out.read_bytes() == odd


def test_a_command_that_is_not_there_is_127(start_init: Starter) -> None:
    """As every shell has it; dumb-init says 2, catatonit 1."""
    status, text = start_init.run("no-such-command")
    assert status == 127
    assert "cannot run no-such-command: not found" in text


def test_a_script_whose_interpreter_is_missing_says_so(start_init: Starter, tmp_path: Path) -> None:
    """The file is there, so "not found" alone would send people looking for it."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    status, text = start_init.run(script)
    assert status == 127
    assert "its interpreter or loader is missing" in text


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_not_executable_is_126(start_init: Starter, tmp_path: Path, kind: str) -> None:
    """A plain file, and a folder."""
    thing = tmp_path / "thing"
    thing.write_text("") if kind == "file" else thing.mkdir()
    status, text = start_init.run(thing)
    assert status == 126
    assert "ermission denied" in text


def test_the_status_is_127_also_when_no_one_reads_the_reason(start_init: Starter) -> None:
    """A closed stderr makes it neither 141 nor anything else."""
    reader, writer = os.pipe()
    os.close(reader)
    init_run = start_init("no-such-command", stderr=writer)
    os.close(writer)
    assert init_run.wait() == 127


def test_a_script_without_a_first_line_runs_under_sh(start_init: Starter, tmp_path: Path) -> None:
    """As execvp would have it."""
    script = tmp_path / "script"
    script.write_text('echo "$0 $1 $2"; exit 9\n')
    script.chmod(0o755)
    assert start_init.run(script, "a b", "c") == (9, f"{script} a b c\n")


def test_a_command_is_looked_for_along_path(start_init: Starter, tmp_path: Path) -> None:
    """One that may not be run does not hide one further on; if it is the only one it is 126."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, mode in ((first, 0o644), (second, 0o755)):
        folder.mkdir()
        (folder / "tool").write_text("#!/bin/sh\necho found\n")
        (folder / "tool").chmod(mode)
    usual = os.environ["PATH"]
    env = {"PATH": f"/no/such/folder:{first}:{second}:{usual}"}
    assert start_init.run("tool", env=env) == (0, "found\n")
    assert start_init.run("tool", env={"PATH": f"{first}:{usual}"})[0] == 126


@pytest.mark.parametrize("dashes", [(), ("--",)])
def test_options_stop_at_the_first_operand(start_init: Starter, dashes: tuple[str, ...]) -> None:
    """`init sh -c x` fails under tini and catatonit, which look for options behind it."""
    assert start_init.run("-w", *dashes, "sh", "-c", "echo $1", "-v", "--") == (0, "--\n")


def test_init_runs_on_bytecode_too(start_init: Starter, tmp_path: Path) -> None:
    """Compiled once, it starts in half the time and memory; it is the same program."""
    compiled = tmp_path / "init.pyc"
    code = "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], doraise=True)"
    source = Path(__file__).parents[2] / "poster_service" / "init.py"
    subprocess.run([sys.executable, "-c", code, source, compiled], check=True)
    assert start_init.run("sh", "-c", "exit 4", init=[*PYTHON, str(compiled)])[0] == 4


def test_init_needs_nothing_of_the_package(start_init: Starter, tmp_path: Path) -> None:
    """A copy of the one file, anywhere, is enough."""
    copy = tmp_path / "elsewhere.py"
    shutil.copy(Path(__file__).parents[2] / "poster_service" / "init.py", copy)
    assert start_init.run("sh", "-c", "exit 6", init=[*PYTHON, str(copy)])[0] == 6
