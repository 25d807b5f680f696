"""Real clients of other services, each in an environment of its own that is set up once.

Versions are fixed. An environment is in the user's cache, by the name of what it holds, so that
other versions are others; while it is made it has another name, so that a test that is cut off
leaves nothing that looks complete.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import short_folder

Maker = Callable[[Path, Path, tuple[str, ...]], None]
#: Time for an installation, in seconds.
PATIENCE = 300


def cache() -> Path:
    """Where the environments are (XDG Base Directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "poster-tests"


def python_with(*packages: str) -> Path:
    """The Python of a virtual environment that has these packages of PyPI, as `name==version`."""
    return _made("python", packages, _make_python) / "bin" / "python"


def node_with(*packages: str) -> Path:
    """A folder from which Node.js finds these packages of npm, as `name@version`."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail("this test needs Node.js: apt-get install nodejs npm")
    return _made("node", packages, _make_node)


async def node(program: Path, folder: Path, given: str, **environment: str) -> str:
    """What a program writes to its output; it must end well.

    Args:
        program: A script, which finds the packages of `folder` as its working directory has them.
        folder: Of `node_with`.
        given: On its input.
        environment: Variables beside ours.
    """
    # A browser that it starts has its files in a folder of its own: in /tmp a load test that runs
    # meanwhile would count them.
    with short_folder() as temporary:
        process = await asyncio.create_subprocess_exec(
            "node", str(program), cwd=folder,
            env={**os.environ, "TMPDIR": str(temporary), **environment},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            out, _ = await process.communicate(given.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, out.decode("utf-8", "replace")[-3000:]
    return out.decode()


def _made(kind: str, packages: tuple[str, ...], make: Maker) -> Path:
    name = re.sub(r"[^a-z0-9.=@-]+", "_", "_".join((kind, *packages)).lower())
    folder = cache() / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            make(Path(unfinished), folder, packages)
    return folder


def _make_python(unfinished: Path, folder: Path, packages: tuple[str, ...]) -> None:
    # A virtual environment has its own place written into it, so the packages are moved alone.
    libraries = unfinished / "libraries"
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(libraries), *packages)
    made = unfinished / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", str(made))
    (site,) = made.glob("lib/python*/site-packages")
    shutil.copytree(libraries, site, dirs_exist_ok=True)
    _settle(made, folder)


def _make_node(unfinished: Path, folder: Path, packages: tuple[str, ...]) -> None:
    # No script of a package runs, so no browser is downloaded.
    options = (
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--omit=optional",
        "--ignore-scripts",
    )
    made = unfinished / "environment"
    made.mkdir()
    _run("npm", "install", *options, "--prefix", str(made), *packages)
    _settle(made, folder)


def _settle(made: Path, folder: Path) -> None:
    """Give a finished environment its name, unless another test has been faster."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _run(*command: str) -> None:
    done = subprocess.run(
        command, check=False, text=True, timeout=PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
