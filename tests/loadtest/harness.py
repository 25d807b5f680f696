"""Runs the load test as people do: as a process, with its exit status, output and reports."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import end

PROGRAMS = Path(__file__).with_name("programs")
UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass
class Ended:
    """A load test that has ended."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def seen(self) -> dict[str, Any]:
        """The JSON report."""
        found: dict[str, Any] = json.loads((self.folder / "seen.json").read_text("utf-8"))
        return found

    @property
    def output(self) -> str:
        """All that was printed, for a failed assertion."""
        return f"status {self.status}\n{self.out}\n{self.err}"


async def load_test(folder: Path, *words: str, seconds: float = 280, **more: str) -> Ended:
    """Run `poster-service loadtest` with a JSON report; killed when it takes too long."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTER_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "poster_service.loadtest",
        "--json", str(folder / "seen.json"), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**kept, **more},
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        await end(process)  # it ends its service first
        raise
    return Ended(process.returncode or 0, out.decode(), err.decode(), folder)


def need_namespaces() -> None:
    """Namespaces must be had in CI; elsewhere a test without them is left out, and says why."""
    able = shutil.which("unshare") is not None and (
        subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    )
    if able:
        return
    if os.environ.get("CI"):
        pytest.fail("no PID namespace can be made here, and CI must have them")
    pytest.skip("no PID namespace can be made here (unshare --pid): needs root or a user namespace")
