"""What is answered beside the bytes of a picture: the name to save it under, and all as JSON."""

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.conftest import settled
from tests.web.caching import PAGE, ask
from tests.web.conftest import Service, StartService
from tests.web.pictures import decode
from tests.web.raw_http import NOISE, connected, request
from tests.web.signing import KEYS, address

JSON = "application/json"
NAME = "Bericht 林.png"
HEADER = "attachment; filename=\"Bericht _.png\"; filename*=UTF-8''Bericht%20%E6%9E%97.png"


@pytest.mark.parametrize("given", [{}, {"Cache-Control": "no-store"}], ids=["cached", "painted"])
async def test_an_answer_has_the_name_of_its_own_request(
    start_service: StartService, given: dict[str, str]
) -> None:
    """From the cache, too, where another name or none was asked for before."""
    service = await start_service(cache_bytes=1 << 20)
    for name, header in ((None, None), (NAME, HEADER), ("b", 'attachment; filename="b"')):
        answer = await ask(service, {**PAGE, "filename": name}, **given)
        assert (answer.status, answer.headers.get("Content-Disposition")) == (200, header)
    assert answer.headers["X-Cache"] == ("bypass" if given else "hit")


async def test_a_signed_url_and_a_form_have_a_name_too(start_service: StartService) -> None:
    """As query and form write every option."""
    service = await start_service(signing_keys=KEYS)
    signed = await service.client.get(address(service, width=80, height=60, filename=NAME))
    assert (signed.status, signed.headers["Content-Disposition"]) == (200, HEADER)
    query: dict[str, Any] = {"width": 40, "height": 30, "filename": NAME}
    sent = await service.client.post(
        f"{service.address}/render", params=query, data="<p>x",
        headers={"Content-Type": "text/html"},
    )  # fmt: skip
    assert (sent.status, sent.headers["Content-Disposition"]) == (200, HEADER)


async def test_an_error_is_not_saved_under_the_name(service: Service) -> None:
    """It is shown."""
    answer = await service.render(html="<img src=none.png>", filename=NAME, strict=True)
    assert answer.status == 502
    assert "Content-Disposition" not in answer.headers


async def as_json(service: Service, accept: str = JSON, **options: Any) -> dict[str, Any]:
    """The answer of a render in JSON."""
    where, headers = f"{service.address}/render", {"Accept": accept}
    async with service.client.post(where, json=options, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, JSON), await answer.text()
        assert answer.headers.getall("Vary") == ["Accept"]
        assert int(answer.headers["Content-Length"]) == len(await answer.read())
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.parametrize("encoding", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("scale", [1, 2])
async def test_json_has_the_picture_and_what_it_is(
    service: Service, encoding: str, scale: int
) -> None:
    """The bytes are those of the plain answer; sizes are in device pixels."""
    page: dict[str, Any] = {"html": "<p>hello", "format": encoding, "width": 51, "height": 40,
            "device_scale_factor": scale}  # fmt: skip
    plain = await service.render(**page)
    body = await plain.read()
    found = await as_json(service, **page)
    assert base64.b64decode(found["data"], validate=True) == body
    assert decode(body).size == (found["width"], found["height"]) == (51 * scale, 40 * scale)
    assert (found["format"], found["content_type"]) == (encoding, plain.content_type)
    assert (found["bytes"], f'"{found["etag"]}"') == (len(body), plain.headers["ETag"])
    assert (found["warnings"], found["filename"], found["cache"]) == ([], None, "bypass")
    assert {"queue", "load", "capture"} <= set(found["timing_ms"])
    assert "pages" not in found
    assert plain.headers.getall("Vary") == ["Accept"]


async def test_json_of_a_full_page_has_the_size_that_it_came_out_with(service: Service) -> None:
    """Not that of the viewport."""
    page: dict[str, Any] = {
        "html": "<div style='height:300px'>",
        "full_page": True,
        "width": 50,
        "height": 40,
    }
    found = await as_json(service, **page)
    assert (found["width"], found["height"]) == decode(base64.b64decode(found["data"])).size
    assert found["height"] > 300


async def test_json_of_a_pdf_has_its_pages(service: Service) -> None:
    """And no width."""
    html = "<p style='break-after:page'>1<p style='break-after:page'>2<p>3"
    found = await as_json(service, html=html, format="pdf", filename="drei.pdf")
    assert (found["pages"], found["content_type"]) == (3, "application/pdf")
    assert found["filename"] == "drei.pdf"
    assert base64.b64decode(found["data"]).startswith(b"%PDF-")
    assert "width" not in found


async def test_json_lists_warnings_as_objects(service: Service) -> None:
    """With the same words as the header."""
    html = "<!doctype html><img src='none.png'><p>\u0378<script>\nnull.x</script>"
    found = await as_json(service, html=html, width=50, height=40)
    assert found["warnings"] == [
        {"warning": "failed", "url": "none.png", "reason": "not_found"},
        {"warning": "script_error", "kind": "TypeError", "at": "2:6"},
        {"warning": "missing_glyph", "codepoints": "U+0378"},
    ]


async def test_json_of_a_cached_picture_says_so(start_service: StartService) -> None:
    """It is the same picture, found for both kinds of answer."""
    service = await start_service(cache_bytes=1 << 20)
    first = await as_json(service, **PAGE)
    again = await as_json(service, **PAGE)
    plain = await ask(service, PAGE)
    assert (first["cache"], again["cache"], plain.headers["X-Cache"]) == ("miss", "hit", "hit")
    assert first["data"] == again["data"]
    assert set(again["timing_ms"]) == {"cache"}


async def test_picture_and_json_have_etags_of_their_own(start_service: StartService) -> None:
    """A client that has one of them is not answered that the other has not changed."""
    service = await start_service(cache_bytes=1 << 20)
    etags = {}
    for accept in ("*/*", JSON):
        etags[accept] = (await ask(service, PAGE, Accept=accept)).headers["ETag"]
    for accept, own in etags.items():
        for known, etag in etags.items():
            answer = await ask(service, PAGE, Accept=accept, If_None_Match=etag)
            assert answer.status == (304 if known == accept else 200)
            assert answer.headers["ETag"] == own
    assert etags[JSON].startswith('W/"')


async def test_errors_are_problems_for_clients_of_json_too(service: Service) -> None:
    """As they are for all."""
    for options, status in (({"html": ""}, 400), ({"html": "<img src=x>", "strict": True}, 502)):
        answer = await ask(service, options, Accept=JSON)
        assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_a_signed_url_answers_json_and_head_its_length(start_service: StartService) -> None:
    """To a client that prefers it; browsers' lists for pictures and pages do not."""
    service = await start_service(signing_keys=KEYS, cache_bytes=1 << 20)
    url = address(service, width=80, height=60)
    for accept in ("image/avif,image/webp,image/*,*/*;q=0.8", "text/html,image/png,*/*;q=0.8"):
        async with service.client.get(url, headers={"Accept": accept}) as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
    async with service.client.get(url, headers={"Accept": JSON}) as answer:
        found = await answer.json()
        assert (found["width"], found["height"]) == (80, 60)
        body = await answer.read()
    async with service.client.head(url, headers={"Accept": JSON}) as answer:
        assert (answer.status, answer.content_type) == (200, JSON)
        # Its time, which is part of it, may have some digits more or less.
        assert abs(int(answer.headers["Content-Length"]) - len(body)) < 10
        assert await answer.read() == b""


async def test_a_large_picture_is_counted_once_while_its_json_is_sent(
    start_service: StartService,
) -> None:
    """Its base64 is made while it is sent: what waits for a slow client is the picture alone."""
    service = await start_service(timeout_ms=60_000, page_memory_mib=4096)
    job = {"html": NOISE, "width": 1200, "height": 1200, "timeout_ms": 60_000}
    headers = {"Content-Type": JSON, "Accept": JSON, "Connection": "close"}
    page = request("/render", "POST", json.dumps(job).encode(), headers)
    budget = service.engine.buffers
    async with connected(service) as (reader, writer):
        writer.write(page)
        await writer.drain()
        # The head and the begin of the body fill all buffers between; then it is not read.
        begin = await asyncio.wait_for(reader.readexactly(1000), 60)
        assert await settled(lambda: not service.engine.admission.statistics().running)
        await asyncio.sleep(0.5)
        held = budget.used
        whole = begin + await asyncio.wait_for(reader.read(-1), 60)
        result = json.loads(whole.partition(b"\r\n\r\n")[2])
        size = len(base64.b64decode(result["data"], validate=True))
        assert size > 4 << 20
        assert held <= size + (1 << 20)
    assert await settled(lambda: budget.used == 0)
