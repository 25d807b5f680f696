"""From an HTTP request to a render job, over a real server."""

import asyncio
import contextlib
import gzip
import hashlib
import json
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from poster_service import strict_json
from poster_service.errors import CallerError, JsonTooComplex
from poster_service.render.request import Limits, RenderRequest
from poster_service.web import bodies, incoming, problems

LIMIT = 20_000
LIMITS = bodies.BodyLimits(
    max_bytes=LIMIT,
    seconds=0.5,
    max_depth=8,
    max_items=50,
    max_parts=9,
    origins=("https://app.example.com",),
)


async def _echo(request: web.Request) -> web.Response:
    try:
        job = await bodies.read_request(request, Limits(), RenderRequest)
    except CallerError as error:
        return problems.answer(error, "request-1")
    source = job.source.model_dump(exclude_defaults=True)
    page = source.get("html", "").encode()  # no half character may come as far as here
    reported = source | job.options.model_dump(exclude_defaults=True)
    if job.files:
        reported["files"] = [file.digest() for file in job.files]
    return web.json_response(reported | {"bytes": len(page)})


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """A server that reads a job and says what it read."""
    app = web.Application()
    app[bodies.BODY_LIMITS] = LIMITS
    app.router.add_post("/render", _echo)
    runner = web.AppRunner(app, shutdown_timeout=0, auto_decompress=False)
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
        (b"[" * 10_000, "json_too_complex"),
        (b'{"html": "x"} x', "bad_request"),
        (b"null", "invalid_field"),
        (b'["html"]', "invalid_field"),
        (b'{"html": "x", "width": "5"}', "invalid_field"),
        (b'{"html": "x", "device_scale_factor": 1e999}', "invalid_field"),
    ],
)
async def test_what_is_no_good_json_is_reported(service: str, body: bytes, code: str) -> None:
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
        ("punycode", b"-" + b"a" * 900),  # its decoder takes quadratic time
        ("idna", b"\xff"),
        ("utf-7", b"+2AA-"),
        ("unicode_escape", b"\\ud800"),
        ("utf-16", b"\x00"),
    ],
)
async def test_html_that_is_not_in_its_charset_is_reported(
    service: str, charset: str, body: bytes
) -> None:
    """Also in those of Python's codecs that are no charsets, or make half a character of it."""
    status, problem = await post(service, body, f"text/html; charset={charset}")
    assert status == 400
    assert problem["code"] in ("bad_request", "invalid_field")


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed",
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
    assert "multipart/form-data" in problem["allowed"]


@pytest.mark.parametrize(
    ("kind", "is_curls"),
    [("application/x-www-form-urlencoded", True), (None, True), ("text/plain", False)],
)
async def test_a_body_as_curl_sends_it_unasked_has_the_remedy(
    service: str, kind: str | None, is_curls: bool
) -> None:
    """`curl -d @file` sends the type of a browser's form."""
    _, problem = await post(service, b"x", kind)
    remedy = "; with curl, add -H 'Content-Type: application/json' for JSON, or text/html"
    assert problem["errors"][0]["message"].endswith(remedy) == is_curls


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


#: Name, content, and a file name if it is a file.
Sent = tuple[str, str | bytes, str | None]


def form(*parts: Sent) -> aiohttp.MultipartWriter:
    """A form, as curl's -F sends it."""
    writer = aiohttp.MultipartWriter("form-data")
    for name, content, filename in parts:
        part = aiohttp.payload.BytesPayload(
            content.encode() if isinstance(content, str) else content
        )
        more = {} if filename is None else {"filename": filename}
        part.set_content_disposition("form-data", quote_fields=False, name=name, **more)
        writer.append_payload(part)
    return writer


async def post_form(address: str, *parts: Sent) -> tuple[int, dict[str, Any]]:
    """Send a form; status and JSON of the answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(address, data=form(*parts)) as answer,
    ):
        return answer.status, json.loads(await answer.read())


PAGE: Sent = ("index.html", "你好", "index.html")
CSS: Sent = ("css/a.css", b"p {}", "a.css")


async def test_a_form_has_a_page_its_files_and_options(service: str) -> None:
    """Options as fields and in the query; files in one order, for any order in the form."""
    parts: list[Sent] = [("b.bin", b"\xff\0", "b"), PAGE, ("full_page", "true", None), CSS]
    for order in (parts, parts[::-1]):
        status, job = await post_form(service + "?width=5", *order)
        assert status == 200, job
        sums = [hashlib.sha256(body).hexdigest() for body in (b"\xff\0", b"p {}")]
        assert job.pop("files") == [
            ["b.bin", "application/octet-stream", sums[0]], ["css/a.css", "text/css", sums[1]]
        ]  # fmt: skip
        assert job == {"html": "你好", "width": 5, "full_page": True, "bytes": 6}


async def test_a_page_alone_is_a_form_too(service: str) -> None:
    """As a file or as a field, `curl -F index.html=...`, or in `files`."""
    for filename in (None, "x"):
        status, job = await post_form(service, ("index.html", "<p>", filename))
        assert (status, job) == (200, {"html": "<p>", "bytes": 3})
    status, job = await post_form(service, ("files", "<p>", "index.html"))
    assert (status, job) == (200, {"html": "<p>", "bytes": 3})


@pytest.mark.parametrize(
    ("query", "parts", "field"),
    [
        ("", [CSS], "index.html"),
        ("", [PAGE, PAGE], "index.html"),
        ("", [PAGE, CSS, CSS], "css/a.css"),
        ("", [PAGE, ("../a.css", b"", "a.css")], "../a.css"),
        ("", [PAGE, ("width", "5", None), ("width", "5", None)], "width"),
        ("?width=5", [PAGE, ("width", "5", None)], "width"),
        ("", [PAGE, ("width", "wide", None)], "width"),
        ("", [PAGE, ("template", "article-card", None)], "template"),
        ("", [PAGE, ("html", "<p>", None)], "html"),
        ("", [PAGE, ("files", "[]", None)], "files"),
        ("", [PAGE, ("a.css", "p {}", None)], "a.css"),
        ("", [("index.html", "", "index.html")], "html"),
    ],
)
async def test_a_form_that_makes_no_sense_names_the_part(
    service: str, query: str, parts: list[Sent], field: str
) -> None:
    """Twice, nowhere, or not what it must be."""
    status, problem = await post_form(service + query, *parts)
    assert (status, problem["code"], problem["field"]) == (400, "invalid_field", field)
    assert problem["allowed"]


async def test_a_form_is_bounded(service: str) -> None:
    """By its bytes, by its parts, and by what is in its text."""
    for parts, status, code in (
        ([PAGE, ("a", b"x" * LIMIT, "a")], 413, "body_too_large"),
        ([PAGE, *[(f"{n}", "", "x") for n in range(9)]], 400, "form_too_complex"),
        ([PAGE, ("width", b"\xff", None)], 400, "bad_request"),
        ([("index.html", b"\xff", "x")], 400, "bad_request"),
    ):
        reported, problem = await post_form(service, *parts)
        assert (reported, problem["code"]) == (status, code)
        assert problem["allowed"]


async def test_a_field_that_was_left_empty_is_no_option(service: str) -> None:
    """A browser sends it all the same."""
    status, job = await post_form(service, PAGE, ("width", "", None), ("quality", "", None))
    assert (status, job) == (200, {"html": "你好", "bytes": 6})


OURS = "{ours}"
FRIEND = "https://app.example.com"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": OURS}, 200),
        ({"Origin": FRIEND}, 200),
        ({"Origin": "https://proxied.example", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": OURS + ".evil.example"}, 403),
        ({"Origin": OURS, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "Cross-Site"}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_pages_of_others_may_not_have_their_visitors_send_forms(
    service: str, headers: dict[str, str], status: int
) -> None:
    """A browser would do it without asking; what is no browser says nothing of an origin."""
    ours = service.removesuffix("/render")
    sent = {name: value.replace(OURS, ours) for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(service, data=form(PAGE), headers=sent) as answer,
    ):
        reported = await answer.json()
        assert answer.status == status, reported
        if status == 403:
            assert reported["code"] == "cross_origin_form"
            assert reported["field"] in ("Origin", "Sec-Fetch-Site")


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_files_come_in_forms_only(service: str, kind: str) -> None:
    """A file is no option, and JSON cannot make one."""
    where = service if kind == "application/json" else service + "?files=x"
    body = b'{"html": "x", "files": []}' if kind == "application/json" else b"x"
    status, problem = await post(where, body, kind)
    assert (status, problem["code"], problem["field"]) == (400, "invalid_field", "files")


async def test_an_empty_page_is_reported_as_such(service: str) -> None:
    """An empty body is most often a curl line gone wrong."""
    status, problem = await post(service, b"", "text/html")
    assert (status, problem["field"]) == (400, "html")


def nested(depth: int) -> bytes:
    """Template data of this depth, the two objects around it included."""
    return b'{"template": "a", "data": {"x": ' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"


@pytest.mark.parametrize(("depth", "status"), [(8, 200), (9, 400)])
async def test_json_may_be_nested_so_deep_and_no_deeper(
    service: str, depth: int, status: int
) -> None:
    """To the level."""
    reported, answer = await post(service, nested(depth), "application/json")
    assert reported == status, answer
    if status == 400:
        assert (answer["code"], answer["allowed"]) == ("json_too_complex", "up to 8 levels")


@pytest.mark.parametrize(("more", "status"), [(46, 200), (48, 400)])
async def test_json_may_hold_so_many_values_and_no_more(
    service: str, more: int, status: int
) -> None:
    """Those of lists and of objects together."""
    body = json.dumps({"template": "a", "data": {"x": [0] * more}}).encode()
    reported, answer = await post(service, body, "application/json")
    assert reported == status, answer
    if status == 400:
        assert (answer["code"], answer["allowed"]) == ("json_too_complex", "up to 50 values")


async def test_marks_inside_strings_do_not_count(service: str) -> None:
    """A page is full of them, and of quotes."""
    page = '<script>[[[[[[[[[[[[{{{{{{{{,,,,,,,,"\\", "\\\\"],' + '[",' * 200
    body = json.dumps({"html": page}).encode()
    status, job = await post(service, body, "application/json")
    assert (status, job["html"]) == (200, page)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
        ),
        max_leaves=60,
    ),
    st.booleans(),
)
def test_the_count_is_that_of_the_value_that_the_parser_makes(value: Any, plain: bool) -> None:
    """Depth and values, counted from the text and from what it means."""

    def depth(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    def marks(one: Any) -> int:
        inner = (
            list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else None
        )
        return 0 if inner is None else max(1, len(inner)) + sum(map(marks, inner))

    raw = json.dumps(value, ensure_ascii=plain).encode("utf-8", "surrogatepass")
    exact = (depth(value), marks(value))
    strict_json.check_complexity(raw, *exact)
    for less in ((exact[0] - 1, exact[1]), (exact[0], exact[1] - 1)):
        if marks(value):
            with pytest.raises(JsonTooComplex):
                strict_json.check_complexity(raw, *less)


@pytest.mark.parametrize(
    "piece", [b"[]", b"]", b'"', b'\\"', b'""', b"{", b",", b'"a",', b"\\", b'["', b'{"a":']
)
def test_no_body_keeps_the_counting_busy(piece: bytes) -> None:
    """Four megabytes of anything, in less CPU time than reading them took."""
    raw = b'["' + piece * (4_000_000 // len(piece))
    begin = time.process_time()
    for body in (raw, raw[2:]):
        with contextlib.suppress(JsonTooComplex):
            strict_json.check_complexity(body, 500, 100_000)
    assert time.process_time() - begin < 3


async def test_a_body_that_does_not_come_is_reported_so_in_its_time(service: str) -> None:
    """408; the sender is still connected, and has said half of it."""
    where = urlsplit(service)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = "POST /render HTTP/1.1\r\nHost: x\r\nContent-Type: text/html\r\nContent-Length: 9\r\n"
    writer.write(head.encode() + b"\r\n<p>")
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 60)
    assert b" 408 " in answer
    assert b'"body_timeout"' in answer
    writer.close()


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_a_packed_body_is_counted_unpacked(service: str, kind: str) -> None:
    """A few bytes that would be too many are refused; as many as may be are taken."""
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    async with aiohttp.ClientSession() as session:
        for size, status in ((LIMIT - 100, 200), (LIMIT + 1, 413), (LIMIT * 500, 413)):
            page = "x" * size
            body = json.dumps({"html": page}) if kind == "application/json" else page
            packed = gzip.compress(body.encode())
            async with session.post(service, data=packed, headers=headers) as answer:
                assert answer.status == status, await answer.text()


@pytest.mark.parametrize(
    "body",
    [
        b'{"html": "x", "html": "y"}',
        b'{"html": "x", "width": 1, "width": 1}',
        b'{"template": "a", "data": {"a": {"b": 1, "b": 2}}}',
        b'{"template": "a", "data": [{"x": 1}, {"b": 1, "\\u0062": 2}]}',
    ],
)
async def test_an_object_with_a_name_twice_is_refused(service: str, body: bytes) -> None:
    """It does not say which of the two is meant; at any level, in any spelling."""
    status, problem = await post(service, body, "application/json")
    assert (status, problem["code"]) == (400, "invalid_field")
    assert problem["field"] in ("html", "width", "b")


async def test_a_byte_order_mark_is_no_part_of_json(service: str) -> None:
    """Some editors and PowerShell write one."""
    status, job = await post(service, b'\xef\xbb\xbf{"html": "x"}', "application/json")
    assert (status, job["html"]) == (200, "x")


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"<p>x") + gzip.compress(b"y"),
        zlib.compress(b"<p>xy"),
        zlib.compress(b"<p>xy")[2:-4],
    ],
    ids=["gzip", "zlib", "deflate"],  # gzip's bytes hold the time: a name must not change
)
async def test_packed_bodies_of_all_kinds_are_unpacked(service: str, packed: bytes) -> None:
    """Several files of gzip, deflate with its header and without."""
    coding = "gzip" if packed[:2] == b"\x1f\x8b" else "Deflate"
    headers = {"Content-Type": "text/html", "Content-Encoding": coding}
    async with aiohttp.ClientSession() as session:
        async with session.post(service, data=packed, headers=headers) as answer:
            assert (answer.status, (await answer.json())["html"]) == (200, "<p>xy")
        for broken in (packed[:-6], b"nonsense", packed[:-6] + b"x" * 6):
            async with session.post(service, data=broken, headers=headers) as answer:
                assert answer.status == 400, broken


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]), st.integers(1, 9))
def test_all_that_is_packed_comes_out_again(raw: bytes, coding: str, step: int) -> None:
    """In pieces of any size, and never more at once than is asked for."""
    raw *= 50
    packed = gzip.compress(raw) if coding == "gzip" else zlib.compress(raw)
    unpacker, made = incoming.Unpacker(coding), b""
    for at in range(0, len(packed), step):
        unpacker.feed(packed[at : at + step])
        while part := unpacker.next(7):
            assert len(part) <= 7
            made += part
    assert (made, unpacker.is_whole) == (raw, True)
