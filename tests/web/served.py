"""`poster-service serve` as a process of its own, and a client of it."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from tests.bundled import FEW
from tests.conftest import SETTLE_SECONDS, left, settled
from tests.processes import end, name_of, tree

#: Until a command starts its first Chrome, in seconds: it takes four of CPU, and at a load of 30 a
#: minute has been too short.
START_SECONDS = 4 * SETTLE_SECONDS


@dataclass
class Served:
    """A service in processes of its own."""

    process: asyncio.subprocess.Process
    address: str
    work_dir: Path
    client: aiohttp.ClientSession

    def tree(self) -> list[psutil.Process]:
        """Init and everything below it."""
        return tree(self.process.pid)

    def helpers(self) -> list[psutil.Process]:
        """Those of the tree that are no Chrome: init, the service, the shims and their server."""
        return [one for one in self.tree() if (name := name_of(one)) and "chrom" not in name]

    async def render(self, html: str, **options: object) -> int:
        """The status of one render."""
        body = {"html": html, **options}
        async with self.client.post(f"{self.address}/render", json=body) as response:
            await response.read()
            return response.status

    async def busy(self, html: str, **options: object) -> "asyncio.Task[int]":
        """A render under way: it has its Chrome, and a second Chrome is starting."""
        before = len(self.folders())
        task = asyncio.create_task(self.render(html, **options))
        assert await settled(lambda: len(self.folders()) > before)
        return task

    def homes(self) -> list[Path]:
        """The folders of all instances."""
        return [entry for entry in entries(self.work_dir) if entry.is_dir()]

    def folders(self) -> list[str]:
        """The lease folders of all instances."""
        return [entry.name for home in self.homes() for entry in entries(home)]

    async def gone(self) -> bool:
        """Wait until nothing is left of any instance; False when something stayed."""
        return await settled(lambda: left_of(self.work_dir) == [])


def entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it is a file, or has just been removed."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def left_of(work_dir: Path) -> list[str]:
    """All that is left of a service with this work folder."""
    found = []
    for entry in entries(work_dir):
        found.append(entry.name)
        if entry.is_dir():
            found += left(int(entry.name, 16), entry)
    return found


def environment(work_dir: Path) -> dict[str, str]:
    """This process's without POSTER_ variables, but with the work folder and few templates."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTER_")}
    return kept | {"POSTER_WORK_DIR": str(work_dir), "POSTER_TEMPLATES": str(FEW)}


async def run(work_dir: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Run the command to its end; status, stdout, stderr."""
    return await fed(work_dir, b"", *arguments, **more)


async def fed(
    work_dir: Path, standard_input: bytes, *arguments: str, **more: str
) -> tuple[int, str, str]:
    """Run the command with bytes on stdin; status, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "poster_service", *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environment(work_dir) | more,
    )  # fmt: skip
    out, err = await process.communicate(standard_input)
    return process.returncode or 0, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def started(
    work_dir: Path, *arguments: str, command: str = "serve", **variables: str
) -> AsyncIterator[Served]:
    """`poster-service serve` on a free port, in a work folder that it may share; ended.

    Args:
        work_dir: The work folder.
        arguments: More of the command line.
        command: Another command that serves, such as `work`.
        variables: More of the environment.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "poster_service", command, "--port", "0", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=environment(work_dir) | variables,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        address = re.search(r"http://\S+", line)
        assert address, f"no address in {line!r}"
        async with aiohttp.ClientSession() as client:
            yield Served(process, address[0], work_dir, client)
    finally:
        assert await end(process), "the service had to be killed"


@contextlib.asynccontextmanager
async def serving(work_dir: Path, *arguments: str) -> AsyncIterator[Served]:
    """The same in a work folder of its own, which is searched for leftovers."""
    async with started(work_dir, *arguments) as served:
        # The Chrome by which the service proved itself at the start may still be ending.
        assert await settled(lambda: len(served.folders()) == 1)
        yield served
    assert await settled(lambda: left_of(work_dir) == []), left_of(work_dir)
