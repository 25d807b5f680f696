"""The asyncio side of a process group: start one under a shim, end it, wait until nothing is left.

Nothing here waits for any process but the shims it started, each by its pid (through a pidfd, so
that no thread and no SIGCHLD handler is needed); the shim takes care of what runs under it.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from poster_service.process import census, cgroup, reaper
from poster_service.process.forkserver import Forked, ForkServer, by_path, open_pidfd
from poster_service.process.shim import remove_folder
from poster_service.process.user import User

logger = logging.getLogger(__name__)

#: How much of a program's stderr is read, from its end, in bytes.
MAX_ERRORS = 2000


@dataclass(frozen=True)
class Ending:
    """How a group ended.

    Attributes:
        clean: The shim got ECHILD, removed the folder and exited with 0: nothing can be left.
        reason: "asked", "term", "exited" (the leader exited by itself), "lost" (the shim died)
            or "late" (the shim did not report in time and was given up).
        leader_status: Exit status of the leader; negative for a signal, None when unknown.
        adopted: Processes reaped beside the leader.
        swept: Processes that only a backstop found; 0 whenever the ending was clean.
        survivors: Processes that even the backstops could not end; the caller must keep track of
            them.
    """

    clean: bool
    reason: str
    leader_status: int | None = None
    adopted: int = 0
    swept: int = 0
    survivors: tuple[census.Seen, ...] = ()


class CannotGive(OSError):
    """A lease folder cannot be given to another user, by this user or on its file system."""


@dataclass(frozen=True)
class Command:
    """What to start.

    Attributes:
        argv: Absolute path of the program and its arguments.
        folder: The lease folder: working directory, and where all its files are; removed at the
            end.
        tag: Soft RLIMIT_LOCKS value that all its processes carry; 0 for none.
        environment: The whole environment; nothing of the service's is inherited.
        descriptors: Pairs (number the program sees, our number); `Group.start` closes ours.
        user: The user that the program runs as, and that gets the folder; None for ours. For root
            only.
        folders: Folders in the lease folder that this user gets too, the innermost first.
        groups: Control groups of the lease (see `cgroup.py`); removed at the end.
        reap: False only in tests, to show what reaping prevents.
        end_seconds: How long the shim may take to end everything before the backstop does it.
    """

    argv: Sequence[str]
    folder: Path
    tag: int
    environment: Mapping[str, str]
    descriptors: Sequence[tuple[int, int]] = ()
    user: User | None = None
    folders: Sequence[Path] = ()
    groups: Sequence[Path] = ()
    reap: bool = True
    end_seconds: float = 10.0


class Group:
    """One process group under a shim of its own; `start` creates it."""

    def __init__(
        self,
        command: Command,
        shim: "subprocess.Popen[bytes] | Forked",
        control: int,
        errors: BinaryIO,
    ) -> None:
        self.command = command
        self.shim_pid = shim.pid
        self._shim = shim
        self._control: int | None = control
        self._errors = errors
        self._last_errors = b""
        self._report = b""
        loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[Ending] = loop.create_future()
        self._late: asyncio.TimerHandle | None = None
        self._backstop: asyncio.Task[None] | None = None

    @classmethod
    def start(cls, command: Command, server: ForkServer | None = None) -> "Group":
        """Start the program under a new shim, from the running loop's thread.

        The folder must exist. Blocks while the shim is run (1 to 2 ms) or forked by the server
        (1 ms). Never call this from another thread: the parent-death signal follows the thread that
        forked (prctl(2)).

        Args:
            command: What to start.
            server: Forks the shim; without one, or where it cannot, the shim is run by path.

        Raises:
            OSError: The shim could not be started (no processes, memory or descriptors left).
            CannotGive: The folder cannot be given to the command's user.
        """
        (control, control_held), (report_held, report) = _pipes_of(command)
        theirs = [control, report, *(ours for _, ours in command.descriptors)]
        held = contextlib.ExitStack()
        held.callback(os.close, control_held)
        held.callback(os.close, report_held)
        try:
            # A file instead of a pipe: it need not be read, and every grandchild may keep it open.
            errors = held.enter_context((command.folder / "stderr").open("w+b"))
            if command.user is not None:
                for folder in (*command.folders, command.folder):
                    _give(folder, command.user)  # from here on we open nothing in it by name
            shim = _start_shim(command, theirs, errors, server)
            pidfd = open_pidfd(shim)
        except (OSError, ValueError):  # ValueError for a NUL in an argument
            held.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        held.pop_all()  # it runs: from here on the group owns them
        group = cls(command, shim, control_held, errors)
        group._watch(report_held, pidfd)
        return group

    def errors(self) -> str:
        """The last 2,000 bytes of the program's stderr; also after its end."""
        words = self._last_errors if self._errors.closed else self._read_errors()
        return words.decode(errors="replace").strip()

    def _read_errors(self) -> bytes:
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), MAX_ERRORS, max(0, size - MAX_ERRORS))

    def trim_errors(self, most: int) -> None:
        """Truncate the program's stderr when it takes more than so many bytes of disk.

        Writers go on at their offset: the file keeps its size, but not its blocks.
        """
        if not self._errors.closed and os.fstat(self._errors.fileno()).st_blocks * 512 > most:
            os.ftruncate(self._errors.fileno(), 0)

    def end(self) -> None:
        """Ask the shim to kill and reap everything. Returns at once; may be called again."""
        if self._control is not None:
            os.close(self._control)
            self._control = None
            if not self._ending.done():
                # A stopped shim would not see the end of its pipe. The pid cannot have been reused:
                # only this process can reap the shim, and it has not.
                self._shim.send_signal(signal.SIGCONT)
                loop = asyncio.get_running_loop()
                self._late = loop.call_later(self.command.end_seconds, self._give_up_shim)

    async def wait_gone(self) -> Ending:
        """Wait until nothing of the group is left and its folder is removed."""
        return await asyncio.shield(self._ending)

    def on_gone(self, callback: Callable[[Ending], None]) -> None:
        """Call `callback` with the ending, once, when nothing of the group is left."""
        self._ending.add_done_callback(lambda done: callback(done.result()))

    def _watch(self, report: int, pidfd: int) -> None:
        """Wait for the shim to exit, read its report, and settle the ending."""
        loop = asyncio.get_running_loop()

        def shim_left() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            # It has exited: this only collects the status, which a tracer may hold back.
            status = self._shim.poll()
            if status is None:
                reaper.retry(loop, self._shim.poll)
            # A few short lines: they fit into the pipe, so one read after the exit gets all. If a
            # child of a shim that died at once holds the pipe, there is neither data nor its end.
            with contextlib.suppress(BlockingIOError):
                self._report = os.read(report, 65536)
            os.close(report)
            self._last_errors = self._read_errors()
            self._errors.close()
            self.end()
            self._settle(status)

        os.set_blocking(report, False)
        loop.add_reader(pidfd, shim_left)

    def _settle(self, status: int | None) -> None:
        """The shim has exited: with its whole report, or before it could write it."""
        if self._late is not None:
            self._late.cancel()
        if self._backstop is not None:
            return
        report = _last_report(self._report)
        if status in (0, None) and report.get("remains") == "0":
            ending = Ending(
                True, report["reason"], int(report["status"]), adopted=int(report["adopted"])
            )
            self._ending.set_result(ending)
            return
        resisted = f"{report.get('remains')} entries of its folder could not be removed"
        what = resisted if report else "no report"
        logger.error("shim %d exited with %s: %s; the backstop acts", self.shim_pid, status, what)
        reason = report.get("reason", "lost")
        self._backstop = asyncio.get_running_loop().create_task(self._sweep(reason))

    def _give_up_shim(self) -> None:
        """The shim has not reported in time: it is stopped, or waits for a process that stays."""
        logger.error("shim %d has not reported in time; the backstop acts", self.shim_pid)
        self._backstop = asyncio.get_running_loop().create_task(self._sweep("late"))

    async def _sweep(self, reason: str) -> None:
        """The backstop: kill all that carries the tag, the shim last, and remove the folder.

        The shim reaps what dies while there is a shim, else init does. What does not die even of
        this is in uninterruptible sleep; the ending lists it and waits for it no longer.
        """
        swept, survivors = 0, tuple[census.Seen, ...]()
        try:
            swept, survivors = await self._end_tagged()
            await asyncio.to_thread(remove_folder, str(self.command.folder), None)
            await asyncio.to_thread(cgroup.remove, self.command.groups)
        except Exception:
            logger.exception("the backstop for shim %d failed", self.shim_pid)
        finally:  # whatever happened: waiting callers must go on, and the slot must be freed
            self._ending.set_result(Ending(False, reason, swept=swept, survivors=survivors))

    async def _end_tagged(self) -> tuple[int, tuple[census.Seen, ...]]:
        """How many processes the backstop killed, and which outlived it."""
        cgroup.kill(self.command.groups)
        if not self.command.tag:
            return 0, ()
        belongs = self.command.tag.__eq__
        seconds = self.command.end_seconds
        first = await census.end_all(belongs, spare=(self.shim_pid,), seconds=seconds)
        rest = await census.end_all(belongs, seconds=1.0)
        return first.killed + rest.killed, rest.survivors


def _give(folder: Path, user: User) -> None:
    try:
        os.chown(folder, user.uid, user.gid)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise  # not a reason to run as another user
        raise CannotGive(error.errno, f"chown to {user}: {error.strerror}") from error


def _start_shim(
    command: Command, theirs: list[int], errors: BinaryIO, server: ForkServer | None
) -> "subprocess.Popen[bytes] | Forked":
    """Have the server fork the shim, or else run it by path.

    Raises:
        OSError: Both failed.
    """
    if server is not None:
        indexes = range(1, 1 + len(theirs))  # the first is its stderr
        shim = server.fork(_arguments(command, indexes), [errors.fileno(), *theirs])
        if shim is not None:
            return shim
    return subprocess.Popen(  # noqa: S603 - argv of ours, no shell
        by_path(*_arguments(command, theirs)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd=command.folder,
        env={},
        pass_fds=theirs,
        start_new_session=True,  # Ctrl-C in the terminal is for the service only
    )


def _pipes_of(command: Command) -> list[tuple[int, int]]:
    """Two pipes for a command; closes our copies of its descriptors if there are none.

    Raises:
        OSError: There are not enough descriptors.
    """
    try:
        return pipes(2)
    except OSError:
        for _, ours in command.descriptors:
            os.close(ours)
        raise


def pipes(count: int) -> list[tuple[int, int]]:
    """So many pipes as pairs (end to read, end to write).

    Raises:
        OSError: There are not enough descriptors; none stays open.
    """
    created: list[tuple[int, int]] = []
    try:
        for _ in range(count):
            created.append(os.pipe())  # noqa: PERF401 - those created so far are needed on failure
    except OSError:
        for pair in created:
            os.close(pair[0])
            os.close(pair[1])
        raise
    return created


def _arguments(command: Command, numbers: Sequence[int]) -> list[str]:
    """A shim's command line; `numbers` are the descriptors control, report and the program's."""
    control, report, *held = numbers
    words = [f"folder={command.folder}", f"tag={command.tag}"]
    words += [f"control={control}", f"report={report}"]
    words += [
        f"fd={seen}:{number}" for (seen, _), number in zip(command.descriptors, held, strict=True)
    ]
    words += [f"cgroup={group}" for group in command.groups]
    words += [f"env={name}={value}" for name, value in command.environment.items()]
    if command.user is not None:
        words.append(f"user={command.user}")
    if not command.reap:
        words.append("no-reap")
    return [*words, "--", *command.argv]


def _last_report(report: bytes) -> dict[str, str]:
    """The fields of the shim's last line, empty when it did not get that far."""
    lines = report.decode().splitlines()
    if not lines or not lines[-1].startswith("gone "):
        return {}
    return dict(word.split("=", 1) for word in lines[-1].split()[1:])
