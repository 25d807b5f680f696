"""A service that is started and ended here: any command, or our own `poster-service serve`.

Processes that a target starts are its own, and it ends them by their pid.
"""

import asyncio
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.places import place_of
from poster_service.loadtest.targets import START_SECONDS, STOP_SECONDS, wait_answering
from poster_service.loadtest.views import HereView, View
from poster_service.loadtest.watch import Place

#: Time for a command that is not ours to exit after SIGTERM, in seconds: as PID 1 it may ignore
#: SIGTERM altogether.
DEAF_SECONDS = 3.0
PR_SET_CHILD_SUBREAPER = 36
#: Executes a command with SIGTERM for the parent-death signal (prctl(2), number 1): a load test
#: that is killed takes its service with it. A program instead of preexec_fn, of which Python 3.12
#: warns.
DIE_WITH_US = (
    sys.executable, "-I", "-S", "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15, 0, 0, 0);"
    " os.execvp(sys.argv[1], sys.argv[1:])",
)  # fmt: skip
#: The variables with which our init announces itself to its child.
INIT_VARIABLES = ("POSTER_INIT_PID", "POSTER_INIT_STATUS")
#: The token that the load test sends; it is not for the service.
TOKEN_VARIABLE = "POSTER_LOADTEST_TOKEN"  # noqa: S105 - the name of a variable


class CommandTarget:
    """Any command that serves POST /render on $PORT."""

    can_restart = False
    #: Whether it prints its address on stdout; else it is to listen on $PORT.
    announces = False

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = " ".join(command)
        self.address = ""
        self.view: View | None = HereView()
        self.pid = 0
        self._command = command
        self._extra = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._owner = 0
        self._root = 0
        self._created_folder: Path | None = None
        self._drain: asyncio.Task[None] | None = None
        self.patience = DEAF_SECONDS

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        if shutil.which(self._command[0]) is None:
            raise CannotTest(f"cannot start {self._command[0]}: no such program")
        become_subreaper()
        port = free_port()
        work = self._folder / "work"
        work.mkdir(exist_ok=True)
        environment = {
            **inherited(),
            "PORT": str(port),
            "POSTER_WORK_DIR": str(work),
            **self._extra,
        }
        with (self._folder / "stderr").open("ab") as errors:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *DIE_WITH_US, *self._command, env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE if self.announces else errors, stderr=errors,
                    start_new_session=True,  # Ctrl-C is for the load test, which then ends it
                )  # fmt: skip
            except OSError as error:
                raise CannotTest(f"cannot start {self._command[0]}: {error.strerror}") from error
        self.pid = self._process.pid
        self.address = await self._address(port)
        await self._find()

    async def _address(self, port: int) -> str:
        """The address at which it answers, once it does."""
        address = f"http://127.0.0.1:{port}"
        answering = asyncio.ensure_future(wait_answering(address, START_SECONDS))
        return await self._unless_gone(answering, address)

    async def _unless_gone(self, waiting: "asyncio.Future[Any]", default: str) -> str:
        exited = asyncio.ensure_future(self._running().wait())
        try:
            await asyncio.wait({waiting, exited}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise CannotTest(f"{self.name} exited with {exited.result()}: {self.last_line()}")
            return waiting.result() or default
        finally:
            for future in (waiting, exited):
                future.cancel()

    async def _find(self) -> None:
        """Find the process that listens, and the top of the service's tree."""
        port = urlsplit(self.address).port
        view = self._view()
        self._owner = (await view.ask("owner", port=port, near=0))["pid"]
        if not self._owner:
            raise CannotTest(f"{self.name}: found no process that listens at {self.address}")
        found = await place_of(view, self._owner)
        self._root = found.root if found.alone else self.pid

    async def place(self) -> Place:
        """Where its processes and files are now; in our namespace all are below our child."""
        found = await place_of(self._view(), self._owner)
        work = str(self._folder / "work")
        return replace(found, root=self._root, work_dir=work, ours=True)

    async def stop(self) -> str:
        """Send SIGTERM to the top of its tree, then, after `patience`, SIGKILL to our child."""
        process = self._running()
        begin = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                os.kill(self._root or self.pid, signal.SIGTERM)
        problem = ""
        try:
            await asyncio.wait_for(process.wait(), self.patience)
        except TimeoutError:
            problem = f"it did not exit within {self.patience:g} s of SIGTERM and was killed"
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if not problem and process.returncode:
            took = time.monotonic() - begin
            problem = f"it exited with {process.returncode} {took:.1f} s after SIGTERM"
        return problem

    async def close(self) -> None:
        """End and remove all that the target started or created, whatever happened before."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(CannotTest, OSError):
                await self.stop()
        if self._drain is not None:
            self._drain.cancel()
        if self._created_folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._created_folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        """A folder of this run; its path is short, since a long TMPDIR crashes full Chrome."""
        if self._created_folder is None:
            self._created_folder = Path(tempfile.mkdtemp(prefix="lt-"))
            self._created_folder.chmod(0o711)  # the service may run its Chromes as another user
        return self._created_folder

    def left(self) -> str:
        """A message if it has exited by itself, else ""."""
        process = self._running()
        if process.returncode is None:
            return ""
        return f"{self.name} exited with {process.returncode} during the load: {self.last_line()}"

    def last_line(self) -> str:
        """The last line of its stderr."""
        try:
            lines = (self._folder / "stderr").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it printed nothing"

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise CannotTest("it was not started")
        return self._process

    def _view(self) -> View:
        if self.view is None:
            raise CannotTest("the processes of this target cannot be inspected")
        return self.view


class SelfTarget(CommandTarget):
    """Our own service, with the settings of the environment and its own work folder."""

    can_restart = True
    announces = True

    def __init__(self) -> None:
        super().__init__([sys.executable, "-m", "poster_service", "serve", "--port", "0"])
        self.name = "poster-service serve"
        self.patience = STOP_SECONDS

    async def _address(self, port: int) -> str:
        """The address that it announces, since it chooses a free port itself."""
        announced = asyncio.ensure_future(self._announced())
        return await self._unless_gone(announced, "")

    async def _announced(self) -> str:
        stdout = self._running().stdout
        assert stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while line := (await stdout.readline()).decode(errors="replace"):
                if found := re.search(r"http://\S+", line):
                    self._drain = asyncio.create_task(_drain(stdout))
                    return found[0]
        await self._running().wait()
        raise CannotTest(f"{self.name} does not start: {self.last_line()}")


def inherited() -> dict[str, str]:
    """The environment of a service that is started here.

    Without the load test's token, and without the variables of an init that started the load test:
    the service starts its own init.
    """
    left_out = (TOKEN_VARIABLE, *INIT_VARIABLES)
    return {name: value for name, value in os.environ.items() if name not in left_out}


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read and discard further output, so that the service never blocks on its stdout."""
    while await stream.read(65536):
        pass


def free_port() -> int:
    """A port on which no process listens at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def become_subreaper() -> None:
    """Become a subreaper: processes that leave the service's tree become our children.

    Otherwise PID 1 would adopt them unseen. The watch counts and lists them, and waits for each by
    its pid.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
