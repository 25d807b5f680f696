"""From an HTTP request to a render job, over a real server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from poster_service.errors import CallerError
from poster_service.render.job import Limits
from poster_service.web import bodies, problems

LIMIT = 20_000


async def _echo(request: web.Request) -> web.Response:
    try:
        job = await bodies.read_job(request, Limits())
    except CallerError as error:
        return problems.answer(error, "request-1")
    page = (job.html or "").encode()  # no half character may come as far as here
    return web.json_response(job.model_dump(exclude_defaults=True) | {"bytes": len(page)})


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """A server that reads a job and says what it read."""
    app = web.Application(client_max_size=LIMIT)
    app[bodies.MAX_BODY] = LIMIT
    app.router.add_post("/render", _echo)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/render"
    await runner.cleanup()


async def post(address: str, body: bytes, kind: str | None) -> tuple[int, dict[str, Any]]:
    """Send a body; status and JSON of the answer."""
    headers = {} if kind is None else {"Content-Type": kind}
    skip = ["Content-Type"] if kind is None else []
    async with (
        aiohttp.ClientSession(skip_auto_headers=skip) as session,
        session.post(address, data=body, headers=headers) as answer,
    ):
        return answer.status, json.loads(await answer.read())


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
async def test_json_says_all(service: str, kind: str) -> None:
    """UTF-8, as JSON is."""
    body = json.dumps({"html": "你好", "width": 5}, ensure_ascii=False).encode()
    status, job = await post(service, body, kind)
    assert (status, job) == (200, {"html": "你好", "width": 5, "bytes": 6})


@pytest.mark.parametrize(
    ("kind", "charset"),
    [("text/html", "utf-8"), ("text/html; charset=utf-8", "utf-8"),
     ("text/html; charset=gbk", "gbk"), ("text/html; charset=UTF-16", "utf-16")],
)  # fmt: skip
async def test_html_is_the_body_and_its_options_are_in_the_query(
    service: str, kind: str, charset: str
) -> None:
    """In the charset that it names, else UTF-8."""
    status, job = await post(service + "?width=5&full_page=true", "你好".encode(charset), kind)
    assert (status, job) == (200, {"html": "你好", "width": 5, "full_page": True, "bytes": 6})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_request"),
        (b"{", "bad_request"),
        (b"\xff", "bad_request"),
        (b'{"html": "\\ud800"}', "bad_request"),
        (b'{"template": "a", "data": {"\\udfff": 1}}', "bad_request"),
        (b'{"template": "a", "data": {"x": NaN}}', "bad_request"),
        (b'{"html": "x", "width": ' + b"1" * 5000 + b"}", "bad_request"),
        (b"[" * 10_000, "bad_request"),
        (b'{"html": "x"} x', "bad_request"),
        (b"null", "invalid_field"),
        (b'["html"]', "invalid_field"),
        (b'{"html": "x", "width": "5"}', "invalid_field"),
        (b'{"html": "x", "device_scale_factor": 1e999}', "invalid_field"),
    ],
)
async def test_what_is_no_good_json_is_told(service: str, body: bytes, code: str) -> None:
    """400 with its code, and never more of ours than a sentence."""
    status, problem = await post(service, body, "application/json")
    assert (status, problem["code"]) == (400, code)
    assert problem["allowed"]
    assert "Traceback" not in problem["detail"]


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("utf-8", b"\xff"),
        ("klingon", b"x"),
        ("hex", b"00"),
        ("undefined", b"x"),
        ("punycode", b"x"),
        ("idna", b"\xff"),
        ("utf-7", b"+2AA-"),
        ("unicode_escape", b"\\ud800"),
        ("utf-16", b"\x00"),
    ],
)
async def test_html_that_is_not_in_its_charset_is_told(
    service: str, charset: str, body: bytes
) -> None:
    """Also in those of Python's codecs that are no charsets, or make half a character of it."""
    status, problem = await post(service, body, f"text/html; charset={charset}")
    assert status == 400
    assert problem["code"] in ("bad_request", "invalid_field")


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
     "application/xml", "image/png", "nonsense"],
)  # fmt: skip
async def test_other_media_types_are_refused_naming_those_there_are(
    service: str, kind: str | None
) -> None:
    """No guessing."""
    status, problem = await post(service, b"x", kind)
    assert (status, problem["code"]) == (415, "unsupported_media_type")
    assert problem["field"] == "Content-Type"
    assert "application/json" in problem["allowed"]
    assert "text/html" in problem["allowed"]


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_a_body_that_is_too_large_is_refused_with_the_bound(service: str, kind: str) -> None:
    """413."""
    status, problem = await post(service, b"x" * (LIMIT + 1), kind)
    assert (status, problem["code"]) == (413, "body_too_large")
    assert str(LIMIT) in problem["allowed"]


@pytest.mark.parametrize(
    ("query", "kind", "field"),
    [
        ("width=1&width=2", "text/html", "width"),
        ("html=x", "text/html", "html"),
        ("template=a", "text/html", "template"),
        ("data=a", "text/html", "data"),
        ("colour=red", "text/html", "colour"),
        ("width=wide", "text/html", "width"),
        ("width=5", "application/json", "width"),
    ],
)
async def test_a_query_that_makes_no_sense_names_the_option(
    service: str, query: str, kind: str, field: str
) -> None:
    """Given twice, unknown, or not where it belongs."""
    body = b"x" if kind == "text/html" else b'{"html": "x"}'
    status, problem = await post(f"{service}?{query}", body, kind)
    assert (status, problem["code"], problem["field"]) == (400, "invalid_field", field)
    assert problem["allowed"]


async def test_an_empty_page_is_told_as_such(service: str) -> None:
    """An empty body is most often a curl line gone wrong."""
    status, problem = await post(service, b"", "text/html")
    assert (status, problem["field"]) == (400, "html")
