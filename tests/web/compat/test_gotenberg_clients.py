"""Gotenberg's clients from the package registries, unchanged, against this service."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.receiver import WebhookReceiver, new_secret, receiving
from tests.web.compat.environments import node_with, python_with
from tests.web.local_web import local_server
from tests.web.pdf_files import picture, sizes, texts
from tests.web.pictures import at, decode
from tests.web.service import Service, running_in_own_folder
from tests.web.tokens import TOKENS, WEB

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PROGRAMS = Path(__file__).parents[1] / "programs"
RED = (255, 0, 0)
SECRET = new_secret()


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """A service with tokens: the clients use them as user and password."""
    async with running_in_own_folder(
        compat="gotenberg", tokens=TOKENS, allow_private="127.0.0.0/8", timeout_ms=30_000,
        webhook_retry_seconds="0", webhook_secrets=f"web={SECRET}",
    ) as found:  # fmt: skip
        yield found


async def printed_by(*command: str | Path, cwd: Path | None = None) -> dict[str, Any]:
    """The JSON object that a program prints."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, wrong = await process.communicate()
    assert process.returncode == 0, wrong.decode()
    found: dict[str, Any] = json.loads(out)
    return found


def check_outputs(found: dict[str, Any]) -> None:
    """What both clients asked for."""
    body = base64.b64decode(found["pdf"])
    ((width, height),) = sizes(body)
    assert (width, height) == pytest.approx((842, 595), abs=1.5)
    assert texts(body) == ["Head Client"] or texts(body) == ["Client Head"]
    assert picture(body).getpixel((560, 500)) == RED
    shot = decode(base64.b64decode(found["png"]))
    assert (shot.size, at(shot, 250, 150)) == ((300, 200), (*RED, 255))
    assert texts(base64.b64decode(found["markdown"])) == ["Bold"]


async def test_pythons_gotenberg_client(service: Service) -> None:
    """Health, version, PDFs, a picture, and its own error with the sentence of ours."""
    python = await asyncio.to_thread(python_with, "gotenberg-client[httpx]==1.0.0")
    program = PROGRAMS / "use_gotenberg_client.py"
    found = await printed_by(python, program, service.address, "web", WEB)
    assert found["health"] == ["up", "up"]
    assert found["version"].startswith("8.")
    check_outputs(found)
    assert found["headers"]["gotenberg-trace"] == "client-trace"
    assert found["headers"]["content-disposition"] == 'attachment; filename="from-client.pdf"'
    assert found["error"] == 409


async def test_npms_chromiumly(service: Service) -> None:
    """Every class of it that needs no PDF engine."""
    folder = await asyncio.to_thread(node_with, "chromiumly@6.0.0")
    async with local_server() as web:
        url = web.page("/client", "<p>A page of the web")
        program = PROGRAMS / "use_chromiumly.js"
        found = await printed_by("node", program, service.address, "web", WEB, url, cwd=folder)
        received = [(one.headers.get("x-client"), one.headers.get("cookie"))
                    for one in web.got("/client")]  # fmt: skip
    assert found["health"]["status"] == "up"
    check_outputs(found)
    jpeg = decode(base64.b64decode(found["markdownPng"]))
    assert jpeg.size == (800, 600)
    assert decode(base64.b64decode(found["urlPng"])).size == (800, 600)
    assert texts(base64.b64decode(found["urlPdf"])) == ["A page of the web"]
    assert received == [("chromiumly", "k=v"), (None, None)]
    assert "Status: 409" in found["error"]
    assert "Trace: client-trace" in found["error"]
    assert "Body: Chromium console exceptions" in found["error"]


async def check_deliveries(found: dict[str, Any], receiver: WebhookReceiver) -> None:
    """What both clients asked to be sent: a file, an error, and an event of each."""
    assert found["answers"] == [[204, 0], [204, 0]]
    got = await receiver.wait_for(4)
    (file,) = (one for one in got if one.line == "PUT /file")
    assert file.headers["content-type"] == "application/pdf"
    assert file.headers["content-disposition"] == 'attachment; filename="from-client.pdf"'
    assert texts(file.body) == ["By webhook"]
    (error,) = (one for one in got if one.line == "PATCH /error")
    assert error.message["status"] == 400
    assert error.message["message"]
    assert [one.headers["gotenberg-trace"] for one in (file, error)] == ["good", "bad"]
    assert {one.headers["x-own"] for one in got} == {"of the client"}
    events = [one.verified(SECRET) for one in got if one.line == "POST /events"]
    by_trace = {one["correlationId"]: one for one in events}
    assert by_trace["good"]["event"] == "webhook.success"
    assert by_trace["bad"]["event"] == "webhook.error"
    assert by_trace["bad"]["error"] == error.message


async def test_pythons_gotenberg_client_asks_for_webhooks(service: Service) -> None:
    """By all headers that it knows."""
    python = await asyncio.to_thread(python_with, "gotenberg-client[httpx]==1.0.0")
    program = PROGRAMS / "use_gotenberg_client_webhooks.py"
    async with receiving() as receiver:
        words = (service.address, "web", WEB, receiver.address)
        await check_deliveries(await printed_by(python, program, *words), receiver)


async def test_npms_chromiumly_asks_for_webhooks(service: Service) -> None:
    """By all headers that it knows."""
    folder = await asyncio.to_thread(node_with, "chromiumly@6.0.0")
    program = PROGRAMS / "use_chromiumly_webhooks.js"
    async with receiving() as receiver:
        words = (service.address, "web", WEB, receiver.address)
        await check_deliveries(await printed_by("node", program, *words, cwd=folder), receiver)
