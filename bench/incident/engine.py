"""Docker by its command line: one image, one fresh container at a time, nothing left of either run.

It never removes the image: making it takes minutes, and it is named after the bench.
"""

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from bench.incident.rows import INIT_PLACE, Row

HERE = Path(__file__).parent
INIT = HERE.parents[1] / "poster_service" / "init.py"
IMAGE = "poster-incident"
PORT = 8080
PATIENCE_S = 60.0
#: Docker's own default is 10; what is cut off is cut off in both.
STOP_S = 5
NO_ENGINE = 'no Docker engine answers; `eval "$(tools/engine.sh up)"` starts one here'


class Failed(Exception):
    """Docker did not do what the bench needs; the text is its own."""


def docker(*arguments: str) -> str:
    """What a docker command prints. Raises Failed with its words."""
    done = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"docker {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def answers() -> bool:
    """Whether there is an engine."""
    try:
        docker("version", "--format", "{{.Server.Version}}")
    except (Failed, OSError):
        return False
    return True


def build() -> None:
    """Make the image; quick where nothing has changed. Raises Failed with the whole log."""
    done = subprocess.run(
        ["docker", "build", "--force-rm", "--tag", IMAGE, str(HERE / "image")],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if done.returncode:
        raise Failed(f"{done.stdout}\ndocker build ended with {done.returncode}")


VERSIONS = """
/usr/lib/chromium/chromium-headless-shell --version; echo "node $(node --version)"
echo "npm $(npm --version)"; bash --version | head -n1; tini --version; dumb-init --version 2>&1
python --version; pip list 2>/dev/null | grep -i pyppeteer
echo "puppeteer-core $(node -p 'require("puppeteer-core/package.json").version')"
"""


def versions() -> list[str]:
    """What is in the image, a line for each."""
    lines = docker("run", "--rm", "--init", IMAGE, "sh", "-c", VERSIONS).splitlines()
    return [" ".join(line.split()) for line in lines]


def wait_for(condition: Callable[[], object], limit_s: float) -> bool:
    """Look until a condition holds; whether it did within the limit."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Container(AbstractContextManager["Container"]):
    """A row's container, published on the loopback address only, with a counter inside."""

    def __init__(self, row: Row, pids_limit: int | None = None) -> None:
        self.name = f"{IMAGE}-{row.name}-{uuid.uuid4().hex[:8]}"
        self._row = row
        self._limits = [] if pids_limit is None else ["--pids-limit", str(pids_limit)]
        self._port = 0
        self._counter: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.remove()
            raise
        return self

    def _begin(self) -> None:
        docker(
            "create", "--name", self.name, "--publish", f"127.0.0.1::{PORT}",
            *self._row.options, *self._limits, IMAGE, *self._row.command,
        )  # fmt: skip
        if self._row.is_ours:
            docker("cp", str(INIT), f"{self.name}:{INIT_PLACE}")
        docker("start", self.name)
        self._port = int(docker("port", self.name, str(PORT)).splitlines()[0].rpartition(":")[2])
        if not wait_for(self._is_ready, PATIENCE_S):
            raise Failed(f"{self._row.name} does not come up:\n{self.logs()}")
        self._counter = subprocess.Popen(
            ["docker", "exec", "--interactive", self.name, "python3", "-IS", "/app/counter.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Nothing is left of the container, in any state."""
        try:
            docker("rm", "--force", "--volumes", self.name)
        except Failed as failed:
            if "No such container" not in str(failed):
                raise
        finally:
            if self._counter:
                self._counter.kill()
                self._counter.communicate()

    def _is_ready(self) -> bool:
        try:
            return self._ask("GET", "/", None, 2.0)[0] == 404
        except (OSError, HTTPException):
            return False

    def _ask(self, method: str, path: str, body: str | None, limit_s: float) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=limit_s)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def render(self, ending: str, page: dict[str, Any]) -> str:
        """Ask for one picture; why there is none, or nothing."""
        try:
            status, body = self._ask(
                "POST", f"/render?ending={ending}", json.dumps(page), PATIENCE_S
            )
        except (OSError, HTTPException) as fault:
            return f"no answer: {str(fault) or type(fault).__name__}"
        if status == 200 and body.startswith(b"\x89PNG"):
            return ""
        return body.decode("utf-8", "replace")

    def look(self) -> dict[str, Any]:
        """What the counter inside sees."""
        assert self._counter is not None
        assert self._counter.stdin is not None
        assert self._counter.stdout is not None
        self._counter.stdin.write("\n")
        self._counter.stdin.flush()
        line = self._counter.stdout.readline()
        if not line:
            raise Failed(f"the counter inside {self._row.name} has ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> tuple[float, int]:
        """Seconds that `docker stop` takes, and the status that the container leaves with."""
        begun = time.monotonic()
        docker("stop", "--time", str(STOP_S), self.name)
        taken = time.monotonic() - begun
        return taken, int(docker("inspect", "--format", "{{.State.ExitCode}}", self.name))

    def logs(self) -> str:
        """All that the container has printed so far."""
        done = subprocess.run(
            ["docker", "logs", self.name],
            check=False, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        return done.stdout + done.stderr
