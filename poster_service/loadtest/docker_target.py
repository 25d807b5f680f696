"""A container of an image under test, run by the local engine."""

import asyncio
import contextlib
import os
import re
import secrets
import time
from collections.abc import Sequence

from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.places import place_inside
from poster_service.loadtest.proctable import namespace
from poster_service.loadtest.targets import START_SECONDS, STOP_SECONDS, wait_answering
from poster_service.loadtest.views import HereView, InsideView, View
from poster_service.loadtest.watch import Place

CONTAINER_PORT = 8080
#: Our image refuses to start without a token or this variable; only this machine can reach it here.
#: With a token (`--docker-arg=--env=POSTER_TOKENS=...`) it has no effect.
UNAUTHENTICATED = ("--env", "POSTER_ALLOW_UNAUTHENTICATED=1")


class DockerTarget:
    """A container of an image, run by the local engine, its port published on loopback."""

    can_restart = False
    pid = 0

    def __init__(self, image: str, docker: str = "docker", extra: Sequence[str] = ()) -> None:
        self.name = f"image {image}"
        self.address = ""
        self.view: View | None = None
        self._image = image
        self._docker = docker
        self._extra = extra
        self._container = f"poster-loadtest-{os.getpid()}-{secrets.token_hex(4)}"
        self._started = False

    def run_arguments(self, port: int) -> list[str]:
        """Arguments of docker: run detached, published on a free port of loopback only."""
        return ["run", "--detach", "--name", self._container,
                "--publish", f"127.0.0.1::{port}", *UNAUTHENTICATED, *self._extra,
                self._image]  # fmt: skip

    async def start(self) -> None:
        """Run it, wait until it answers, choose how to inspect it."""
        port = exposed(await self._ask("image", "inspect", "--format",
                                       "{{json .Config.ExposedPorts}}", self._image))  # fmt: skip
        self._started = True
        await self._ask(*self.run_arguments(port))
        published = (await self._ask("port", self._container, f"{port}/tcp")).splitlines()[0]
        self.address = f"http://{published.strip()}"
        await wait_answering(self.address, START_SECONDS)
        self._port = port
        self.view, self._root = await self._choose_view()

    async def _choose_view(self) -> tuple[View, int]:
        """The host's /proc if it shows the container's PID 1, else a process inside it."""
        output = await self._ask("inspect", "--format", "{{.State.Pid}}", self._container)
        pid = int(output or 0)
        here = HereView()
        if pid and await asyncio.to_thread(_has_own_namespace, pid):
            return here, pid
        return await InsideView.start([self._docker, "exec", "-i", self._container]), 1

    async def place(self) -> Place:
        """Its PID 1 and the process that listens inside."""
        if self.view is None:
            raise CannotTest("the container was not started")
        return await place_inside(self.view, self._root, self._port)

    async def stop(self) -> str:
        """Stop it with `docker stop`; returns what was wrong with its end."""
        begin = time.monotonic()
        await self._ask("stop", "--time", str(int(STOP_SECONDS)), self._container)
        took = time.monotonic() - begin
        status = await self._ask("inspect", "--format", "{{.State.ExitCode}}", self._container)
        return "" if status == "0" else f"it exited with {status} {took:.1f} s after docker stop"

    async def close(self) -> None:
        """Remove the container and the process that inspects it."""
        if isinstance(self.view, InsideView):
            await self.view.close()
        if self._started:
            with contextlib.suppress(CannotTest):
                await self._ask("rm", "--force", "--volumes", self._container)

    async def _ask(self, *words: str) -> str:
        """The output of a docker command.

        Raises:
            CannotTest: It failed; with the last line of its stderr.
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
            lines = err.decode(errors="replace").strip().splitlines() or ["it printed nothing"]
            raise CannotTest(f"docker {words[0]} failed: {lines[-1]}")
        return out.decode().strip()


def _has_own_namespace(pid: int) -> bool:
    """Whether a process and its tags can be seen (by root), in a PID namespace other than ours."""
    return os.geteuid() == 0 and namespace(pid) not in ("", namespace("self"))


def exposed(ports: str) -> int:
    """The only port that an image exposes, else 8080."""
    found = re.findall(r'"(\d+)/tcp"', ports)
    return int(found[0]) if len(found) == 1 else CONTAINER_PORT
