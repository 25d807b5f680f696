"""The examples of docs/clients.md are run as they stand, each in its own language.

Python and Node.js are always there. Go and PHP are not installed for this: where they are missing,
their example is skipped, and the report says so.
"""

import asyncio
import base64
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image
from standardwebhooks import Webhook

from tests.docs.pages import ROOT, Block, blocks
from tests.unit.fetching import serving
from tests.web.service import Service, running_in_own_folder
from tests.web.tokens import TOKENS, WEB

pytestmark = pytest.mark.slow
ADDRESS = "http://127.0.0.1:8080"
PAGE = ROOT / "docs" / "clients.md"
#: How an example is run, by the language of its block: its file, and the command before it.
RUN = {
    "python": ("hello.py", [sys.executable]),
    "js": ("hello.mjs", ["node"]),
    "go": ("hello.go", ["go", "run"]),
    "php": ("hello.php", ["php"]),
}
#: What every machine that runs these tests has.
ALWAYS = ("python", "js")


def examples(test: str) -> list[Block]:
    """The blocks that a test runs."""
    return [one for one in blocks(PAGE) if one.words.endswith(f"::{test}")]


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """With a token, and results in its memory."""
    async with running_in_own_folder(tokens=TOKENS, storage="memory://") as found:
        yield found


async def run(example: Block, service: Service, folder: Path) -> str:
    """Run an example in a folder; what it printed."""
    name, command = RUN[example.language]
    assert ADDRESS in example.text
    (folder / name).write_text(example.text.replace(ADDRESS, service.address), "utf-8")
    own = {
        "TOKEN": WEB,
        "PYTHONPATH": str(ROOT),
        "GOCACHE": str(folder / "go"),
        "GOFLAGS": "-mod=mod",
    }
    process = await asyncio.create_subprocess_exec(
        *command, name, cwd=folder, env=os.environ | own,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("language", RUN)
async def test_an_example_renders_and_names_the_option_at_fault(
    language: str, service: Service, tmp_path: Path
) -> None:
    """A picture of the size that was asked for; and of a wrong request what is wrong."""
    this = "test_an_example_renders_and_names_the_option_at_fault"
    (example,) = (one for one in examples(this) if one.language == language)
    if language not in ALWAYS and shutil.which(RUN[language][1][0]) is None:
        pytest.skip(f"{language} is not on this machine")
    assert await run(example, service, tmp_path) == "invalid_field width\n"
    with Image.open(tmp_path / "hello.png") as picture:
        assert picture.size == (600, 300)


async def test_the_python_example_of_many_pages_and_jobs_runs(
    service: Service, tmp_path: Path
) -> None:
    """Three pictures, a PDF, and a batch whose items are done."""
    (example,) = examples("test_the_python_example_of_many_pages_and_jobs_runs")
    printed = await run(example, service, tmp_path)
    assert printed.splitlines() == ["Ada done", "Grace done", "Katherine done"]
    assert {one.name for one in tmp_path.glob("*.png")} == {"Ada.png", "Grace.png", "Katherine.png"}
    assert (tmp_path / "later.pdf").read_bytes().startswith(b"%PDF")


async def test_the_receiver_of_webhooks_takes_what_is_signed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signed by the reference of Standard Webhooks."""
    (example,) = examples("test_the_receiver_of_webhooks_takes_what_is_signed_and_nothing_else")
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    page: dict[str, Any] = {}
    exec(compile(example.text, "clients.md", "exec"), page)  # the page's own code
    body, now = '{"type": "render.succeeded"}', int(time.time())
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(now),
        "webhook-signature": Webhook(secret).sign("1", datetime.fromtimestamp(now, UTC), body),
    }
    async with serving(page["receive"]) as address, aiohttp.ClientSession() as session:
        for text, status in ((body, 204), (body + " ", 401)):
            async with session.post(address, data=text, headers=headers) as response:
                assert response.status == status
    assert capsys.readouterr().out == "render.succeeded\n"
