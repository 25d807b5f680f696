"""The peers' environments: each its own, in a folder outside the tree, made once and kept.

Nothing is made again while the list of what it holds stays the same.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.render.candidates import Candidate

PEERS = Path(__file__).parent / "peers"
CHROME = "/usr/lib/chromium/chromium-headless-shell"
LISTS = {
    "puppeteer": "package.json",
    "playwright": "playwright.txt",
    "pyppeteer": "pyppeteer.txt",
}
NEEDED = {
    "puppeteer": ("node", "npm"), "playwright": (sys.executable,), "pyppeteer": (sys.executable,),
}  # fmt: skip


class CannotSetUp(Exception):
    """Something that a peer needs is missing; the text names it."""


def default_cache() -> Path:
    """Where the environments are, by the XDG Base Directory specification."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "poster-bench"


def set_up(program: str, cache: Path) -> None:
    """Make a peer's environment where it is missing or its list has changed.

    Raises:
        CannotSetUp: With the words of what failed.
    """
    if program == "ours":
        return
    folder, listed = cache / program, PEERS / LISTS[program]
    done = folder / "installed"
    if done.is_file() and done.read_bytes() == listed.read_bytes():
        return
    missing = [tool for tool in NEEDED[program] if shutil.which(tool) is None]
    if missing:
        raise CannotSetUp(f"{program} needs {' and '.join(missing)}: apt-get install nodejs npm")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if program == "puppeteer":
        shutil.copy(listed, folder)
        _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], folder)
    else:
        _run([sys.executable, "-m", "venv", "."], folder)
        _run(["bin/pip", "install", "--quiet", "--requirement", str(listed)], folder)
    done.write_bytes(listed.read_bytes())


def _run(command: list[str], folder: Path) -> None:
    # No browser is downloaded: all candidates drive the same one.
    environment = {**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        raise CannotSetUp(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")


def command(candidate: Candidate, cache: Path) -> tuple[str, ...]:
    """How a candidate is started, from its folder."""
    if candidate.is_ours:
        return (str(Path(sys.executable).with_name("poster-service")), "serve", "--port=0")
    if candidate.program == "puppeteer":
        return ("node", str(PEERS / "puppeteer_server.js"))
    python = cache / candidate.program / "bin" / "python"
    return (str(python), str(PEERS / f"{candidate.program}_server.py"))


def versions(programs: set[str], cache: Path) -> dict[str, str]:
    """What was measured, by name."""
    found = {"chrome": _output_of([CHROME, "--version"]), "python": sys.version.split()[0]}
    if "puppeteer" in programs:
        found["node"] = _output_of(["node", "--version"])
        script = "console.log(require('puppeteer-core/package.json').version)"
        found["puppeteer-core"] = _output_of(["node", "-e", script], cache / "puppeteer")
    for program in sorted(programs & {"playwright", "pyppeteer"}):
        script = f"import importlib.metadata as m; print(m.version('{program}'))"
        found[program] = _output_of([str(cache / program / "bin" / "python"), "-c", script])
    return found


def _output_of(command: list[str], folder: Path | None = None) -> str:
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
