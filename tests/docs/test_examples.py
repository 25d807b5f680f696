"""The examples in Python, and the figures that pages derive from settings."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from poster_service.settings import Settings
from tests.docs.pages import ROOT, blocks
from tests.docs.service import environment, started
from tools.docs.reference import error_codes

OPERATIONS = ROOT / "docs" / "operations.md"
CALLERS = 20
QUEUE = 4


@pytest.mark.slow
async def test_every_caller_of_a_crowd_gets_a_picture(work_dir: Path) -> None:
    """Most are refused at first; each comes again when the service says, and none goes without."""
    (code,) = [block.text for block in blocks(OPERATIONS) if block.language == "python"]
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["WORTH_A_RETRY"] <= set(re.findall(r"`(\w+)`", error_codes()))
    job = {"html": "<h1>Hello</h1>", "width": 60, "height": 30, "cache_ttl": 0}
    serve = (
        sys.executable,
        "-m",
        "poster_service",
        "serve",
        "--port",
        "0",
        "--queue-size",
        f"{QUEUE}",
    )
    env = environment(work_dir, POSTER_CACHE_BYTES="0", POSTER_CONCURRENCY="2")
    async with (
        started(*serve, work_dir=work_dir, env=env) as address,
        aiohttp.ClientSession() as client,
    ):
        pictures = await asyncio.gather(
            *(names["picture"](client, job, address) for _ in range(CALLERS))
        )
        assert all(picture.startswith(b"\x89PNG") for picture in pictures)
        async with client.get(f"{address}/metrics") as answer:
            text = await answer.text()
        refused = re.search(r"^poster_renders_refused_total (\S+)$", text, re.MULTILINE)
        assert refused
        assert float(refused[1]) >= CALLERS - 2 - QUEUE
        with pytest.raises(RuntimeError, match="invalid_field"):
            await names["picture"](client, {"html": ""}, address)


def test_the_figures_of_a_crowd_are_those_of_the_settings() -> None:
    """Slots and places in the queue, as the table has them."""
    queue = Settings.model_fields["queue_size"].default
    page = OPERATIONS.read_text("utf-8")
    assert f"`POSTER_QUEUE_SIZE` ({queue})" in page
    rows = re.findall(r"^\| (\d+) \| \d+ \| (\d+) \| [\d.]+ \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for cores, callers in rows:
        assert int(callers) == int(cores) + queue
