"""Small requests have small costs and small answers, with any content.

Reading a header is held against this process's own CPU time, with a wide margin: what is meant are
costs that grow with the square, of which each took a second or more.
"""

import json
import logging
import time
from collections.abc import Callable

import pytest

from poster_service.fetch.http_cache import directives
from poster_service.web import media_type
from poster_service.web.part_names import extended
from tests.web.conftest import Service, StartService
from tests.web.raw_http import answer, connected, request


async def problem_of(service: Service, raw: bytes) -> tuple[int, str, int]:
    """Status and code of what is answered, and its length in bytes."""
    async with connected(service) as streams:
        streams[1].write(raw)
        status, problem, head = await answer(streams)
        return status, problem["code"], len(json.dumps(problem)) + len(head)


def post(body: bytes, **headers: str) -> bytes:
    """A POST /render."""
    return request(
        "/render", "POST", body, {name.replace("_", "-"): text for name, text in headers.items()}
    )


def in_query(parameters: str) -> bytes:
    """A POST /render with options in the query."""
    return request(f"/render?{parameters}", "POST", b"x", {"Content-Type": "text/html"})


def of_type(kind: str, **headers: str) -> bytes:
    """A POST /render with a body of a content type."""
    return post(b"x", Content_Type=kind, **headers)


def of_json(body: bytes) -> bytes:
    """A POST /render with JSON."""
    return post(body, Content_Type="application/json")


MEDIA, FIELD, LONG = (415, "unsupported_media_type"), (400, "invalid_field"), 3_000_000


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (of_type("multipart/form-data" + "; a" * 5000), MEDIA),
        (of_type("text/html" + "; charset=" * 1400), MEDIA),
        (of_type("text/html; charset=" + "x" * 900), (400, "bad_request")),
        (of_type("z" * 15_000), MEDIA),
        (of_type("text/html", Content_Encoding="gzip" + ", gzip" * 2000), MEDIA),
        (in_query("&".join(f"o{n}" for n in range(2500))), FIELD),
        (in_query("&".join(f"o{n}=" for n in range(900))), FIELD),
        (of_json(json.dumps({f"o{n}": n for n in range(19_000)}).encode()), FIELD),
        (of_json(json.dumps({"html": "x", "n" * LONG: 1}).encode()), FIELD),
        (of_json(json.dumps({"html": "x", "format": "n" * LONG}).encode()), FIELD),
        (of_json(json.dumps({"template": "x" * LONG}).encode()), FIELD),
        (of_json(b'{"html": "x", "a": 1, "a": 2}'), FIELD),
        (request("/" + "x" * 15_000), (404, "http_404")),
        (request("/templates", "DELETE"), (405, "http_405")),
    ],
    ids=range(14),
)
async def test_an_answer_is_never_as_long_as_what_it_answers(
    service: Service, caplog: pytest.LogCaptureFixture, raw: bytes, expected: tuple[int, str]
) -> None:
    """A few kilobytes, and short lines in the log."""
    caplog.set_level(logging.INFO)
    status, code, size = await problem_of(service, raw)
    assert (status, code) == expected
    assert size < 20_000
    assert max((len(one.getMessage()) for one in caplog.records), default=0) < 2000


@pytest.mark.parametrize(
    ("look", "piece"),
    [
        (media_type.parse, "; a"), (media_type.parse, ";a="), (media_type.parse, ';a="'),
        (media_type.parse, "\\"), (media_type.parse, "; a=b"),
        (extended, "; filename*="), (extended, '"'), (extended, "\\"), (extended, "*''"),
        (directives, ","), (directives, '"'), (directives, "a="), (directives, "\\"),
    ],
)  # fmt: skip
def test_no_header_is_costly_to_read(look: Callable[[str], object], piece: str) -> None:
    """Sixteen kilobytes of anything, a hundred times a second at the least."""
    text = "text/html" + piece * (16_384 // len(piece))
    begin = time.process_time()
    for _ in range(10):
        look(text)
    assert time.process_time() - begin < 1


async def test_a_body_of_chunks_of_one_byte_is_refused(service: Service) -> None:
    """Two million of them took four seconds of every caller's; a few thousand are let."""
    head = (
        b"POST /render?width=9&height=9 HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n"
    )
    for packed in (b"", b"Content-Encoding: gzip\r\n"):
        async with connected(service) as streams:
            streams[1].write(head + packed + b"\r\n" + b"1\r\nx\r\n" * 200_000)
            status, problem, _ = await answer(streams)
            assert (status, problem["code"]) == (400, "bad_request")
            if not packed:
                assert problem["field"] == "Transfer-Encoding"
    async with connected(service) as streams:
        streams[1].write(head + b"\r\n" + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n")
        assert (await streams[0].readuntil(b"\r\n\r\n")).split()[1] == b"200"


@pytest.mark.parametrize(
    ("coding", "status"),
    [("br", 415), ("zstd", 415), ("compress", 415), ("gzip, gzip", 415), ("identity", 200),
     ("", 200), ("gzip", 400), ("deflate", 400)],
)  # fmt: skip
async def test_a_coding_that_is_not_undone_is_reported_with_those_that_are(
    service: Service, coding: str, status: int
) -> None:
    """415, as RFC 9110 has it; and no picture of packed bytes."""
    async with service.client.post(
        f"{service.address}/render?width=9&height=9",
        data=b"<p>x" if status != 415 else b"\x8b\x01\x80<p>x\x03",
        headers={"Content-Type": "text/html", "Content-Encoding": coding},
        skip_auto_headers=["Content-Encoding"],
    ) as reported:
        assert reported.status == status
        if status == 415:
            problem = await reported.json()
            assert problem["field"] == "Content-Encoding"
            assert "gzip" in problem["allowed"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/render/article-card", 404, "POSTER_SIGNING_KEYS"),
        ("GET", "/render/x/y", 404, "POSTER_SIGNING_KEYS"),
        ("GET", "/nothing", 404, "POST /render"),
        ("GET", "/render", 405, "POST"),
        ("DELETE", "/templates", 405, "GET"),
        ("POST", "/render/", 404, "POST /render"),
    ],
)
async def test_an_address_that_there_is_not_says_what_there_is(
    service: Service, method: str, path: str, status: int, words: str
) -> None:
    """As a problem like every other."""
    async with service.client.request(method, service.address + path) as reported:
        assert (reported.status, reported.content_type) == (status, "application/problem+json")
        problem = await reported.json()
        assert words in problem["detail"]
        assert problem["code"] == f"http_{status}"
        assert ("Allow" in reported.headers) == (status == 405)


async def test_with_keys_an_odd_signed_address_says_what_one_is(
    start_service: StartService,
) -> None:
    """The name of a template is of few characters."""
    service = await start_service(signing_keys="a=0123456789abcdef")
    problem = await (await service.get("/render/No_Such")).json()
    assert "a-z" in problem["detail"]
