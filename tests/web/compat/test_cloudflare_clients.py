"""Cloudflare's own SDKs, unchanged, against this service: only the address is another."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.web import pdf_files
from tests.web.compat.environments import node_with, python_with
from tests.web.conftest import StartService
from tests.web.local_web import local_server
from tests.web.pictures import decode
from tests.web.tokens import TOKENS, WEB

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PROGRAMS = Path(__file__).with_name("programs")
BODY = "<h1 class=a>Head</h1><p>text <a href=/more>more</a></p>"


def in_python() -> tuple[list[str], Path]:
    """The program of a user of the SDK for Python, and its folder."""
    python = python_with("cloudflare==5.9.0")
    return [str(python), str(PROGRAMS / "cloudflare_sdk.py")], python.parent


def in_node() -> tuple[list[str], Path]:
    """The program of a user of the SDK for TypeScript, and its folder."""
    folder = node_with("cloudflare@7.3.0")
    return ["node", str(PROGRAMS / "cloudflare_sdk.mjs")], folder


@pytest.mark.parametrize("language", [in_python, in_node])
async def test_the_sdk_works_unchanged(
    start_service: StartService, tmp_path: Path, language: Any
) -> None:
    """Every method that has a route here, and the errors that it knows."""
    command, folder = await asyncio.to_thread(language)
    service = await start_service(
        compat=("cloudflare",), tokens=TOKENS, allow_private="127.0.0.0/8", timeout_ms=20_000
    )
    async with local_server() as server:
        page = server.page("/page", BODY, title="Title")
        process = await asyncio.create_subprocess_exec(
            *command, service.address, WEB, str(tmp_path), page, cwd=folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, output.decode()
    picture = decode((tmp_path / "picture.jpg").read_bytes())
    assert (picture.size, picture.mode) == ((300, 200), "RGBA")
    (text,) = pdf_files.texts((tmp_path / "page.pdf").read_bytes())
    assert "PDF" in text
    check(json.loads((tmp_path / "found.json").read_text()), server.address)


def check(found: dict[str, Any], address: str) -> None:
    """What the program found is what the page says."""
    assert '<h1 class="a">Head</h1>' in found["content"]
    assert "<p>snap</p>" in found["snapshot"]
    assert decode(base64.b64decode(found["screenshot"])).size == (800, 600)
    assert found["scraped"][0]["selector"] == "h1"
    assert found["links"] == [f"{address}/more"]
    assert found["markdown"].split() == ["#", "Head", "text", f"[more]({address}/more)"]
    assert found["json"] == 501
    assert found["errors"][0]["code"] == 10_000
