"""GET /render: a picture of what a query names, where that is allowed, and by a signature."""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from poster_service.web import signed
from tests.web.conftest import Service, StartService
from tests.web.pictures import RED, at, decode
from tests.web.served import fed
from tests.web.service import running_in_own_folder
from tests.web.signing import DATA, KEYS, NEW, OLD

HTML = "<!doctype html><body style='margin:0;background:red'>"
SIZE = {"width": "40", "height": "30"}
TOKEN = "web-token-0123456789"
APP = "https://app.example.com"


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """A service that allows it, without tokens or keys."""
    async with running_in_own_folder(
        get_render=True, cors_origins=APP, cache_bytes=1 << 20, allow_private="127.0.0.0/8"
    ) as found:
        yield found


@pytest.fixture(scope="module")
async def remote() -> AsyncIterator[str]:
    """The address of a red page."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=HTML, content_type="text/html")

    app = web.Application()
    app.router.add_get("/page", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/page"
    await runner.cleanup()


async def fetch(service: Service, query: dict[str, str], **headers: str) -> Any:
    """The answer to GET /render; its body is read already."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await service.client.get(f"{service.address}/render", params=query, headers=given)
    await answer.read()
    return answer


async def code_of(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status, (await answer.json())["code"]


def by_signature(options: dict[str, Any], seconds: float = 60) -> dict[str, str]:
    """The query of a signed GET /render."""
    url = signed.address(NEW, "", options, int(time.time() + seconds))
    assert url.startswith("/render?")
    return dict(parse_qsl(url.partition("?")[2]))


async def test_every_kind_of_source_is_a_picture(service: Service, remote: str) -> None:
    """With options beside it; the same picture as POST gives, from the same cache."""
    for source in ({"html": HTML}, {"url": remote}):
        answer = await fetch(service, {**source, **SIZE})
        assert (answer.status, answer.content_type) == (200, "image/png"), await answer.text()
        picture = decode(await answer.read())
        assert (picture.size, at(picture, 20, 20)) == ((40, 30), RED)
        assert answer.headers["Cache-Control"] == "private, no-cache"
    posted = await service.render(html=HTML, width=40, height=30)
    assert posted.headers["X-Cache"] == "hit"
    data = base64.urlsafe_b64encode(json.dumps(DATA).encode()).decode()
    for more in ({"data": data}, {"data.title": "t", "data.summary": "s", "data.author.name": "n"}):
        answer = await fetch(service, {"template": "article-card", "format": "webp", **more})
        assert (answer.status, answer.content_type) == (200, "image/webp"), await answer.text()


async def test_it_heeds_what_other_answers_heed(service: Service) -> None:
    """HEAD, If-None-Match, a file name, JSON."""
    query = {"html": HTML, **SIZE, "filename": "red.png"}
    first = await fetch(service, query)
    assert first.headers["Content-Disposition"] == 'attachment; filename="red.png"'
    assert (await fetch(service, query, If_None_Match=first.headers["ETag"])).status == 304
    found = await (await fetch(service, query, Accept="application/json")).json()
    assert (found["width"], found["filename"], found["cache"]) == (40, "red.png", "hit")
    async with service.client.head(f"{service.address}/render", params=query) as head:
        assert (head.status, head.content_length) == (200, found["bytes"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "html"), ({"html": "x", "url": "http://a.test/"}, "html"), ({"html": ""}, "html"),
        ({"html": "x", "data": "e30"}, "data"), ({"html": "x", "width": "0"}, "width"),
        ({"html": "x", "signature": "00"}, "signature"), ({"html": "x", "expires": "5"}, "expires"),
        ({"url": "file:///etc/passwd"}, "url"),
    ],
    ids=str,
)  # fmt: skip
async def test_what_cannot_be_is_refused(
    service: Service, query: dict[str, str], field: str
) -> None:
    """Naming the parameter."""
    answer = await fetch(service, query)
    problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (400, "invalid_field", field)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-site"},
        {"Referer": "https://evil.example/page"},
        {"Referer": "https://evil.example/", "Sec_Fetch_Site": "cross-site"},
        {"Referer": f"{APP}.evil.example/", "Sec_Fetch_Site": "cross-site"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_picture_in_a_foreign_page_is_refused_and_costs_no_render(
    service: Service, headers: dict[str, str]
) -> None:
    """As a form of one is."""
    before = service.engine.cache.statistics()["answers"].copy()
    answer = await fetch(service, {"html": HTML, **SIZE}, **headers)
    assert await code_of(answer) == (403, "cross_origin_request")
    assert service.engine.cache.statistics()["answers"] == before


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin"}, {"Referer": "{own}/x"},
     {"Referer": f"{APP}/page", "Sec_Fetch_Site": "cross-site"}],
    ids=str,
)  # fmt: skip
async def test_own_pages_those_of_allowed_origins_and_programs_may(
    service: Service, headers: dict[str, str]
) -> None:
    """And an address that a person types."""
    given = {name: value.replace("{own}", service.address) for name, value in headers.items()}
    assert (await fetch(service, {"html": HTML, **SIZE}, **given)).status == 200


async def test_it_needs_the_token_that_posting_needs(start_service: StartService) -> None:
    """And counts for the caller's quota."""
    service = await start_service(get_render=True, tokens=f"web={TOKEN}")
    query = {"html": HTML, **SIZE}
    assert await code_of(await fetch(service, query)) == (401, "unauthorized")
    assert await code_of(await fetch(service, {**query, "signature": "0"})) == (401, "unauthorized")
    assert (await fetch(service, query, Authorization=f"Bearer {TOKEN}")).status == 200


async def test_an_address_in_a_query_goes_through_the_network_policy(
    start_service: StartService, remote: str
) -> None:
    """Signed or not: what POST may not load, GET may not."""
    service = await start_service(get_render=True, signing_keys=KEYS)
    for query in ({"url": remote}, by_signature({"url": remote})):
        assert await code_of(await fetch(service, query)) == (422, "fetch_denied")


async def test_it_is_off_unless_it_is_allowed(fresh_service: Service) -> None:
    """As a method that the path does not have; the answer says what would allow it."""
    answer = await fetch(fresh_service, {"html": HTML})
    assert (await code_of(answer), answer.headers["Allow"]) == ((405, "http_405"), "POST")
    assert "POSTER_GET_RENDER=1" in await answer.text()


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_signed_url_may_have_any_source(
    start_service: StartService, remote: str, allowed: bool
) -> None:
    """For pages of any origin, without a token, cached by all; unsigned ones are refused."""
    service = await start_service(
        signing_keys=KEYS, tokens=f"web={TOKEN}", get_render=allowed, allow_private="127.0.0.0/8",
        cache_bytes=1 << 20,
    )  # fmt: skip
    foreign = {"Sec_Fetch_Site": "cross-site", "Referer": "https://blog.example/"}
    for source in ({"html": HTML}, {"url": remote}):
        answer = await fetch(service, by_signature({**source, **SIZE}), **foreign)
        assert answer.status == 200, await answer.text()
        assert at(decode(await answer.read()), 20, 20) == RED
        assert answer.headers["Cache-Control"].startswith("public")
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    good = by_signature({"html": HTML, **SIZE})
    for change, code in (
        ({"html": "<p>other"}, "bad_signature"), ({"width": "41"}, "bad_signature"),
        ({"expires": "99999999999"}, "bad_signature"), ({"key": "gone"}, "unknown_key"),
        ({"signature": good["signature"][::-1]}, "bad_signature"),
    ):  # fmt: skip
        assert await code_of(await fetch(service, {**good, **change})) == (403, code)
    late = by_signature({"html": HTML}, -1)
    assert await code_of(await fetch(service, late)) == (403, "url_expired")
    unsigned = await fetch(service, {"html": HTML})
    assert (await code_of(unsigned))[0] == (401 if allowed else 403)


@pytest.mark.slow
async def test_the_command_signs_pages_and_addresses(
    start_service: StartService, remote: str, work_dir: Path
) -> None:
    """`sign --html FILE` and `sign --url URL`, beside `sign TEMPLATE`."""
    service = await start_service(signing_keys=KEYS, allow_private="127.0.0.0/8")
    for source, stdin in (("--html=-", HTML.encode()), (f"--url={remote}", b"")):
        status, out, err = await fed(
            work_dir, stdin, "sign", source, "--width", "40", "--height", "30",
            "--base-url", service.address, POSTER_SIGNING_KEYS=f"old={OLD.secret.decode()}",
        )  # fmt: skip
        assert status == 0, err
        async with service.client.get(out.strip()) as answer:
            assert answer.status == 200, await answer.text()
            assert at(decode(await answer.read()), 20, 20) == RED
