"""The client without a service: retries, errors, webhooks, and that its file can be copied."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import multipart
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from poster_service import client as client_file
from poster_service.client import (
    Busy,
    Client,
    ConnectionLost,
    InvalidWebhook,
    RenderFailed,
    RequestRefused,
    verify_webhook,
)
from poster_service.render.warnings import item, parsed
from tests.unit.fetching import serving

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, or so").decode()
BODY = json.dumps({"type": "render.succeeded", "data": {"name": "中"}}).encode()


class Script:
    """A server that answers with what it is given, one after the other; the last one stays."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers: Sequence[tuple[int, dict[str, str], bytes]] = answers
        self.requests: list[web.BaseRequest] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The next answer."""
        await request.read()
        self.requests.append(request)
        place = min(len(self.requests), len(self.answers)) - 1
        status, headers, body = self.answers[place]
        return web.Response(status=status, headers=headers, body=body)


def refusal(status: int, retry_after: str | None = "0", **more: Any) -> Any:
    """An answer with a problem."""
    headers = {"Content-Type": "application/problem+json"}
    headers |= {"Retry-After": retry_after} if retry_after is not None else {}
    problem = {"status": status, "code": f"code_{status}", "title": "T", "detail": "D", **more}
    return status, headers, json.dumps(problem).encode()


GOOD = 200, {"Content-Type": "image/png"}, b"picture"


@pytest.mark.parametrize("status", [429, 503])
async def test_what_had_no_room_is_tried_again(status: int) -> None:
    """When the service says so, with the token each time."""
    script = Script(refusal(status), refusal(status), GOOD)
    async with serving(script.answer) as address, Client(address, "a-token") as client:
        assert (await client.render(html="x")).body == b"picture"
    assert len(script.requests) == 3
    assert {one.headers["Authorization"] for one in script.requests} == {"Bearer a-token"}


async def test_attempts_have_an_end() -> None:
    """And the last error is the caller's."""
    script = Script(refusal(503))
    async with serving(script.answer) as address, Client(address, retries=2) as client:
        with pytest.raises(Busy) as caught:
            await client.render(html="x")
    assert len(script.requests) == 3
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (
        503,
        "code_503",
        0,
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestRefused), (401, RequestRefused), (404, RequestRefused), (422, RequestRefused),
     (500, RenderFailed), (502, RenderFailed), (504, RenderFailed), (302, RequestRefused)],
)  # fmt: skip
async def test_all_else_is_tried_once(status: int, kind: type[Exception]) -> None:
    """The same request would fail again."""
    script = Script(refusal(status, None))
    async with serving(script.answer) as address, Client(address) as client:
        with pytest.raises(kind):
            await client.render(html="x")
    assert len(script.requests) == 1


async def test_an_answer_of_a_proxy_is_an_error_too() -> None:
    """Which knows no problems."""
    script = Script((502, {}, b"<h1>Bad Gateway</h1>"))
    async with serving(script.answer) as address, Client(address) as client:
        with pytest.raises(RenderFailed, match="Bad Gateway") as caught:
            await client.render(html="x")
    assert caught.value.code == "http_502"


async def test_a_service_that_is_not_there_is_a_lost_connection() -> None:
    """Without its token in the text."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    async with Client(f"http://127.0.0.1:{port}", "a-token", retries=0) as client:
        with pytest.raises(ConnectionLost) as caught:
            await client.render(html="x")
    assert "a-token" not in str(caught.value)


async def test_a_repeated_submission_has_the_same_key() -> None:
    """So that it makes one job."""
    job = {"id": "1", "state": "queued", "result": None, "problem": None}
    accepted = 202, {"Retry-After": "1"}, json.dumps(job).encode()
    script = Script(refusal(503), accepted)
    async with serving(script.answer) as address, Client(address) as client:
        found = await client.submit(html="x")
        assert (found.id, found.retry_after, found.has_ended) == ("1", 1, False)
        await client.submit(html="x", key="order-1")
    keys = [one.headers["Idempotency-Key"] for one in script.requests]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 32
    assert keys[2] == "order-1"


async def test_a_form_is_sent_again_as_it_was() -> None:
    """With its files, whole; names cannot end a header."""
    script = Script(refusal(503), GOOD)
    sent: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        sent.append(await request.read())
        return await script.answer(request)

    async with serving(answer) as address, Client(address) as client:
        files = {'a"\r\nX-Own: 1\r\n\r\n.svg': b"<svg/>\r\n--"}
        await client.render(template="card", data={"a": [1]}, files=files, full_page=True, width=2)
    assert sent[0] == sent[1]
    kind = script.requests[0].headers["Content-Type"]
    parts = multipart.PushMultipartParser(kind.partition("boundary=")[2], strict=True)
    heads = [one for one in parts.parse(sent[0]) if isinstance(one, multipart.MultipartSegment)]
    assert [one.name for one in heads][:4] == ["data", "template", "full_page", "width"]
    assert [one.filename for one in heads][:4] == [None] * 4
    assert heads[4].filename is not None
    assert "X-Own" in heads[4].filename
    assert b'name="full_page"\r\n\r\ntrue\r\n' in sent[0]
    assert b'name="data"\r\n\r\n{"a": [1]}\r\n' in sent[0]
    assert b"\r\n\r\n<svg/>\r\n--\r\n--" in sent[0]


async def test_the_token_goes_to_the_service_alone() -> None:
    """Not to where a result lies, which is an address of another."""
    there = Script(GOOD)
    async with (
        serving(there.answer) as elsewhere,
        Client("http://127.0.0.1:9", "a-token") as client,
    ):
        assert (await client.fetch(f"{elsewhere}/bucket/a.png")).body == b"picture"
    assert "Authorization" not in there.requests[0].headers


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["failed", "denied", "missing_glyph"]),
            st.dictionaries(st.sampled_from(["url", "text", "reason"]), st.text(max_size=20)),
        ),
        max_size=5,
    )
)
def test_warnings_are_read_as_the_service_reads_them(
    warnings: list[tuple[str, dict[str, str]]],
) -> None:
    """In any header that it can write."""
    header = ", ".join(item(kind, parameters) for kind, parameters in warnings)
    assert list(client_file._warnings(header)) == parsed(header)


def signed(at: float, body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    """The headers of a webhook, by the reference."""
    moment = datetime.fromtimestamp(int(at), UTC)
    signature = Webhook(secret).sign("msg_1", moment, body.decode())
    return {
        "Webhook-Id": "msg_1", "Webhook-Timestamp": str(int(at)), "Webhook-Signature": signature,
    }  # fmt: skip


def test_a_webhook_of_the_reference_is_good() -> None:
    """Also one with signatures by two keys, while keys rotate, and by the bytes of the key."""
    now = time.time()
    headers = signed(now)
    assert verify_webhook(SECRET, headers, BODY) == json.loads(BODY)
    both = {**headers, "Webhook-Signature": f"v2,xx v1,AAAA {headers['Webhook-Signature']}"}
    assert verify_webhook(SECRET, both, BODY) == json.loads(BODY)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert verify_webhook(key, headers, BODY) == json.loads(BODY)
    assert verify_webhook(SECRET.rstrip("="), headers, BODY) == json.loads(BODY)


@pytest.mark.parametrize(
    ("changes", "body", "shift"),
    [
        ({"Webhook-Id": "msg_2"}, BODY, 0),
        ({"Webhook-Signature": "v1,AAAA"}, BODY, 0),
        ({"Webhook-Signature": ""}, BODY, 0),
        ({"Webhook-Signature": "v1,é"}, BODY, 0),
        ({"Webhook-Timestamp": "now"}, BODY, 0),
        ({"Webhook-Timestamp": "9" * 30}, BODY, 0),
        ({}, BODY + b" ", 0),
        ({}, BODY, -400),
        ({}, BODY, 400),
    ],
)
def test_a_webhook_that_the_reference_refuses_is_refused(
    changes: dict[str, str], body: bytes, shift: int
) -> None:
    """Another message, another time, no signature."""
    headers = signed(time.time() + shift) | changes
    with pytest.raises(InvalidWebhook):
        verify_webhook(SECRET, headers, body)
    with pytest.raises((WebhookVerificationError, ValueError)):
        Webhook(SECRET).verify(body, headers)


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_a_missing_header_of_a_webhook_is_named(name: str) -> None:
    """Each of them is needed."""
    headers = signed(time.time())
    del headers[name]
    with pytest.raises(InvalidWebhook, match=name.lower()):
        verify_webhook(SECRET, headers, BODY)


def test_another_secret_does_not_fit_and_an_empty_one_is_a_mistake() -> None:
    """With an empty key every sender could sign."""
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    with pytest.raises(InvalidWebhook):
        verify_webhook(other, signed(time.time()), BODY)
    for empty in ("whsec_", "", b""):
        with pytest.raises(ValueError, match="empty"):
            verify_webhook(empty, signed(time.time()), BODY)


def test_the_file_can_be_copied(tmp_path: Path) -> None:
    """Into a project that has not the service: it needs aiohttp alone."""
    shutil.copy(str(client_file.__file__), tmp_path / "poster_client.py")
    script = (
        "import sys; sys.modules['poster_service'] = None\n"
        "import poster_client; print(poster_client.Client)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "<class 'poster_client.Client'>\n"
