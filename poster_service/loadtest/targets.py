"""Whom the load is sent to: a service that runs already, one of our own, or a container.

A target knows how it is started, reached, looked at and ended; processes that it starts are its
own and are ended by their pid.
"""

import asyncio
import contextlib
import ctypes
import ipaddress
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import psutil

from poster_service.addresses import is_loopback
from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.proctable import namespace
from poster_service.loadtest.views import HereView, InsideView, View
from poster_service.loadtest.watch import Place

#: Time for a service to say where it listens, or to answer, in seconds.
START_SECONDS = 60.0
#: Time for it to leave after SIGTERM before it is killed, in seconds; ours needs up to 9.
STOP_SECONDS = 20.0
#: The same for a command that is not ours: as PID 1 it may be deaf to SIGTERM altogether.
DEAF_SECONDS = 3.0
PR_SET_CHILD_SUBREAPER = 36
#: Exec with SIGTERM for the parent-death signal (prctl(2), number 1): a load test that is killed
#: takes its service with it. A word of its own and no preexec_fn, which Python 3.12 warns of.
DIE_WITH_US = (
    sys.executable, "-I", "-S", "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15, 0, 0, 0);"
    " os.execvp(sys.argv[1], sys.argv[1:])",
)  # fmt: skip
CONTAINER_PORT = 8080
#: By these our init tells its child that it is there.
INIT_VARIABLES = ("POSTER_INIT_PID", "POSTER_INIT_STATUS")
#: Our image refuses to start without a token or this; nobody but this machine can reach it here.
#: With a token (`--docker-arg=--env=POSTER_TOKENS=...`) it changes nothing.
UNAUTHENTICATED = ("--env", "POSTER_ALLOW_UNAUTHENTICATED=1")
#: Ours and not the service's.
TOKEN_VARIABLE = "POSTER_LOADTEST_TOKEN"  # noqa: S105 - the name of a variable


class Target(Protocol):
    """A service under test.

    Attributes:
        name: What it is called in the report.
        address: Where it is, e.g. http://127.0.0.1:8080; changes with a restart.
        view: How its processes are looked at; None when they cannot be.
        can_restart: Whether chaos may send it SIGTERM.
        pid: The direct child of ours that it runs under, 0 for none.
    """

    name: str
    address: str
    view: View | None
    can_restart: bool
    pid: int

    async def start(self) -> None:
        """Bring it up, or find it.

        Raises:
            CannotTest: In one line, why not.
        """
        ...

    async def place(self) -> Place:
        """Where its processes and files are now."""
        ...

    async def stop(self) -> str:
        """End what was started; how it ended if that was not as it should be, else ""."""
        ...

    async def close(self) -> None:
        """Leave nothing of ours behind, whatever happened before."""
        ...


class UrlTarget:
    """A service that somebody else started on this machine."""

    can_restart = False
    pid = 0

    def __init__(self, url: str, *, census: bool) -> None:
        self.name = self.address = url.rstrip("/")
        self.view: View | None = HereView() if census else None
        self._owner = 0

    async def start(self) -> None:
        """Find who listens."""
        where = urlsplit(self.address)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise CannotTest(f"--url {self.address}: must look like http://127.0.0.1:8080")
        await wait_answering(self.address, 3.0)
        if self.view is None:
            return
        if not await is_here(where.hostname):
            raise CannotTest(
                f"{self.address} is not on this machine: its leftovers cannot be seen from here;"
                " run the load test there, or say --no-census"
            )
        port = where.port or (443 if where.scheme == "https" else 80)
        self._owner = (await self.view.ask("owner", port=port, near=0))["pid"]
        await self._check_owner()

    async def _check_owner(self) -> None:
        if not self._owner or self.view is None:
            raise CannotTest(
                f"nobody in sight listens at {self.address}: its leftovers cannot be seen"
                " (another user's, or in another network namespace); say --no-census or be root"
            )
        about = await self.view.ask("process", pid=self._owner)
        if about["above"][0][1] == "docker-proxy":
            raise CannotTest(
                f"{self.address} is a port of a container: its leftovers cannot be told from"
                " here; use --docker IMAGE, or say --no-census"
            )

    async def place(self) -> Place:
        """Where its processes and files are now."""
        if self.view is None:
            raise CannotTest("without a view there is no place")
        return await place_of(self.view, self._owner)

    async def stop(self) -> str:
        """It is not ours to end."""
        return ""

    async def close(self) -> None:
        """Nothing of it is ours."""


class CommandTarget:
    """Any command that serves POST /render on $PORT, started and ended here."""

    can_restart = False
    #: Whether it says its address on stdout; else it is told a port and answers there.
    speaks = False

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = " ".join(command)
        self.address = ""
        self.view: View | None = HereView()
        self.pid = 0
        self._command = command
        self._more = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._owner = 0
        self._root = 0
        self._made: Path | None = None
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
        environment = {**inherited(), "PORT": str(port), "POSTER_WORK_DIR": str(work), **self._more}
        with (self._folder / "stderr").open("ab") as errors:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *DIE_WITH_US, *self._command, env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE if self.speaks else errors, stderr=errors,
                    start_new_session=True,  # Ctrl-C is for us; we end it in our own time
                )  # fmt: skip
            except OSError as error:
                raise CannotTest(f"cannot start {self._command[0]}: {error.strerror}") from error
        self.pid = self._process.pid
        self.address = await self._address(port)
        await self._find()

    async def _address(self, port: int) -> str:
        """Where it answers; it is gone or silent when that does not come."""
        address = f"http://127.0.0.1:{port}"
        answering = asyncio.ensure_future(wait_answering(address, START_SECONDS))
        return await self._unless_gone(answering, address)

    async def _unless_gone(self, waiting: "asyncio.Future[Any]", default: str) -> str:
        left = asyncio.ensure_future(self._running().wait())
        try:
            await asyncio.wait({waiting, left}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise CannotTest(f"{self.name} left with {left.result()}: {self.last_words()}")
            return waiting.result() or default
        finally:
            for future in (waiting, left):
                future.cancel()

    async def _find(self) -> None:
        """Who listens, and below whom everything of it is."""
        port = urlsplit(self.address).port
        view = self._view()
        self._owner = (await view.ask("owner", port=port, near=0))["pid"]
        if not self._owner:
            raise CannotTest(f"{self.name}: nobody in sight listens at {self.address}")
        found = await place_of(view, self._owner)
        self._root = found.root if found.alone else self.pid

    async def place(self) -> Place:
        """Where its processes and files are now; in our own namespace all below our child."""
        found = await place_of(self._view(), self._owner)
        work = str(self._folder / "work")
        return replace(found, root=self._root, work_dir=work, ours=True)

    async def stop(self) -> str:
        """SIGTERM to the top of it, patience, then SIGKILL to our child."""
        process = self._running()
        begin = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                os.kill(self._root or self.pid, signal.SIGTERM)
        told = ""
        try:
            await asyncio.wait_for(process.wait(), self.patience)
        except TimeoutError:
            told = f"it did not leave within {self.patience:g} s of SIGTERM and was killed"
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if not told and process.returncode:
            took = time.monotonic() - begin
            told = f"it left with {process.returncode} {took:.1f} s after SIGTERM"
        return told

    async def close(self) -> None:
        """Leave nothing of ours behind, whatever happened before."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(CannotTest, OSError):
                await self.stop()
        if self._drain is not None:
            self._drain.cancel()
        if self._made is not None:
            await asyncio.to_thread(shutil.rmtree, self._made, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        """A folder of this run, for all lives; short, as full Chrome dies of a long TMPDIR."""
        if self._made is None:
            self._made = Path(tempfile.mkdtemp(prefix="lt-"))
            self._made.chmod(0o711)  # the service may run its Chromes as somebody else
        return self._made

    def left(self) -> str:
        """Said when it has gone without being asked, else ""."""
        process = self._running()
        if process.returncode is None:
            return ""
        return f"{self.name} left with {process.returncode} in mid-load: {self.last_words()}"

    def last_words(self) -> str:
        """The last line that it said on stderr."""
        try:
            lines = (self._folder / "stderr").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it said nothing"

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise CannotTest("it was not started")
        return self._process

    def _view(self) -> View:
        if self.view is None:
            raise CannotTest("without a view there is no place")
        return self.view


class SelfTarget(CommandTarget):
    """A service of our own, with the settings of the environment and a work folder of its own."""

    can_restart = True
    speaks = True

    def __init__(self) -> None:
        super().__init__([sys.executable, "-m", "poster_service", "serve", "--port", "0"])
        self.name = "poster-service serve"
        self.patience = STOP_SECONDS

    async def _address(self, port: int) -> str:
        """The address it announces, since it took a free port itself."""
        said = asyncio.ensure_future(self._announced())
        return await self._unless_gone(said, "")

    async def _announced(self) -> str:
        stdout = self._running().stdout
        assert stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while line := (await stdout.readline()).decode(errors="replace"):
                if found := re.search(r"http://\S+", line):
                    self._drain = asyncio.create_task(_drain(stdout))
                    return found[0]
        await self._running().wait()
        raise CannotTest(f"{self.name} does not start: {self.last_words()}")


class DockerTarget:
    """A container of an image, run by the local engine, its port published on loopback."""

    can_restart = False
    pid = 0

    def __init__(self, image: str, docker: str = "docker", more: Sequence[str] = ()) -> None:
        self.name = f"image {image}"
        self.address = ""
        self.view: View | None = None
        self._image = image
        self._docker = docker
        self._more = more
        self._container = f"poster-loadtest-{os.getpid()}-{secrets.token_hex(4)}"
        self._started = False

    def run_words(self, port: int) -> list[str]:
        """What is asked of docker: detached, on loopback only, a free port."""
        return ["run", "--detach", "--name", self._container,
                "--publish", f"127.0.0.1::{port}", *UNAUTHENTICATED, *self._more,
                self._image]  # fmt: skip

    async def start(self) -> None:
        """Run it, wait until it answers, choose how to look."""
        port = exposed(await self._ask("image", "inspect", "--format",
                                       "{{json .Config.ExposedPorts}}", self._image))  # fmt: skip
        self._started = True
        await self._ask(*self.run_words(port))
        published = (await self._ask("port", self._container, f"{port}/tcp")).splitlines()[0]
        self.address = f"http://{published.strip()}"
        await wait_answering(self.address, START_SECONDS)
        self._port = port
        self.view, self._root = await self._choose_view()

    async def _choose_view(self) -> tuple[View, int]:
        """The host's /proc when the container's PID 1 is seen there, else a looker inside."""
        told = await self._ask("inspect", "--format", "{{.State.Pid}}", self._container)
        pid = int(told or 0)
        here = HereView()
        if pid and await asyncio.to_thread(_has_own_namespace, pid):
            return here, pid
        return await InsideView.start([self._docker, "exec", "-i", self._container]), 1

    async def place(self) -> Place:
        """Its PID 1 and who listens inside."""
        if self.view is None:
            raise CannotTest("the container was not started")
        return await place_inside(self.view, self._root, self._port)

    async def stop(self) -> str:
        """`docker stop`, and how it left."""
        begin = time.monotonic()
        await self._ask("stop", "--time", str(int(STOP_SECONDS)), self._container)
        took = time.monotonic() - begin
        status = await self._ask("inspect", "--format", "{{.State.ExitCode}}", self._container)
        return "" if status == "0" else f"it left with {status} {took:.1f} s after docker stop"

    async def close(self) -> None:
        """Remove the container and the looker."""
        if isinstance(self.view, InsideView):
            await self.view.close()
        if self._started:
            with contextlib.suppress(CannotTest):
                await self._ask("rm", "--force", "--volumes", self._container)

    async def _ask(self, *words: str) -> str:
        """What docker says.

        Raises:
            CannotTest: With its own last line.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                self._docker, *words, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            raise CannotTest(f"cannot run {self._docker}: {error.strerror}") from error
        out, err = await process.communicate()
        if process.returncode:
            said = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise CannotTest(f"docker {words[0]} failed: {said[-1]}")
        return out.decode().strip()


def inherited() -> dict[str, str]:
    """The environment of a service of ours.

    Without our own token, and without word of an init that stands in front of us: that one is not
    the service's, which is to bring its own.
    """
    left_out = (TOKEN_VARIABLE, *INIT_VARIABLES)
    return {name: value for name, value in os.environ.items() if name not in left_out}


async def place_of(view: View, owner: int) -> Place:
    """The place of the process that listens: its namespace's PID 1, its init, or itself on top."""
    try:
        about = await view.ask("process", pid=owner)
    except OSError as error:
        raise CannotTest(f"process {owner} is gone: {error}") from error
    above, variables = about["above"], about["variables"]
    mine = namespace("self")
    if about["namespace"] and about["namespace"] != mine:
        inside = [pid for pid, _, its in above if its == about["namespace"]]
        return Place(inside[-1], owner, f"/proc/{inside[-1]}/root", _work_dir(about), alone=True)
    init = variables.get("POSTER_INIT_PID", "")
    tops = [pid for pid, *_ in above if str(pid) == init]
    return Place(tops[0] if tops else owner, owner, "", _work_dir(about))


async def place_inside(view: View, root: int, port: int) -> Place:
    """The place of a container's service: its PID 1, and who listens in its network namespace."""
    owner = (await view.ask("owner", port=port, near=root))["pid"]
    if not owner:
        raise CannotTest(f"nobody in the container listens on port {port}")
    about = await view.ask("process", pid=owner)
    files = f"/proc/{root}/root" if isinstance(view, HereView) else ""
    return Place(root, owner, files, _work_dir(about), alone=True)


def _work_dir(about: dict[str, Any]) -> str:
    """Where a service keeps its leases, by its flag, its variable or its default."""
    flag = re.search(r"--work-dir[= ](\S+)", about["command"])
    variables = about["variables"]
    default = f"{variables.get('TMPDIR', '/tmp')}/poster-{about['uid']}"  # noqa: S108
    return flag[1] if flag else variables.get("POSTER_WORK_DIR", default)


def _has_own_namespace(pid: int) -> bool:
    """Whether a process and its tags can be seen (by root), in a PID namespace other than ours."""
    return os.geteuid() == 0 and namespace(pid) not in ("", namespace("self"))


def exposed(ports: str) -> int:
    """The one port an image exposes, else the usual one."""
    found = re.findall(r'"(\d+)/tcp"', ports)
    return int(found[0]) if len(found) == 1 else CONTAINER_PORT


async def wait_answering(address: str, seconds: float) -> None:
    """Wait until something answers HTTP there, whatever it says.

    An accepted connection proves nothing: a port that an engine publishes takes them before there
    is anybody behind it.

    Raises:
        CannotTest: Nothing does.
    """
    give_up = time.monotonic() + seconds
    async with aiohttp.ClientSession() as client:
        while True:
            left = aiohttp.ClientTimeout(total=max(0.1, give_up - time.monotonic()))
            try:
                async with client.get(address, timeout=left, allow_redirects=False):
                    return
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if time.monotonic() > give_up:
                    raise CannotTest(
                        f"cannot reach {address}: {error if str(error) else 'no answer'}"
                    ) from error
            await asyncio.sleep(0.05)


async def is_here(host: str) -> bool:
    """Whether a host's addresses are this machine's."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotTest(f"cannot resolve {host}: {error}") from error
    ours = {one.address for addresses in psutil.net_if_addrs().values() for one in addresses}
    wanted = {str(entry[4][0]) for entry in found}
    return all(is_loopback(ipaddress.ip_address(one)) or one in ours for one in wanted)


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read away what a service goes on saying, so that it never waits for us."""
    while await stream.read(65536):
        pass


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


def become_subreaper() -> None:
    """Have whatever leaves the tree of our service become our child instead of PID 1's.

    So it is seen, named and counted; the watch waits for each, by its pid.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
