"""Containers of the image under test: run, reached, looked into, and always removed."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
IMAGE = "poster-service:test"
SECCOMP = f"seccomp={ROOT / 'docker' / 'seccomp.json'}"
#: Published on loopback only, and most tests are about something else than who may call.
UNAUTHENTICATED = "--env=POSTER_ALLOW_UNAUTHENTICATED=1"
#: Everything that takes privileges away, at once.
LOCKED_DOWN = (
    "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges",
    f"--security-opt={SECCOMP}", "--pids-limit=300", "--memory=1500m",
)  # fmt: skip


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers; `environment` says where."""

    environment: Mapping[str, str]

    def ask(self, *words: str, seconds: float = 120) -> str:
        """What docker says on stdout.

        Raises:
            AssertionError: It failed; with what it said.
        """
        done = self.run(*words, seconds=seconds)
        assert done.returncode == 0, f"docker {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def run(self, *words: str, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """One docker command, however it ends."""
        return subprocess.run(
            ["docker", *words], capture_output=True, text=True, timeout=seconds, check=False,
            env={**os.environ, **self.environment},
        )  # fmt: skip

    def inspect(self, what: str, form: str) -> str:
        """One field of a container or an image."""
        return self.ask("inspect", "--format", "{{" + form + "}}", what)


def find_engine() -> Engine | None:
    """The engine that the environment names; None where none answers."""
    if shutil.which("docker") is None:
        return None
    engine = Engine({})
    return engine if engine.run("version", seconds=20).returncode == 0 else None


@dataclass
class Container:
    """One container of the service."""

    engine: Engine
    name: str
    client: aiohttp.ClientSession

    @property
    def address(self) -> str:
        """Where it is published, always on loopback; changes when it is started again."""
        return "http://" + self.engine.ask("port", self.name, "8080/tcp").splitlines()[0]

    @property
    def pid(self) -> int:
        """Its PID 1 as the host numbers it; 0 when it does not run."""
        return int(self.engine.inspect(self.name, ".State.Pid"))

    async def ready(self) -> None:
        """Wait until the service in it is ready to render."""

        async def is_ready() -> bool:
            with contextlib.suppress(aiohttp.ClientError, OSError, AssertionError):
                async with self.client.get(f"{self.address}/readyz") as answer:
                    return answer.status == 200
            return False

        for _ in range(300):
            if await is_ready():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{self.name} is not ready:\n{self.logs()}")

    async def render(self, **job: Any) -> tuple[int, bytes]:
        """POST /render: status and body."""
        async with self.client.post(f"{self.address}/render", json=job) as answer:
            return answer.status, await answer.read()

    async def picture(self, **job: Any) -> bytes:
        """The bytes of a render that must succeed."""
        status, body = await self.render(**job)
        assert status == 200, f"{body[:500]!r}\n{self.logs()}"
        return body

    async def status(self) -> dict[str, Any]:
        """GET /status."""
        async with self.client.get(f"{self.address}/status") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def at_rest(self) -> bool:
        """Wait until only ready Chromes are there, and no zombie, seen from the host's /proc."""
        for _ in range(200):
            counts = (await self.status())["pool"]["counts"]
            busy = sum(number for state, number in counts.items() if state != "ready")
            if counts["ready"] and not busy and zombies(self.pid) == []:
                return True
            await asyncio.sleep(0.1)
        return False

    def logs(self) -> str:
        """All that it said, on both streams."""
        done = self.engine.run("logs", self.name)
        return done.stdout + done.stderr

    def exec(self, *words: str, user: str = "") -> str:
        """What a command says that is run in it."""
        as_user = ("--user", user) if user else ()
        return self.engine.ask("exec", *as_user, self.name, *words)

    @property
    def exit_code(self) -> int:
        """How its PID 1 left."""
        return int(self.engine.inspect(self.name, ".State.ExitCode"))


@contextlib.asynccontextmanager
async def container(
    engine: Engine,
    *options: str,
    image: str = IMAGE,
    command: Sequence[str] = (),
    kind: type[Container] = Container,
) -> AsyncIterator[Container]:
    """A container of the service, ready; it is removed afterwards in any case."""
    name = f"poster-test-{os.getpid()}-{secrets.token_hex(3)}"
    words = [
        "run",
        "--detach",
        "--name",
        name,
        "--publish",
        "127.0.0.1::8080",
        UNAUTHENTICATED,
        *options,
    ]
    timeout = aiohttp.ClientTimeout(total=60)
    try:
        engine.ask(*words, image, *command)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            one = kind(engine, name, client)
            await one.ready()
            yield one
    finally:
        engine.run("rm", "--force", "--volumes", name)


def namespace_of(pid: int | str) -> str:
    """The PID namespace of a process; "" when it is gone."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    return ""


def members(pid: int) -> list[tuple[int, str, str]]:
    """Pid, state and name of all in the PID namespaces that begin with a process's own.

    Read from the host's /proc, zombies too, whose namespace can still be read: `docker top` does
    not show them on every host.
    """
    wanted = namespace_of(pid)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and namespace_of(entry.name) == wanted:
            with contextlib.suppress(OSError):
                head, _, tail = (entry / "stat").read_text().rpartition(")")
                found.append((int(entry.name), tail.split()[0], head.partition("(")[2]))
    return found


def zombies(pid: int) -> list[tuple[int, str, str]]:
    """The zombies in a container."""
    return [one for one in members(pid) if one[1] == "Z"]


def sample(template: str) -> dict[str, Any]:
    """A job for a template with its own sample."""
    text = (ROOT / "templates" / template / "sample.json").read_text("utf-8")
    return {"template": template, "data": json.loads(text)}
