"""Every command of the pages is run as it stands there, or says why it is not."""

import ast
import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from poster_service.web.compat.registry import APIS
from tests.conftest import short_folder
from tests.docs.pages import KINDS, PAGES, ROOT, Block, blocks, name_of
from tests.docs.service import SECRET, environment, folder_for, run, started

MAGIC = {"png": b"\x89PNG", "webp": b"RIFF", "pdf": b"%PDF", "jpg": b"\xff\xd8\xff"}
#: Fewest words of a reason; one word is none.
LEAST_WORDS = 3
ALL = [block for page in PAGES for block in blocks(page)]
WITH_COMMANDS = [
    page for page in PAGES if any(b.language == "sh" and not b.kind for b in blocks(page))
]


def test_every_page_is_looked_at() -> None:
    """Neither a renamed page nor a changed fence hides commands from these tests."""
    assert {"README.md", "README.zh-CN.md", "docs/get-started.md"} <= {name_of(p) for p in PAGES}
    assert ROOT / "README.md" in WITH_COMMANDS
    assert ROOT / "README.zh-CN.md" in WITH_COMMANDS


@pytest.mark.parametrize("block", ALL, ids=str)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    """`sh` blocks are run; all others, and those that cannot be, carry a mark that holds."""
    if not block.kind:
        assert block.language == "sh", "no command and no mark: see tests/docs/pages.py"
        return
    assert block.kind in KINDS
    if block.kind == "tested by":
        file, _, test = block.words.partition("::")
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        assert test in {
            node.name for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }  # fmt: skip
    else:
        assert len(block.words.split()) >= LEAST_WORDS, "not a reason"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_is_hidden_in_indentation(page: Path) -> None:
    """Four spaces make a block too, and one that no test would see."""
    inside = False
    before = ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        indented = line.startswith("    ") and not before.strip() and not inside
        assert not indented, f"{name_of(page)}:{number}: fence it"
        before = line


@dataclass(frozen=True)
class Served:
    """The service of all pages, and the environment of their commands."""

    address: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    """One service for all pages, as a reader has; it leaves nothing when it is stopped."""
    serve = (sys.executable, "-m", "poster_service", "serve", "--port", "0")
    signing = {"POSTER_SIGNING_KEYS": f"main={SECRET}"}
    more = signing | {"POSTER_COMPAT": ",".join(APIS)}
    with short_folder() as work_dir:
        env = environment(work_dir, TOKEN=SECRET)
        async with started(*serve, work_dir=work_dir, env=env | more) as address:
            yield Served(address, env)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
async def test_the_commands_of_a_page_work_as_they_stand(
    page: Path, served: Served, tmp_path: Path
) -> None:
    """One after the other, in one folder; each exits with 0, each picture it names is one."""
    folder_for(tmp_path)
    for block in blocks(page):
        if block.language == "sh" and not block.kind:
            status, out = await run(block.text, served.address, tmp_path, served.environment)
            assert status == 0, f"{block}\n{block.text}\n{out}"
            check_pictures(block, tmp_path)


def check_pictures(block: Block, folder: Path) -> None:
    """Each picture named by -o is what its name says, by its first bytes."""
    for name, kind in re.findall(rf"-o ([\w-]+\.({'|'.join(MAGIC)}))", block.text):
        begin = (folder / name).read_bytes()[:4]
        assert begin.startswith(MAGIC[kind]), f"{block}: {name} begins with {begin!r}"


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in ALL if b.kind == "only help"], ids=str)
async def test_a_long_command_has_the_options_that_it_is_given(block: Block) -> None:
    """What takes too long here is asked for its help, which must name each option."""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0].endswith("poster-service"):
            program = ["poster_service", words[1]]
        else:
            program = [words[words.index("-m") + 1]]
        help_ = "--help-all" if words[0].endswith("poster-service") else "--help"
        if "loadtest" in program:
            help_ = "--help"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *program, help_, cwd=ROOT, env=dict(os.environ),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert option in out.decode(), line


@pytest.mark.slow
async def test_make_run_serves(work_dir: Path) -> None:
    """The first command of the README, on a free port and in the environment of the tests.

    That has all that is locked for serving, so it is marked as set up: pip would take the commands
    away for a moment from tests that run meanwhile. `tests/image/test_systemd.py` sets a new
    environment up.
    """
    shutil.copy(ROOT / "requirements.lock", Path(sys.prefix) / ".installed-requirements.lock")
    env = environment(work_dir, VENV=sys.prefix)
    command = ("make", "run", "ARGS=--port 0")  # not those of a `make test` that this may run in
    async with started(*command, work_dir=work_dir, env=env, status=-signal.SIGTERM) as address:
        script = "curl -sSf http://127.0.0.1:8080/readyz"
        status, out = await run(script, address, ROOT, env)
        assert status == 0, out


def test_all_pages_have_the_same_docker_commands() -> None:
    """The test of the image runs those of the README; the others must not drift."""
    found = {name_of(block.page): block.text for block in ALL if "docker build" in block.text}
    assert {"README.md", "README.zh-CN.md", "docs/operations.md"} <= found.keys()
    assert len(set(found.values())) == 1, found
