"""`--check`, for HEALTHCHECK: zombies by the parent that fails to wait, and how full the cgroup is.

And bad input: one line that names the remedy, status 1, nothing started.
"""

from pathlib import Path

import pytest

from poster_service import init
from tests.process.init_harness import (
    INIT,
    PYTHON,
    Starter,
    children,
    program,
    read,
    wait_for_text,
    wait_until,
)

pytest_plugins = ("tests.process.init_fixtures",)


def check(start: Starter, made: int, *options: object) -> tuple[int, str]:
    """Run --check in a namespace where one process has made so many zombies."""
    out, done = start.folder / "out", start.folder / "done"
    look = " ".join([*INIT, "--check", *map(str, options)])
    ready = f"while ! grep -q ready {out}; do sleep 0.01; done"
    script = f'"$@" & {ready}; {look}; echo status $? > {done}; exit 0'
    init_run = start("sh", "-c", script, "sh", *program("zombie_maker", made, out))
    status = init_run.wait()
    assert status == 0
    return int(read(done).split()[1]), init_run.stderr()


@pytest.mark.parametrize(("made", "status"), [(0, 0), (10, 0), (11, 1)])
def test_more_than_ten_zombies_are_unhealthy(
    start_init_first: Starter, made: int, status: int
) -> None:
    """Docker's HEALTHCHECK knows 0 and 1."""
    found, text = check(start_init_first, made)
    assert found == status
    assert f"{made} zombie" in text


def test_the_limit_can_be_set(start_init_first: Starter) -> None:
    """By option."""
    assert check(start_init_first, 3, "--max-zombies", 2)[0] == 1
    assert check(start_init_first, 3, "--max-zombies=3")[0] == 0


def test_the_parent_that_fails_to_wait_is_named(start_init_first: Starter) -> None:
    """Not the zombies' own pids, about which an operator can do nothing."""
    _, text = check(start_init_first, 12)
    culprit = next(part for part in text.split("; ") if "does not wait" in part)
    assert culprit.startswith("python")
    assert "does not wait for 12: python" in culprit
    assert "(pid 3)" in culprit  # 1 is init, 2 the shell


def test_a_thread_leader_that_left_before_its_threads_is_no_zombie(
    start_init_first: Starter,
) -> None:
    """It has the letter Z, and its parent cannot wait for it yet."""
    out, done = start_init_first.folder / "out", start_init_first.folder / "done"
    code = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
        f"open({str(out)!r}, 'w').write('ready')\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    look = " ".join([*INIT, "--check", "--max-zombies", "0"])
    script = f'"$@" & while ! test -e {done}; do sleep 0.02; done; {look}'
    init_run = start_init_first("sh", "-c", script, "sh", *PYTHON, "-c", code)
    wait_for_text(out, "ready")
    shell = init_run.main
    leader = next(pid for pid in children(shell) if read(Path(f"/proc/{pid}/comm")) != "sleep\n")
    wait_until(lambda: init.read_stat(leader)[1] == "Z", "the leader looks like a zombie")
    done.touch()
    assert init_run.wait() == 0
    assert "0 zombies (at most 0)" in init_run.stderr()


def test_it_tells_how_many_pids_are_in_use(start_init_first: Starter) -> None:
    """With the limit of this machine."""
    assert "pids in use: " in check(start_init_first, 0)[1]


def cgroups(root: Path, limits: dict[str, tuple[str, str]]) -> None:
    """A tree of cgroups: folder -> (used, allowed)."""
    for folder, (used, allowed) in limits.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "pids.current").write_text(used + "\n")
        (root / folder / "pids.max").write_text(allowed + "\n")


@pytest.mark.parametrize(
    ("listing", "limits", "share"),
    [
        ("0::/\n", {".": ("12", "100")}, (12, 100)),  # v2, in a container
        ("0::/a/b\n", {"a/b": ("5", "max"), "a": ("30", "40")}, (30, 40)),  # the parent's limit
        ("0::/a/b\n", {"a/b": ("5", "10"), "a": ("6", "40")}, (5, 10)),  # the nearer one to full
        ("3:cpu:/x\n8:pids:/x\n0::/\n", {"pids/x": ("7", "9"), "cpu/x": ("8", "8")}, (7, 9)),  # v1
        ("8:pids:/docker/0123\n", {"pids": ("7", "200")}, (7, 200)),  # v1, only the end is mounted
        ("4:cpu,pids:/x\n", {"pids/x": ("1", "2")}, (1, 2)),  # controllers mounted together
        ("0::/../other\n", {".": ("1", "2")}, (1, 2)),  # seen from another cgroup namespace
        ("0::/\n", {".": ("12", "max")}, (0, 0)),
        ("", {}, (0, 0)),
    ],
)
def test_the_share_of_pids_in_cgroups_of_both_versions(
    tmp_path: Path, listing: str, limits: dict[str, tuple[str, str]], share: tuple[int, int]
) -> None:
    """Of all limits above us the one nearest to full counts."""
    cgroups(tmp_path, limits)
    (tmp_path / "listing").write_text(listing)
    assert init.pids_share(str(tmp_path / "listing"), str(tmp_path)) == share


@pytest.mark.parametrize(
    "bad",
    [
        ["--no-such-option"], ["-e", "256"], ["-e", "x"], ["-r", "TERM:NOPE"], ["-r", "99:1"],
        ["-p", "SIGNOPE"], ["--grace", "-1"], ["--delay", "soon"], ["-o", "/no/such/folder/file"],
        ["--check"],
    ],
)  # fmt: skip
def test_bad_input_starts_nothing(start_init: Starter, bad: list[str]) -> None:
    """One line that names the remedy, status 1."""
    trace = start_init.folder / "trace"
    status, text = start_init.run(*bad, "touch", trace)
    assert status == 1
    assert text.count("\n") == 1
    assert text.startswith("poster-init[")
    assert not trace.exists()


def test_a_bad_variable_starts_nothing(start_init: Starter) -> None:
    """And it is named."""
    env = {"PATH": "/usr/bin:/bin", "POSTER_INIT_KILL_GRACE": "soon"}
    status, text = start_init.run("true", env=env)
    assert status == 1
    assert "POSTER_INIT_KILL_GRACE" in text


def test_no_command_is_bad_input(start_init: Starter) -> None:
    """It says how a command is given."""
    status, text = start_init.run("-g")
    assert status == 1
    assert "no command given; usage: poster-init [options] [--] command" in text


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_option(start_init: Starter, option: str) -> None:
    """And the variables."""
    status, text = start_init.run(option)
    assert status == 0
    assert all(f"-{letter}, --{long}" in text for letter, long, _, _ in init.OPTIONS)
    assert "TINI_VERBOSITY" in text


def test_version_and_licence(start_init: Starter) -> None:
    """As tini has them."""
    assert start_init.run("--version") == (0, f"poster-init {init.VERSION}\n")
    assert start_init.run("-l") == (0, "MIT\n")


def test_unknown_variables_of_ours_are_reported_and_do_no_harm(start_init: Starter) -> None:
    """A typing error is seen; Kubernetes' POSTER_INIT_SERVICE_HOST stops nothing."""
    env = {"PATH": "/usr/bin:/bin", "POSTER_INIT_GRACEE": "3"}
    status, text = start_init.run("sh", "-c", "exit 3", env=env)
    assert status == 3
    assert "POSTER_INIT_GRACEE is not a variable of poster-init" in text


def test_the_console_command_is_the_same_program(start_init: Starter) -> None:
    """`poster_service.init:main`, as the installed command calls it."""
    code = "import sys; sys.path.insert(0, {!r}); from poster_service.init import main; main()"
    root = str(Path(init.__file__).parents[1])
    command = [*PYTHON, "-c", code.format(root)]
    init_run = start_init("sh", "-c", "exit 9", init=command)
    assert init_run.wait() == 9
