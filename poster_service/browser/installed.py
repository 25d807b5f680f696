"""Finds the Chrome that is installed on this machine."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from poster_service.errors import ChromeNotFound, ChromeNotStarted

#: The first that is installed is used: headless-shell costs a quarter of full Chrome's CPU (195 to
#: 844 ms a life; docs/facts.md). Debian's /usr/bin/chromium* are shell wrappers that add switches
#: and 14 ms of CPU, so the programs behind them come first.
CANDIDATES = (
    "/usr/lib/chromium/chromium-headless-shell",
    "chromium-headless-shell",
    "chrome-headless-shell",
    "/usr/lib/chromium/chromium",
    "chromium",
    "chromium-browser",
    "/opt/google/chrome/chrome",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
_NUMBER = re.compile(r"\d+(\.\d+)+")
INSTALL_LINE = (
    "apt-get install -y chromium-headless-shell fontconfig fonts-liberation fonts-noto-core"
    " fonts-noto-cjk fonts-noto-color-emoji"
)


def find(
    chosen: Path | None,
    environ: Mapping[str, str] = os.environ,
    candidates: Sequence[str] = CANDIDATES,
) -> Path:
    """The absolute path of the Chrome to use: the chosen one, else the first candidate installed.

    Raises:
        ChromeNotFound: There is none; the message has the command that installs one.
    """
    if chosen is not None:
        found = shutil.which(chosen, path=environ.get("PATH"))
        if found is None:
            raise ChromeNotFound(f"POSTER_CHROME={chosen}: no such program")
        return Path(found).absolute()
    for candidate in candidates:
        if found := shutil.which(candidate, path=environ.get("PATH")):
            return Path(found).absolute()
    raise ChromeNotFound(f"no Chrome found; install one: {INSTALL_LINE}")


def version(program: Path) -> str:
    """What `--version` prints, e.g. "Chromium 156.0.8078.79".

    Raises:
        ChromeNotStarted: The program does not run.
    """
    try:
        run = subprocess.run(  # noqa: S603 - a path of ours or the operator's
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ChromeNotStarted(f"{program} --version does not run: {error}") from error
    return " ".join(run.stdout.split())


def version_number(program: Path) -> str:
    """The number in what `--version` prints, e.g. "156.0.8078.79"; "" where it prints none."""
    try:
        found = _NUMBER.search(version(program))
    except ChromeNotStarted:
        return ""
    return found[0] if found else ""
