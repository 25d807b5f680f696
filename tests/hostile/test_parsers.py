"""The parsers of requests against any bytes: no 500, no hang, no leak.

The first half asks a server that only reads; the second sends raw requests to a whole service.
"""

import asyncio
import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poster_service.errors import CallerError
from poster_service.render.request import Limits, RenderRequest, check_pixels
from poster_service.render.source import Html, Template
from poster_service.web import problems
from poster_service.web.bodies import BODY_LIMITS, BodyLimits, read_request
from tests.conftest import left
from tests.web.conftest import Service, StartService, start_service  # noqa: F401 - a fixture

LIMITS = Limits()
#: One server serves all examples of a test.
SHARED = settings(suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
#: Values near those that are right, for every option there is.
NEAR: dict[str, st.SearchStrategy[Any]] = {
    "html": st.just("<p>x") | JSON,
    "template": st.sampled_from(["share-poster", "../x", "a" * 65, "share-poster\n"]) | JSON,
    "data": JSON,
    "width": st.integers() | st.floats() | JSON,
    "height": st.integers(-1, 20_000) | JSON,
    "device_scale_factor": st.floats() | st.integers() | JSON,
    "format": st.sampled_from(["png", "jpeg", "webp", "pdf", "gif"]) | JSON,
    "quality": st.integers(-1, 101) | JSON,
    "full_page": st.booleans() | JSON,
    "background": st.sampled_from(["transparent", "#00ff00", "#00ff00\n", "#0f0"]) | JSON,
    "timeout_ms": st.integers(0, 10**30) | JSON,
    "strict": st.booleans() | JSON,
    "assets": JSON,
}
OPTIONS = st.fixed_dictionaries({}, optional=NEAR) | st.dictionaries(st.text(), JSON, max_size=5)


def is_promised(error: CallerError) -> None:
    """An answer of the 400s, which JSON can carry."""
    answer = problems.answer(error, "id")
    assert 400 <= answer.status < 500
    assert json.loads(answer.text or "")["code"] == error.code


@given(given_=OPTIONS | JSON, strict=st.booleans())
def test_a_job_is_made_or_refused_for_any_request(given_: object, strict: bool) -> None:
    """Nothing but the caller's errors; and what is made is within its bounds."""
    try:
        job = RenderRequest.parse(given_, LIMITS, strict=strict)
        options = job.options
        check_pixels(options, options.width or 750, options.height or 1334, LIMITS)
    except CallerError as error:
        is_promised(error)
        return
    assert isinstance(job.source, Html | Template)
    assert 0.1 <= options.device_scale_factor <= 5
    assert 100 <= (options.timeout_ms or 100) <= LIMITS.max_timeout_ms
    options.colour()


async def _read(request: web.Request) -> web.Response:
    """What the service does with a request before it renders anything."""
    try:
        await read_request(request, LIMITS, RenderRequest)
    except CallerError as error:
        return problems.answer(error, "id")
    return web.Response(status=204)


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a real server, in a thread of its own, that reads jobs and renders none."""
    loop = asyncio.new_event_loop()

    async def begin() -> web.AppRunner:
        app = web.Application()
        app[BODY_LIMITS] = BodyLimits(max_bytes=1 << 20, seconds=5, max_depth=64, max_items=9_999)
        app.router.add_post("/render", _read)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    yield runner.addresses[0][1]
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def read(port: int, kind: str, body: bytes, query: str) -> None:
    """Send a request; its answer must be one of the promised."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": kind} if kind else {}
        connection.request("POST", f"/render{query}", body, headers)
        answer = connection.getresponse()
        reported = answer.read()
    finally:
        connection.close()
    assert answer.status == 204 or 400 <= answer.status < 500, (answer.status, reported)
    if answer.status != 204:
        assert json.loads(reported)["status"] == answer.status


KINDS = st.sampled_from(
    ["application/json", "text/html", "text/html; charset=gb18030", "text/html; charset=idna",
     "text/html; charset=utf-16", "text/html; charset=rot13", "text/html; charset=zlib",
     "application/json; charset=utf-16", "multipart/form-data", "multipart/form-data; boundary=b",
     "x", ""]
)  # fmt: skip
QUERIES = st.sampled_from(["", "?", "?width=5", "?width=5&width=6", "?%ff=%00", "?strict=yes",
                           "?html=x", "?width=%D9%A3", "?=&&=", "?a[b]=c"])  # fmt: skip


@SHARED
@given(kind=KINDS, body=st.binary(max_size=200) | OPTIONS.map(repr).map(str.encode), query=QUERIES)
def test_any_bytes_of_any_kind_are_read_or_refused(
    server: int, kind: str, body: bytes, query: str
) -> None:
    """JSON that is none, HTML in a charset it is not in, a query that says it twice."""
    read(server, kind, body, query)


@SHARED
@given(value=OPTIONS | JSON, query=QUERIES)
def test_any_json_is_read_or_refused(server: int, value: object, query: str) -> None:
    """Valid JSON of every shape, with and without what JSON does not have."""
    read(server, "application/json", json.dumps(value).encode("utf-8", "surrogatepass"), query)


HEADS = st.text(max_size=20) | st.sampled_from(
    [
        *NEAR,
        "index.html",
        "files",
        "../x",
        "a" * 5_000,
        'a"; filename="b',
        'a\r\nX: "',
        '\\"',
        "%22",
    ]
)


@SHARED
@given(
    parts=st.lists(
        st.tuples(
            HEADS, HEADS | st.none(), st.sampled_from(["text/html; charset=zlib", "x", "é/\0"]),
            st.binary(max_size=20) | JSON.map(lambda one: repr(one).encode("utf-8", "replace")),
        ),
        max_size=6,
    ),
    cut=st.integers(0, 30), query=QUERIES,
)  # fmt: skip
def test_any_form_is_read_or_refused(
    server: int, parts: list[tuple[str, str | None, str, bytes]], cut: int, query: str
) -> None:
    """Names that are none, files that are options, headers in headers, an end that is cut off."""
    raw = b""
    for name, filename, kind, body in parts:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"'
        head += "" if filename is None else f'; filename="{filename}"'
        raw += f"{head}\r\nContent-Type: {kind}\r\n\r\n".encode("utf-8", "replace") + body + b"\r\n"
    raw += b"--b--\r\n"
    read(server, "multipart/form-data; boundary=b", raw[: len(raw) - cut], query)


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 100_000, b'{"html":"' + b"\\ud83d" * 50_000 + b'"}',
     b'{"width":' + b"9" * 200_000 + b"}", b'{"width":1e999}', b'{"width":-0}',
     b'{"html":"\\u0000"}', b'{"html":"x","html":1}',
     b'{"data":' + b"[" * 500 + b"]" * 500 + b',"template":"share-poster"}',
     b"\xef\xbb\xbf{}", b"{}\x00", b"NaN", b"1" * 5_000],
    ids=range(13),
)  # fmt: skip
def test_json_made_to_hurt_is_read_or_refused_quickly(server: int, body: bytes) -> None:
    """Depth, digits, half characters, the same name twice."""
    read(server, "application/json", body, "")


# --- a whole service ---------------------------------------------------------------------------


def raw(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode("latin-1") + body


POST = "POST /render HTTP/1.1"
JSON_KIND, HTML_KIND = "Content-Type: application/json", "Content-Type: text/html"
CHUNKED = "Transfer-Encoding: chunked"
RAW = [
    b"GET / HTTP/1.1\r\n\r\n",
    raw(POST),
    raw(POST, "Content-Length: -1"),
    raw(POST, "Content-Length: 99999999999999999999"),
    raw(POST, "Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    raw(POST, CHUNKED, body=b"ffffffffffffffff\r\n"),
    raw(POST, CHUNKED, body=b"zz\r\n"),
    raw(POST, JSON_KIND, "Content-Length: 2", body=b"{"),
    raw("POST /render?width=%zz HTTP/1.1", HTML_KIND, "Content-Length: 3", body=b"<p>"),
    raw(POST, "X: " + "a" * 100_000),
    raw("POST /" + "a" * 100_000 + " HTTP/1.1"),
    raw(POST, *(f"X{i}: a" for i in range(5_000))),
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"\x00" * 1_000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    raw("CONNECT x:80 HTTP/1.1"),
    raw("GET http://10.0.0.1/ HTTP/1.1"),
    raw("GET /../../etc/passwd HTTP/1.1"),
    raw("GET /%2e%2e/%2e%2e/x HTTP/1.1"),
    raw("TRACE / HTTP/1.1"),
    raw("GET /status HTTP/1.1", "Accept: \xff"),
    raw(POST, HTML_KIND, "Content-Encoding: gzip", "Content-Length: 3", body=b"\x1f\x8b\x08"),
    raw(POST, "Expect: 100-continue", "Content-Length: 3"),
    raw(POST, "Expect: nonsense", "Content-Length: 3", body=b"<p>"),
    raw(POST, "X-Request-Id: a\x00b", "Content-Length: 0"),
    raw(POST, HTML_KIND, "Content-Length: 3", body=b"<p>"),
    raw(POST, JSON_KIND, "Content-Length: 14", body=b'{"html":"<p>"}'),
]


async def answers(service: Service, sent: bytes) -> list[int]:
    """Statuses that a raw request is answered with, within a second; then it hangs up."""
    host, port = service.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    reported = b""
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(sent)
        async with asyncio.timeout(1):
            while chunk := await reader.read(65_536):
                reported += chunk
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    lines = [line for line in reported.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split()[1]) for line in lines]


async def test_raw_requests_get_promised_answers_and_leave_nothing(
    start_service: StartService,  # noqa: F811
) -> None:
    """All at once; none is a 500, and the service renders and rests as before."""
    service = await start_service(max_body_bytes=20_000)
    statuses = await asyncio.gather(*(answers(service, one) for one in RAW))
    for one, reported in zip(RAW, statuses, strict=True):
        assert all(status < 500 for status in reported), (one[:80], reported)
    await service.picture(html="<p>x", width=9, height=9)
    assert await service.at_rest()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_random_requests_get_promised_answers_and_leave_nothing(
    start_service: StartService,  # noqa: F811
) -> None:
    """Hundreds of mutilated requests over the wire from fixed seeds; the census is zero after."""
    service = await start_service(max_body_bytes=20_000, max_timeout_ms=2_000, timeout_ms=2_000)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(one=st.sampled_from(RAW), at=st.integers(0, 300), piece=st.binary(max_size=20))
    def collect(one: bytes, at: int, piece: bytes) -> None:
        mutilated.append(one[:at] + piece + one[at + len(piece) :])

    mutilated: list[bytes] = []
    collect()
    for begin in range(0, len(mutilated), 32):
        batch = mutilated[begin : begin + 32]
        for one, reported in zip(
            batch, await asyncio.gather(*(answers(service, each) for each in batch)), strict=True
        ):
            assert all(status < 500 or status in (502, 503, 504) for status in reported), one[:200]
    assert await service.at_rest()
    await service.server.stop()
    assert left(service.instance, service.home) == []
