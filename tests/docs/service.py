"""A service for the commands of the pages, and the shell that runs them."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.conftest import settled
from tests.docs.pages import ROOT

#: Stands for every secret that a page has the shell make up, so that service and caller agree.
SECRET = "0123456789abcdef" * 4
MADE_UP = "$(openssl rand -hex 32)"
#: Under these addresses the pages speak of the service.
ADDRESSES = ("http://127.0.0.1:8080", "https://posters.example.com")


def environment(work_dir: Path, **more: str) -> dict[str, str]:
    """Ours, without settings of the service but its work folder and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTER_")}
    return kept | {"POSTER_WORK_DIR": str(work_dir), **more}


@contextlib.asynccontextmanager
async def started(
    *command: str, work_dir: Path, env: Mapping[str, str], status: int = 0
) -> AsyncIterator[str]:
    """A command that serves, and its address; ended by SIGTERM, and then nothing must be left.

    Args:
        command: What to run; make, for one, passes SIGTERM on, waits, and dies of it.
        work_dir: Where the service writes; empty again at the end.
        env: The command's environment.
        status: With which the command must end.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=dict(env), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        while line := (await process.stdout.readline()).decode():
            if found := re.search(r"poster-service \S+ on (http://\S+)", line):
                yield found[1]
                break
        else:
            raise AssertionError("it ended without an address")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()
    assert process.returncode == status
    assert await settled(lambda: not list(work_dir.iterdir())), list(work_dir.iterdir())


def folder_for(page: Path) -> None:
    """Make a folder look like a clone to the commands of a page."""
    (page / ".venv").symlink_to(sys.prefix)
    for name in ("docker", "poster_service", "bench", "tests"):
        if (ROOT / name).exists():
            (page / name).symlink_to(ROOT / name)


async def run(script: str, address: str, cwd: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a block in a shell; its exit status, and all it wrote."""
    for spoken in ADDRESSES:
        script = script.replace(spoken, address)
    script = script.replace(MADE_UP, SECRET)
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, cwd=cwd, env=dict(env),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await shell.communicate()
    return shell.returncode or 0, out.decode("utf-8", "replace")
