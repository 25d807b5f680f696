"""The service's side of the server that forks shims (`shim.serve`): start it, ask it, end it.

Most of what a shim run by path costs is the start of its Python. The server has started already, is
small and has one thread, so forking it is cheap and safe, unlike forking the service. What it forks
is the service's own child: nothing is lost with the server, and while no server is up, shims are
run by path.
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from poster_service.bytecode import compiled
from poster_service.process import reaper
from poster_service.process.shim import FORKED_NAME, MOST_BYTES, MOST_DESCRIPTORS, READY

logger = logging.getLogger(__name__)

SHIM = Path(__file__).with_name("shim.py")
#: How long a server that is up may take to answer, in seconds; it takes a millisecond. The event
#: loop is blocked meanwhile, so a frozen server must be given up soon; if it was only slow, that
#: costs the start of another.
ANSWER_SECONDS = 0.5
#: After so many failures in a row no server is used or started any more.
PATIENCE = 3


class Forked:
    """A child of ours that another process forked; the part of `subprocess.Popen` a group needs."""

    def __init__(self, pid: int, known: set[int]) -> None:
        self.pid = pid
        self._known = known
        self._known.add(pid)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while there is none.

        0 where the kernel discarded the status, because SIGCHLD is ignored (wait(2), Notes). Never
        waits: a traced child has no status yet, although it is dead.
        """
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                self._known.discard(self.pid)
        return self._status

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has been waited for: then its pid may have been reused."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Forks shims for one event loop, and replaces its server when that has died.

    To be used in the loop's own thread only: the parent-death signal of all that it forks follows
    the thread that started it (prctl(2)).

    Args:
        command_line: The command line of the server, from its words.
        answer_seconds: How long a server may take to answer.
    """

    def __init__(
        self,
        command_line: Callable[..., list[str]] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._command_line = command_line or by_path
        self._answer_seconds = answer_seconds
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._pidfd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_up = False
        self._failures = 0
        self._known: set[int] = set()

    @property
    def pid(self) -> int | None:
        """The server's pid; None while there is none."""
        return None if self._server is None else self._server.pid

    @property
    def is_up(self) -> bool:
        """Whether the next shim will be forked."""
        return self._is_up

    def start(self) -> None:
        """Start the server, unless there is one or it was given up; it is up a little later."""
        if self._server is None and self._failures < PATIENCE:
            # If this fails, running a shim by path fails too and reports why.
            with contextlib.suppress(OSError):
                self._start()

    def fork(self, words: Sequence[str], descriptors: Sequence[int]) -> Forked | None:
        """Fork a shim, in a millisecond; None if that fails, and the shim must be run by path.

        Args:
            words: Its command line; numbers of descriptors are indexes into `descriptors`.
            descriptors: What it gets, its stderr first; ours stay open.
        """
        self.start()
        channel = self._channel
        message = b"\0".join(os.fsencode(word) for word in words)
        if (
            channel is None
            or not self._is_up
            or message.count(b"\0") != len(words) - 1
            or len(message) > MOST_BYTES
            or len(descriptors) > MOST_DESCRIPTORS
        ):
            return None
        try:
            socket.send_fds(channel, [message], descriptors)
            pid = int(channel.recv(64) or 0)
        except OSError:  # the server has died, or does not answer in time
            pid = 0
        pid = pid or self._find_lost()
        if pid > 0:
            self._failures = 0
            return Forked(pid, self._known)
        self._failed()
        return None

    def close(self) -> None:
        """End the server now; the shims that it forked are not touched.

        Does not wait for one that SIGKILL does not end at once, see `reaper`.
        """
        server, self._server = self._server, None
        if server is None or self._channel is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._pidfd)
            self._loop.remove_reader(self._channel)
        self._channel.close()
        self._channel = None
        self._is_up = False
        server.kill()
        reaper.collect(server.pid, server.poll, self._pidfd, self._loop)

    def _start(self) -> None:
        """Start the server.

        Raises:
            OSError: There are no processes, memory or descriptors left.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                server = subprocess.Popen(  # noqa: S603 - argv of ours, no shell
                    self._command_line(f"serve={theirs.fileno()}"),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env={},
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C in the terminal is for the service only
                )
            self._pidfd = open_pidfd(server)
        except OSError:
            ours.close()
            raise
        ours.settimeout(self._answer_seconds)
        self._server, self._channel = server, ours
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours, self._first_message)
        self._loop.add_reader(self._pidfd, self._exited)

    def _first_message(self) -> None:
        """The server has announced that it is up, or has ended."""
        if self._channel is None or self._loop is None:
            return
        self._loop.remove_reader(self._channel)  # from here on it only answers requests
        with contextlib.suppress(OSError):
            self._is_up = self._channel.recv(64) == READY

    def _exited(self) -> None:
        """The server died while idle: reap it now, replace it when the next shim is needed."""
        if not self._is_up:
            self._failed()
        self.close()

    def _failed(self) -> None:
        self._failures += 1
        if self._failures == PATIENCE:
            logger.warning(
                "shims cannot be forked here; each is started as a program, for 5 ms more CPU"
            )
            self.close()

    def _find_lost(self) -> int:
        """End a server that has not answered; returns the pid of a shim that it had forked, or 0.

        With the server dead, or frozen with SIGKILL pending, it forks no other shim, so a shim that
        is not among our children does not exist.
        """
        logger.warning("the fork server did not answer; it is replaced")
        server = self.pid
        self.close()
        for child in psutil.Process().children():  # zombies too
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                is_forked = os.getsid(child.pid) == server or child.name() == FORKED_NAME.decode()
                if is_forked and child.pid not in self._known:
                    return child.pid
        return 0


def open_pidfd(child: "subprocess.Popen[bytes] | Forked") -> int:
    """The pidfd of a child; without one the child cannot be watched and is killed.

    Raises:
        OSError: There is no descriptor left.
    """
    try:
        return os.pidfd_open(child.pid)
    except OSError:
        child.kill()  # what it has started dies of the parent-death signal
        reaper.collect(child.pid, child.poll, -1, asyncio.get_running_loop())
        raise


def by_path(*words: str) -> list[str]:
    """The command line of a shim, or of the server, as a program of its own."""
    return [sys.executable, "-I", "-S", "-E", _program(), *words]


@functools.cache
def _program() -> str:
    """The program to run; looked up once instead of at every start of a Chrome."""
    return compiled(SHIM)
