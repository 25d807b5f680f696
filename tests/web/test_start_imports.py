"""What a start imports: no more than its command needs, for every start pays for it.

Real processes, each with the list that Python itself writes of what it imports.
"""

import asyncio
import re
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.web.served import environment, serving

#: What only a part of the service needs, which is off unless a setting or a variable is there.
OFF = (
    "poster_service.web.compat.browserless", "poster_service.web.compat.cloudflare",
    "poster_service.web.compat.gotenberg", "poster_service.loadtest", "docket", "obstore",
    "opentelemetry", "redis", "rich", "pygal", "html_to_markdown", "markdown_it",
)  # fmt: skip
#: What takes long to import.
LARGE = ("aiohttp", "asyncio", "jinja2", "jsonschema", "logging", "PIL", "psutil", "pydantic",
         "pyppeteer", "socket", "ssl", "subprocess", "tempfile")  # fmt: skip
_LINE = re.compile(r"^import time:\s*\d+ \|\s*\d+ \| \s*(\S+)$", re.MULTILINE)


def found(names: Collection[str], imported: Collection[str]) -> set[str]:
    """Which of these modules were imported, or some below them."""
    return {name for name in names for one in imported if one == name or one.startswith(f"{name}.")}


async def imported(work_dir: Path, *arguments: str) -> list[str]:
    """What the first process of a command imports, until it ends or init replaces it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "poster_service", *arguments,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env=environment(work_dir),
    )  # fmt: skip
    _, written = await process.communicate()
    return _LINE.findall(written.decode())


@pytest.mark.parametrize("command", ["serve", "work"])
async def test_the_process_that_init_replaces_imports_next_to_nothing(
    command: str, work_dir: Path
) -> None:
    """It imported all of the settings, and the options of all commands: half a second of CPU."""
    # Init's child, which is not watched, refuses the flag.
    names = await imported(work_dir, command, "--no-such-flag")
    assert "poster_service.commands.under_init" in names
    assert found(LARGE, names) == set()
    ours = {name for name in names if name.startswith("poster_service.")}
    assert ours == {
        "poster_service.bytecode", "poster_service.cli", "poster_service.commands",
        "poster_service.commands.under_init", "poster_service.early_settings",
    }  # fmt: skip


#: What commands with an event loop need.
LOOP = ("asyncio", "logging", "socket", "ssl", "subprocess", "tempfile")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--help", ()), ("--version", ()), ("serv", ()),
        ("render --help", (*LOOP, "pydantic")), ("template --help", (*LOOP, "pydantic")),
        ("loadtest --help", (*LOOP, "aiohttp", "psutil")),
    ],
)  # fmt: skip
async def test_a_help_imports_what_its_command_needs(
    line: str, expected: tuple[str, ...], work_dir: Path
) -> None:
    """The list of commands needs no settings; that of one command needs no service."""
    names = await imported(work_dir, *line.split())
    assert "poster_service.cli" in names
    assert found(LARGE, names) <= set(expected)


async def test_a_service_has_not_imported_what_is_off(
    work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment it is ready; what its first render needs is there by then."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    listed = tmp_path / "modules"
    # Python runs this module, if there is one, before the program.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, gc\n"
        "def note(freeze=gc.freeze):\n"
        "    freeze()\n"
        f"    open({str(listed)!r}, 'w').write(' '.join(sorted(sys.modules)))\n"
        "gc.freeze = note  # called once, when the service is ready\n"
    )
    async with serving(work_dir):
        names = listed.read_text().split()
    assert found(OFF, names) == set()
    needed = ("jinja2", "PIL", "pyppeteer.connection", "poster_service.render.renderer", "pycares")
    assert found(needed, names) == set(needed)
