"""The asyncio side of a process group: start one under a shim, end it, await "nothing left".

Nothing here waits for any process but the shims it started, each by its pid (through a pidfd, so
that no thread and no SIGCHLD handler is needed); what lives under a shim is the shim's business.
"""

import asyncio
import contextlib
import functools
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from poster_service.bytecode import compiled
from poster_service.process import census

logger = logging.getLogger(__name__)

LAST_WORDS = 2000
SHIM = Path(__file__).with_name("shim.py")


@dataclass(frozen=True)
class Ending:
    """How a group ended.

    Attributes:
        clean: The shim saw ECHILD, removed the folder and left with 0: nothing can be left.
        reason: "asked", "term", "exited" (the leader died by itself) or "lost" (the shim died).
        leader_status: Exit status of the leader; negative for a signal, None when unknown.
        adopted: Processes reaped beside the leader.
        swept: Processes that only the backstop found; 0 whenever the ending was clean.
    """

    clean: bool
    reason: str
    leader_status: int | None = None
    adopted: int = 0
    swept: int = 0


@dataclass(frozen=True)
class Command:
    """What to start.

    Attributes:
        argv: Absolute path of the program and its arguments.
        folder: The lease folder: working directory, home of all it writes; removed at the end.
        tag: Soft RLIMIT_LOCKS value that all its processes carry; 0 for none.
        environment: The whole environment; nothing of ours is inherited.
        descriptors: Pairs (number the program sees, our number); ours are closed here after start.
        reap: False only in tests, to show what reaping prevents.
    """

    argv: Sequence[str]
    folder: Path
    tag: int
    environment: Mapping[str, str]
    descriptors: Sequence[tuple[int, int]] = ()
    reap: bool = True


class Group:
    """One process group under a shim of its own; made by `start`."""

    def __init__(
        self, command: Command, shim: "subprocess.Popen[bytes]", control: int, errors: BinaryIO
    ) -> None:
        self.command = command
        self.shim_pid = shim.pid
        self._shim = shim
        self._control: int | None = control
        self._errors = errors
        self._last_words = b""
        self._report = b""
        loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[Ending] = loop.create_future()
        self._finish: asyncio.Task[None] | None = None

    @classmethod
    def start(cls, command: Command) -> "Group":
        """Start the program under a new shim, from the running loop's thread.

        The folder must exist. Blocks for the fork and exec of the shim, 1 to 2 ms. Never call this
        from another thread: the parent-death signal follows the thread that forked (prctl(2)).

        Raises:
            OSError: The shim could not be started (no processes, memory or descriptors left).
        """
        try:
            (control, control_held), (report_held, report) = pipes(2)
        except OSError:
            for _, ours in command.descriptors:
                os.close(ours)
            raise
        theirs = [control, report, *(ours for _, ours in command.descriptors)]
        held = contextlib.ExitStack()
        held.callback(os.close, control_held)
        held.callback(os.close, report_held)
        try:
            # A file and no pipe: nobody has to read it, and every grandchild may keep it open.
            errors = held.enter_context((command.folder / "stderr").open("w+b"))
            shim = subprocess.Popen(  # noqa: S603 - argv of ours, no shell
                _shim_argv(command, control, report),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=command.folder,
                env=dict(command.environment),
                pass_fds=theirs,
                start_new_session=True,  # the terminal's Ctrl-C is the service's to hear
            )
        except OSError:
            held.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        held.pop_all()  # it runs: from here on the group owns them
        group = cls(command, shim, control_held, errors)
        group._watch(report_held)
        return group

    def errors(self) -> str:
        """The last 2,000 bytes of what the program said on stderr; also when it is gone."""
        words = self._last_words if self._errors.closed else self._read_errors()
        return words.decode(errors="replace").strip()

    def _read_errors(self) -> bytes:
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), LAST_WORDS, max(0, size - LAST_WORDS))

    def end(self) -> None:
        """Ask the shim to kill and reap everything. Returns at once; may be called again."""
        if self._control is not None:
            os.close(self._control)
            self._control = None

    async def wait_gone(self) -> Ending:
        """Wait until nothing of the group is left and its folder is removed."""
        return await asyncio.shield(self._ending)

    def on_gone(self, callback: Callable[[Ending], None]) -> None:
        """Have `callback` called with the ending, once."""
        self._ending.add_done_callback(lambda done: callback(done.result()))

    def _watch(self, report: int) -> None:
        """Collect the shim's few lines until it leaves, then settle the ending."""
        loop = asyncio.get_running_loop()
        pidfd = os.pidfd_open(self._shim.pid)

        def shim_left() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            status = self._shim.wait()  # it is dead already: this only collects the status
            # A few short lines: they fit the pipe whole, so one read after the end gets all.
            self._report = os.read(report, 65536)
            os.close(report)
            self._last_words = self._read_errors()
            self._errors.close()
            self.end()
            self._settle(status)

        os.set_blocking(report, False)
        loop.add_reader(pidfd, shim_left)

    def _settle(self, status: int) -> None:
        words = _last_report(self._report)
        if status == 0 and words:
            ending = Ending(
                True, words["reason"], int(words["status"]), adopted=int(words["adopted"])
            )
            self._ending.set_result(ending)
            return
        logger.error("shim %d left with %d; sweeping after it", self._shim.pid, status)
        self._finish = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        """The backstop: the shim died early, so its group is found by tag and ended from here.

        The processes themselves die of the parent-death signal and are reaped by init; this makes
        sure of it, and removes the folder that nobody else will.
        """
        swept = 0
        try:
            if self.command.tag:
                swept = await census.end_tagged(self.command.tag)
            await asyncio.to_thread(shutil.rmtree, self.command.folder, ignore_errors=True)
        except Exception:
            logger.exception("the sweep after shim %d failed", self._shim.pid)
        finally:  # whatever happened: who waits is told, and the slot comes back
            self._ending.set_result(Ending(False, "lost", swept=swept))


def pipes(count: int) -> list[tuple[int, int]]:
    """So many pipes as pairs (end to read, end to write), or none at all.

    Raises:
        OSError: There are not enough descriptors; those made before are closed.
    """
    made: list[tuple[int, int]] = []
    try:
        for _ in range(count):
            made.append(os.pipe())  # noqa: PERF401 - those made so far are needed on failure
    except OSError:
        for pair in made:
            os.close(pair[0])
            os.close(pair[1])
        raise
    return made


@functools.cache
def _shim() -> str:
    """The program to run as a shim; looked up once and not at every start of a Chrome."""
    return compiled(SHIM)


def _shim_argv(command: Command, control: int, report: int) -> list[str]:
    words = [f"folder={command.folder}", f"tag={command.tag}"]
    words += [f"control={control}", f"report={report}"]
    words += [f"fd={seen}:{held}" for seen, held in command.descriptors]
    if not command.reap:
        words.append("no-reap")
    return [sys.executable, "-I", "-S", "-E", _shim(), *words, "--", *command.argv]


def _last_report(report: bytes) -> dict[str, str]:
    """The words of the shim's last line, empty when it did not get that far."""
    lines = report.decode().splitlines()
    if not lines or not lines[-1].startswith("gone "):
        return {}
    return dict(word.split("=", 1) for word in lines[-1].split()[1:])
