"""One process group under its shim: started clean, ended whole, reaped to the last.

The witnesses are the kernel's own: a pipe that every hidden process holds ends only when all have
gone, and a pidfd refuses a signal only when its process has been reaped.
"""

import contextlib
import errno
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from poster_service.process import census
from poster_service.process.shim import remove_folder
from tests.conftest import left
from tests.process.harness import is_known
from tests.process.init_harness import (
    INIT,
    PYTHON,
    children,
    program,
    require_namespace,
    state,
    wait_until,
)

SHIM = Path(__file__).parents[2] / "poster_service" / "process" / "shim.py"
LIMIT_S = 60.0  # how long anything may take before the test fails; nothing ever sleeps it out
LIFE = 7  # the descriptor by which the hidden ones are seen


class Hidden:
    """Processes seen by a pipe that each of them holds, and by a pidfd each."""

    def __init__(self) -> None:
        self._read, self.given = os.pipe()
        self._text = b""
        self.pids: list[int] = []
        self._pidfds: list[int] = []

    def take_over(self) -> None:
        """Close our copy of what was given away; call it once the group has its own."""
        if self.given >= 0:
            os.close(self.given)
            self.given = -1

    def wait_for(self, count: int) -> list[int]:
        """Wait until so many have said that they are in their place."""
        end = time.monotonic() + LIMIT_S
        while len(self.pids) < count:
            self._more(end, f"{count} processes are in place, {len(self.pids)} are")
        return self.pids

    def unreaped(self) -> list[int]:
        """Those that the kernel still knows, alive or zombie."""
        return [pid for pid, pidfd in zip(self.pids, self._pidfds, strict=True) if is_known(pidfd)]

    def ended(self) -> bool:
        """Whether no process holds the pipe any more, seen now and without waiting."""
        while select.select([self._read], [], [], 0)[0]:
            if not os.read(self._read, 65536):
                return True
        return False

    def close(self) -> None:
        """End every process that is left, and our descriptors."""
        self.take_over()
        for pidfd in self._pidfds:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        os.close(self._read)

    def _more(self, end: float, what: str) -> None:
        if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
            pytest.fail(f"waited {LIMIT_S:g} s in vain until {what}")
        chunk = os.read(self._read, 65536)
        if not chunk:
            pytest.fail(f"all are gone before {what}")
        *lines, self._text = (self._text + chunk).split(b"\n")
        for pid in map(int, lines):
            self.pids.append(pid)
            with contextlib.suppress(ProcessLookupError):  # a comet has flown on already
                self._pidfds.append(os.pidfd_open(pid))


class Run:
    """One shim, seen from where the service would be."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "1"
        self.folder.mkdir()
        self.instance = random.randrange(1, 1 << census.INSTANCE_BITS)
        self.tag = census.make_tag(self.instance, 1)
        self.hidden = Hidden()
        self.stderr = home.parent / f"{home.name}.stderr"
        self._control: int | None = None
        self._report = -1
        self._lines: list[str] = []
        self._text = b""
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str],
        *words: str,
        before: Sequence[str] = (),
        fds: Sequence[tuple[int, int]] = (),
        environment: dict[str, str] | None = None,
        tag: int | None = None,
    ) -> "Run":
        """Start the shim with a command below it; `before` is a command that execs the shim."""
        control, self._control = os.pipe()
        self._report, report = os.pipe()
        pairs = [(LIFE, self.hidden.given), *fds]
        tag = self.tag if tag is None else tag
        reported = [f"folder={self.folder}", f"tag={tag}", f"control={control}"]
        reported += [f"env={name}={value}" for name, value in (environment or {}).items()]
        reported += [f"report={report}", *words, *(f"fd={seen}:{held}" for seen, held in pairs)]
        with self.stderr.open("wb") as errors:
            self.process = subprocess.Popen(
                [*before, *PYTHON, str(SHIM), *reported, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=self.folder,
                env={},
                pass_fds=[control, report, *(held for _, held in pairs)],
            )
        os.close(control)
        os.close(report)
        self.hidden.take_over()
        return self

    def hide(self, kind: str, *arguments: object, **how: Any) -> "Run":
        """Start the program that hides its descendants."""
        return self.start(program("group_hide", kind, *arguments), **how)

    def attach(self, control: int, report: int) -> None:
        """Take over the pipes of a shim that was started by other means."""
        self._control, self._report = control, report

    @property
    def pid(self) -> int:
        """The shim's pid."""
        assert self.process is not None
        return self.process.pid

    @property
    def leader(self) -> int:
        """The leader's pid, as the shim reports it."""
        return int(self.line(0).removeprefix("started "))

    def line(self, number: int) -> str:
        """One line of the report, waited for."""
        end = time.monotonic() + LIMIT_S
        while len(self._lines) <= number:
            if not select.select([self._report], [], [], max(0.0, end - time.monotonic()))[0]:
                pytest.fail(f"no line {number} in the shim's report: {self._lines}")
            chunk = os.read(self._report, 65536)
            if not chunk:
                pytest.fail(f"the report ended: {self._lines}; {self.stderr.read_text()}")
            *lines, self._text = (self._text + chunk).split(b"\n")
            self._lines += [line.decode() for line in lines]
        return self._lines[number]

    def ask(self) -> None:
        """End the control pipe."""
        if self._control is not None:
            os.close(self._control)
            self._control = None

    def stop_listening(self) -> None:
        """Close the reading end of the report, as a service does that has died."""
        os.close(self._report)
        self._report = -1

    def wait(self) -> int:
        """The shim's exit status."""
        assert self.process is not None
        return self.process.wait(LIMIT_S)

    def gone(self) -> dict[str, str]:
        """Wait for the shim's end; its last line, after seeing that really nothing is left."""
        words = dict(word.split("=", 1) for word in self.line(1).split()[1:])
        status = self.wait()
        assert status == 0, self.stderr.read_text()
        self.assert_nothing_left()
        return words

    def assert_nothing_left(self) -> None:
        """No process of this run, alive or zombie, and no folder; looked at once, now."""
        assert left(self.instance, self.home) == []
        assert self.hidden.unreaped() == []
        assert self.hidden.ended(), "a process still holds the pipe"

    def close(self) -> None:
        """End what a failed test has left, by pids that are ours."""
        self.ask()
        if self.process is not None:
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.hidden.close()
        if self._report >= 0:
            os.close(self._report)
        for seen in census.tagged(self.instance):
            with contextlib.suppress(ProcessLookupError):
                os.kill(seen.pid, signal.SIGKILL)


@pytest.fixture
def run(work_dir: Path) -> Iterator[Run]:
    """One shim, ended at the end of the test."""
    one = Run(work_dir)
    try:
        yield one
    finally:
        one.close()


# --- how it ends -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Run.ask, "asked"),
        (lambda run: os.kill(run.pid, signal.SIGTERM), "term"),
        (lambda run: os.kill(run.pid, signal.SIGINT), "term"),
        (lambda run: os.kill(run.pid, signal.SIGHUP), "term"),
        (lambda run: os.kill(run.leader, signal.SIGKILL), "exited"),
        (lambda run: os.kill(run.leader, signal.SIGTERM), "exited"),
    ],
    ids=["control-eof", "TERM", "INT", "HUP", "leader-killed", "leader-terminated"],
)
def test_every_cause_ends_the_whole_group(
    run: Run, cause: Callable[[Run], None], reason: str
) -> None:
    """However a lease ends: group, what left it and folder are gone, and a report says so."""
    run.hide("escaped").hidden.wait_for(2)
    cause(run)
    assert run.gone()["reason"] == reason


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("exit",), "7"), (("die", signal.SIGSEGV), "-11"), (("die", signal.SIGTERM), "-15")],
)
def test_a_leader_that_leaves_by_itself_takes_all_with_it(
    run: Run, arguments: tuple[object, ...], status: str
) -> None:
    """Its exit status or signal is reported; its children and grandchildren are not left."""
    words = run.hide(*map(str, map(_number, arguments))).gone()
    assert (words["reason"], words["status"], words["remains"]) == ("exited", status, "0")
    assert int(words["adopted"]) >= 1


def _number(argument: object) -> object:
    return int(argument) if isinstance(argument, signal.Signals) else argument


def test_an_end_that_was_asked_for_before_the_start_is_over(run: Run) -> None:
    """The service may hang up on a shim that has not even started its program."""
    run.hide("plain").ask()
    assert run.gone()["reason"] == "asked"


def test_what_dies_in_mid_life_is_reaped_then(run: Run) -> None:
    """A long-lived group carries no zombies: its orphans are reaped as they die."""
    run.hide("orphans", 50).hidden.wait_for(1)
    wait_until(lambda: children(run.pid) == [run.leader], "only the leader is left")
    words = left(run.instance, run.home / "nowhere")
    assert len(words) == 2, words  # the shim and its leader
    run.ask()
    assert int(run.gone()["adopted"]) == 50


def test_a_reader_that_has_left_does_not_keep_the_shim_from_its_work(run: Run) -> None:
    """When the service is dead no process reads the report, and all ends as well."""
    run.hide("escaped").hidden.wait_for(2)
    run.stop_listening()
    run.ask()
    assert run.wait() == 0
    run.assert_nothing_left()


# --- who hides ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "in_place"),
    [
        ("nothing", (), 1),
        ("plain", (), 2),
        ("escaped", (), 2),
        ("stopped", (), 2),
        ("leader-stopped", (), 2),
        ("deaf", (), 2),
        ("comet", (), 2),
        ("unmarked", (), 2),
        ("subreaper", (), 3),
        ("bomb", (300,), 301),
        pytest.param("bomb", (3500,), 3501, marks=pytest.mark.slow),
    ],
)
def test_no_process_hides_from_the_end(
    run: Run, kind: str, arguments: tuple[int, ...], in_place: int
) -> None:
    """No survivor, no zombie and no folder, however a descendant hid (docs/facts.md)."""
    run.hide(kind, *arguments).hidden.wait_for(in_place)
    if "stopped" in kind:
        wait_until(lambda: any(state(pid) == "T" for pid in run.hidden.pids), "one is stopped")
    run.ask()
    words = run.gone()
    assert (words["reason"], words["remains"]) == ("asked", "0")
    assert words["status"] == "-9"


@pytest.mark.parametrize("round_", range(5))
def test_a_comet_is_caught_every_time(run: Run, round_: int) -> None:
    """It forks every 100 us; a scan of the tags misses it in one run of three (docs/facts.md)."""
    run.hide("comet").hidden.wait_for(2)
    os.kill(run.pid, signal.SIGTERM)
    assert run.gone()["reason"] == "term", round_


def test_it_touches_no_process_that_is_not_its_own(run: Run) -> None:
    """Not even one that carries the same tag."""
    bystander = subprocess.Popen(["prlimit", f"--locks={run.tag}:", "--", "sleep", "86400"])
    try:
        run.hide("escaped").hidden.wait_for(2)
        run.ask()
        assert run.line(1).startswith("gone ")
        assert run.wait() == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    run.assert_nothing_left()


# --- who dies first ----------------------------------------------------------------------------


@contextlib.contextmanager
def small_service(
    run: Run, tag: int, how: str = "forked"
) -> Iterator[tuple["subprocess.Popen[bytes]", dict[str, Any]]]:
    """A service with one group, below our init and a program that outlives it.

    Init adopts and reaps all orphans, and ends nothing while its own child lives.
    """
    process = subprocess.Popen(
        [
            *INIT, "--", *program("group_keep"), "--", sys.executable,
            *program("group_serve", how, run.folder, tag, run.hidden.given)[-5:],
            "--", *program("group_hide", "escaped"),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[run.hidden.given],
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    run.hidden.take_over()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        reported: dict[str, Any] = json.loads(process.stdout.readline())
        run.hidden.wait_for(2)
        yield process, reported
    finally:
        process.stdin.close()
        process.wait(LIMIT_S)
        process.stdout.close()


@pytest.mark.parametrize("how", ["forked", "by-path"])
def test_a_killed_service_leaves_nothing(run: Run, how: str) -> None:
    """SIGKILL to the service: its shims end their groups and go, and init reaps them.

    So does the server that forks shims, which has no group and no tag.
    """
    with small_service(run, run.tag, how) as (_, reported):
        os.kill(reported["service"], signal.SIGKILL)
        wait_until(lambda: left(run.instance, run.home) == [], "nothing is left")
        wait_until(lambda: not run.hidden.unreaped(), "all is reaped")
        if how == "forked":
            wait_until(lambda: not state(reported["server"]), "the server is gone")


@pytest.mark.parametrize("how", ["forked", "by-path"])
def test_a_killed_shim_takes_its_leader_with_it(run: Run, how: str) -> None:
    """The parent-death signal alone does it: without a tag no backstop finds anything."""
    with small_service(run, 0, how) as (_, reported):
        leader = children(reported["shim"])[0]
        pidfd = os.pidfd_open(leader)
        try:
            os.kill(reported["shim"], signal.SIGKILL)
            wait_until(lambda: not is_known(pidfd), "the leader is dead and reaped")
        finally:
            os.close(pidfd)


# --- the folder --------------------------------------------------------------------------------


def test_the_folder_goes_with_all_in_it_and_no_link_is_followed(run: Run) -> None:
    """What the links point to, inside the work folder or out of it, is not touched."""
    outside = run.home.parent / f"{run.home.name}.outside"
    (outside / "kept").mkdir(parents=True)
    (outside / "kept" / "file").write_text("mine")
    deep = run.folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    (deep / "read-only").mkdir()
    (deep / "to-folder").symlink_to(outside)
    (deep / "to-file").symlink_to(outside / "kept" / "file")
    (deep / "to-nothing").symlink_to("/nonexistent")
    (run.folder / "to-itself").symlink_to(run.folder)
    os.mkfifo(run.folder / "fifo")
    (run.folder / os.fsdecode(b"\xff\xfe name")).write_text("not UTF-8")
    run.hide("plain").hidden.wait_for(2)
    run.ask()
    assert run.gone()["remains"] == "0"
    assert (outside / "kept" / "file").read_text() == "mine"


def test_a_folder_of_a_thousand_levels_goes_too(run: Run) -> None:
    """Deeper than Python calls itself: what a broken-out page could leave is no way to stay."""
    folder = os.open(run.folder, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    try:
        run.hide("plain").hidden.wait_for(2)
        run.ask()
        words = dict(word.split("=", 1) for word in run.line(1).split()[1:])
        is_late = words["remains"] != "0"
        assert run.wait() == int(is_late), run.stderr.read_text()
        if is_late:  # a busy machine may need more than the shim's five seconds; a sweep has more
            found = subprocess.run(["find", run.folder], capture_output=True, check=True).stdout
            assert found.count(b"\n") < 1200
            assert remove_folder(str(run.folder), None) == 0
        run.assert_nothing_left()
    finally:
        subprocess.run(["rm", "-rf", run.folder], check=True)


def test_a_folder_that_is_gone_already_is_no_fault(run: Run) -> None:
    """A program may remove its own folder."""
    run.hide("plain").hidden.wait_for(2)
    run.folder.rmdir()
    run.ask()
    assert run.gone()["remains"] == "0"


def test_a_folder_that_resists_is_reported(run: Run) -> None:
    """A mount point cannot be removed: the shim counts it and leaves with 1, and all else goes."""
    require_namespace()
    stuck = run.folder / "stuck"
    stuck.mkdir()
    (run.folder / "other").write_text("x")
    mount = 'mount -t tmpfs none "$0" && exec "$@"'
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    run.hide("escaped", before=["unshare", *user, "--mount", "sh", "-c", mount, str(stuck)])
    run.hidden.wait_for(2)
    run.ask()
    assert "remains=2" in run.line(1)  # the mount point, and hence the folder that holds it
    assert run.wait() == 1
    assert left(run.instance, run.home) == ["folder: 1"]
    assert [entry.name for entry in run.folder.iterdir()] == ["stuck"]
    assert run.hidden.unreaped() == []


# --- a clean start -----------------------------------------------------------------------------


def reported_by(run: Run, **how: Any) -> dict[str, Any]:
    """What the program sees of itself below a shim."""
    answers, answer = os.pipe()
    try:
        how["fds"] = [*how.get("fds", ()), (9, answer)]
        try:
            run.start([sys.executable, "-I", "-S", *program("group_tell", 9)[-2:]], **how)
        finally:
            os.close(answer)
        run.leader  # noqa: B018 - waits for the start
        run.gone()
        reported: dict[str, Any] = json.loads(os.read(answers, 65536))
    finally:
        os.close(answers)
    return reported


def test_the_program_leads_a_session_and_a_group_of_its_own(run: Run) -> None:
    """And is the child of its shim, with SIGKILL to come when that dies."""
    reported = reported_by(run)
    assert reported["pid"] == reported["session"] == reported["group"] == run.leader
    assert reported["parent"] == run.pid
    assert reported["parent_death_signal"] == signal.SIGKILL


def test_the_program_has_its_tag_folder_environment_and_arguments(run: Run) -> None:
    """Nothing more in the environment than was given, and the hard limit as it was."""
    given = {"HOME": "/nowhere", "漢": "字"}
    reported = reported_by(run, environment=given)
    reported["environment"].pop("LC_CTYPE", None)  # Python's own, in the C locale
    assert reported["environment"] == given
    assert reported["tag"] == run.tag
    assert reported["hard"] == resource.getrlimit(census.RLIMIT_LOCKS)[1]
    assert reported["folder"] == str(run.folder)
    assert reported["arguments"] == ["9"]


def test_without_a_tag_none_is_set(run: Run) -> None:
    """A tag of 0 leaves the limit as it was."""
    assert reported_by(run, tag=0)["tag"] == resource.getrlimit(census.RLIMIT_LOCKS)[0]


def test_the_program_holds_the_descriptors_it_was_given_and_no_other(run: Run) -> None:
    """Not the shim's control and report pipes, nor second copies of its own."""
    reported = reported_by(run)
    assert sorted(map(int, _without_listing(reported["descriptors"]))) == [0, 1, 2, LIFE, 9]
    assert reported["descriptors"]["0"] == reported["descriptors"]["1"] == "/dev/null"
    assert reported["descriptors"]["2"] == str(run.stderr)


def _without_listing(descriptors: dict[str, str]) -> list[str]:
    """Without the one that listed them."""
    return [number for number, link in descriptors.items() if not link.startswith("/proc/")]


def test_descriptors_may_change_places(run: Run) -> None:
    """The number one is wanted under may be the number that another is held under."""
    first, second = os.pipe()
    os.dup2(first, 40, True)
    os.dup2(second, 41, True)
    links = {number: Path(f"/proc/self/fd/{number}").readlink() for number in (40, 41)}
    modes = {number: os.get_blocking(number) for number in (40, 41)}
    try:
        reported = reported_by(run, fds=[(40, 41), (41, 40)])
    finally:
        for number in (first, second, 40, 41):
            os.close(number)
    assert reported["descriptors"]["40"] == str(links[41])
    assert reported["descriptors"]["41"] == str(links[40])
    assert modes == {40: True, 41: True}


DIRTY = ("env", "--ignore-signal", "--block-signal")


def signal_state(run: Run, before: Sequence[str]) -> tuple[int, int]:
    """The masks of ignored and of blocked signals that a program without Python sees."""
    answers, answer = os.pipe()
    try:
        grep = ["/bin/grep", "-E", "^Sig(Ign|Blk):", "/proc/self/status"]
        try:
            run.start(grep, fds=[(1, answer)], before=before)
        finally:
            os.close(answer)
        run.gone()
        fields = dict(line.split(":\t") for line in os.read(answers, 65536).decode().splitlines())
    finally:
        os.close(answers)
    return int(fields["SigIgn"], 16), int(fields["SigBlk"], 16)


@pytest.mark.parametrize("before", [(), DIRTY], ids=["clean", "all-ignored-and-blocked"])
def test_the_program_starts_with_a_clean_signal_state(run: Run, before: tuple[str, ...]) -> None:
    """Nothing is ignored and nothing blocked, although the service was started with both."""
    # 32 and 33 are the C library's own: no program can set them, and `posix_spawn` leaves them.
    own = 1 << 31 | 1 << 32
    ignored, blocked = (state & ~own for state in signal_state(run, before))
    assert (hex(ignored), hex(blocked)) == ("0x0", "0x0")


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Run.ask, "asked"),
        (lambda run: os.kill(run.pid, signal.SIGTERM), "term"),
        (lambda run: os.kill(run.leader, signal.SIGKILL), "exited"),
    ],
    ids=["control-eof", "TERM", "leader-killed"],
)
def test_blocked_and_ignored_signals_do_not_make_the_shim_deaf(
    run: Run, cause: Callable[[Run], None], reason: str
) -> None:
    """It hears what it must hear even if the service was started with all signals blocked."""
    run.hide("plain", before=DIRTY).hidden.wait_for(2)
    cause(run)
    assert run.gone()["reason"] == reason


# --- what cannot be started --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nonexistent/chrome", errno.ENOENT),
        ("/proc/self/status", errno.EACCES),  # a file that is no program
        ("/etc", errno.EACCES),
        ("relative-nowhere", errno.ENOENT),
    ],
)
def test_a_program_that_cannot_be_started_is_reported(run: Run, path: str, reason: int) -> None:
    """127, with the program and the reason on stderr, and nothing is left."""
    words = run.start([path]).gone()
    assert (words["reason"], words["status"]) == ("exited", "127")
    output = run.stderr.read_text()
    assert path in output
    assert os.strerror(reason) in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--"],
        ["control=0", "report=1", "--"],
        ["control=0", "report=1", "true"],
        ["control=0", "--", "/bin/true"],
        ["report=1", "--", "/bin/true"],
        ["control=0", "report=1", "surprise=1", "--", "/bin/true"],
        ["control=0", "report=1", "tag=many", "--", "/bin/true"],
        ["control=zero", "report=1", "--", "/bin/true"],
        ["control=0", "report=1", "fd=3", "--", "/bin/true"],
        ["control=0", "report=1", "fd=a:b", "--", "/bin/true"],
    ],
)
def test_wrong_words_are_refused_before_anything_starts(words: list[str]) -> None:
    """64 and one line that says who is meant to start it; no traceback."""
    done = subprocess.run(
        [*PYTHON, str(SHIM), *words], capture_output=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 64
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == 1
    assert b"started by poster-service" in done.stderr


# --- the search can fail -----------------------------------------------------------------------


def test_a_shim_that_does_not_reap_leaves_what_the_search_finds(run: Run) -> None:
    """With `no-reap`, below a parent that waits for no child, there are zombies: the incident."""
    before = [*program("group_keep", "--adopt", "--")]
    process = _kept(run, before)
    try:
        run.hidden.wait_for(2)
        run.ask()
        assert run.line(1).startswith("gone ")
        wait_until(lambda: not _alive(run), "all are dead")
        found = left(run.instance, run.home)
        assert len(found) == 3, found  # with the shim, which is not waited for either
        assert all(word.startswith("zombie: ") for word in found)
        assert len(run.hidden.unreaped()) == 2
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(LIMIT_S) == 0
    run.assert_nothing_left()


def _kept(run: Run, before: Sequence[str]) -> "subprocess.Popen[bytes]":
    """The shim without reaping, below a program whose stdin is ours."""
    control, held = os.pipe()
    reader, report = os.pipe()
    words = [f"folder={run.folder}", f"tag={run.tag}", f"control={control}", f"report={report}"]
    process = subprocess.Popen(
        [*before, *PYTHON, str(SHIM), *words, f"fd={LIFE}:{run.hidden.given}", "no-reap", "--",
         *program("group_hide", "plain")],
        stdin=subprocess.PIPE, pass_fds=[control, report, run.hidden.given],
    )  # fmt: skip
    os.close(control)
    os.close(report)
    run.hidden.take_over()
    run.attach(held, reader)
    return process


def _alive(run: Run) -> list[str]:
    return [word for word in left(run.instance, run.home) if word.startswith("alive")]


def test_something_left_on_purpose_is_found(run: Run) -> None:
    """While the group runs the same search names its processes and its folder."""
    run.hide("plain").hidden.wait_for(2)
    words = left(run.instance, run.home)
    assert sorted(word.split(":")[0] for word in words) == ["alive"] * 3 + ["folder"]
    assert len(run.hidden.unreaped()) == 2
    assert not run.hidden.ended()
    with pytest.raises(AssertionError):
        run.assert_nothing_left()
    run.ask()
    run.gone()
