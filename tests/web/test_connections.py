"""What unknown clients may cost: their connections, their heads, their time; a Chrome never."""

import asyncio
import contextlib
import gzip
import json
import logging
import random
import resource
from urllib.parse import urlsplit

import psutil
import pytest

from poster_service.errors import InvalidSettings
from poster_service.settings import Settings
from poster_service.web.connections import RESERVED, ensure_descriptors
from tests.conftest import settled
from tests.web.conftest import Service, StartService
from tests.web.raw_http import BEGUN, NOISE, answer, busy, connected, request, small_window


async def test_connections_over_the_limit_are_answered_503_and_closed(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    """Where all are busy: counted, logged once; when one goes there is room again."""
    service = await start_service(max_connections=5, max_peer_connections=5)
    book = service.server.connections
    async with contextlib.AsyncExitStack() as stack:
        held = [await busy(service, stack) for _ in range(5)]
        # Those in the reserved places, which get an error when they have asked for something.
        spare = [await stack.enter_async_context(connected(service)) for _ in range(RESERVED)]
        for streams in spare:
            streams[1].write(BEGUN)
        for streams in spare:
            status, problem, head = await answer(streams)
            assert (status, problem["code"]) == (503, "overloaded")
            assert b"Retry-After: " in head
            assert await streams[0].read() == b""
        assert await settled(lambda: book.open == 5)
        assert book.refused == RESERVED
        messages = [one for one in caplog.records if "connections are refused" in one.getMessage()]
        assert len(messages) == 1
        held[0][1].transport.abort()
        assert await settled(lambda: book.open == 4)
        async with connected(service) as again:
            again[1].write(request())
            assert (await answer(again))[0] == 200
    assert await settled(lambda: service.server.connections.open == 0)


async def test_a_flood_of_connections_never_runs_out_of_descriptors(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    """Three hundred at once against twenty: no EMFILE, nothing kept, and a render right after."""
    service = await start_service(max_connections=20, max_peer_connections=20)
    where = urlsplit(service.address)
    before = psutil.Process().num_fds()

    over, knocked = asyncio.Event(), 0

    async def knock() -> None:
        nonlocal knocked
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(where.hostname, where.port)
            knocked += 1
            writer.write(BEGUN)
            await over.wait()
            writer.transport.abort()

    book = service.server.connections

    knocking: list[asyncio.Task[None]] = []
    try:
        for batch in range(10):
            # By thirties: a full backlog makes the kernel try again, seconds later.
            knocking += [asyncio.create_task(knock()) for _ in range(30)]
            wanted = 30 * (batch + 1)
            assert await settled(lambda wanted=wanted: knocked == wanted)  # type: ignore[misc]
        assert await settled(lambda: book.open <= 20 + RESERVED)
        assert await settled(lambda: book.refused > 0)
    finally:
        over.set()
        await asyncio.gather(*knocking)
    assert await settled(lambda: service.server.connections.open == 0)
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    await service.picture(html="<p>x", width=10, height=10)
    assert await service.at_rest()
    assert await settled(lambda: psutil.Process().num_fds() <= before + 10)


async def test_an_idle_connection_and_one_that_never_ends_its_head_are_closed(
    start_service: StartService,
) -> None:
    """Silent from the start, silent after an answer, or a byte of a header now and then."""
    service = await start_service(keepalive_seconds=3)
    async with connected(service) as silent, connected(service) as done, connected(service) as slow:
        done[1].write(request())
        assert (await answer(done))[0] == 200

        async def drip() -> None:
            for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1000:
                slow[1].write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        for reader, _ in (silent, done, slow):
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 60) == b""
        dripping.cancel()


#: Each with a line that is too large, or too large together.
LARGE_HEADS: dict[str, tuple[str, dict[str, str]]] = {
    "cookie": ("/healthz", {"Cookie": "a=" + "x" * 3000}),
    "header": ("/healthz", {"X-Long": "x" * 3000}),
    "address": ("/healthz?" + "x" * 3000, {}),
    "together": ("/healthz", {f"X-Some-{number}": "x" * 100 for number in range(30)}),
}


async def test_a_head_that_is_too_large_is_a_problem(start_service: StartService) -> None:
    """431 with the bound."""
    service = await start_service(max_header_bytes=2048)
    for name, (path, headers) in LARGE_HEADS.items():
        async with connected(service) as streams:
            streams[1].write(request(path, headers=headers))
            status, problem, head = await answer(streams)
        assert (status, problem["code"]) == (431, "headers_too_large"), name
        assert "2048" in problem["allowed"]
        assert problem["request_id"].encode() in head


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\nx y z\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"POST /render HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem_and_no_traceback(
    service: Service, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400 as problem+json, a line at info, the connection closed."""
    async with connected(service) as streams:
        streams[1].write(garbage)
        status, problem, _ = await answer(streams)
        assert (status, problem["code"]) == (400, "bad_request")
        assert await asyncio.wait_for(streams[0].read(), 60) == b""
    assert not [one for one in caplog.records if one.exc_info]


@pytest.mark.slow
async def test_a_slow_sender_holds_no_chrome_and_is_answered_408(
    start_service: StartService,
) -> None:
    """One Chrome, ten who send a body byte by byte: a render beside them, then 408 for each."""
    service = await start_service(concurrency=1, body_timeout_ms=2500)
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(service)) for _ in range(10)]
        whole = request("/render", "POST", b"<p>" * 100, {"Content-Type": "text/html"})
        for _, writer in slow:
            writer.write(whole[:-50])
        await service.picture(html="<p>x", width=10, height=10)
        assert service.engine.admission.statistics().running <= 1
        for streams in slow:
            status, problem, head = await answer(streams)
            assert (status, problem["code"]) == (408, "body_timeout")
            assert b"Connection: close" in head
    assert await service.at_rest()


@pytest.mark.slow
async def test_a_slow_reader_holds_no_chrome(start_service: StartService) -> None:
    """One Chrome; three who take a byte a second of megabytes: others are served beside them."""
    service = await start_service(concurrency=1)
    job = json.dumps({"html": NOISE, "width": 1200, "height": 1200}).encode()
    async with contextlib.AsyncExitStack() as stack:
        readers = []
        for _ in range(3):
            reader, writer = await stack.enter_async_context(small_window(service))
            writer.write(request("/render", "POST", job, {"Content-Type": "application/json"}))
            assert (await asyncio.wait_for(reader.read(1), 60)) == b"H"
            readers.append(reader)
        # All three pictures are on their way, and no Chrome is held for them.
        assert await service.at_rest()
        for _ in range(3):
            for reader in readers:
                await reader.read(1)
            await asyncio.sleep(1)
            await service.picture(html="<p>x", width=10, height=10)
        assert await service.at_rest()
        assert service.server.connections.open >= 3


async def test_an_answer_that_is_not_taken_is_cut_off_in_its_time(
    start_service: StartService,
) -> None:
    """Or its picture would be kept for as long as the reader likes."""
    service = await start_service(send_timeout_ms=500)
    job = json.dumps({"html": NOISE, "width": 1200, "height": 1200}).encode()
    async with small_window(service) as (_, writer):
        writer.write(request("/render", "POST", job, {"Content-Type": "application/json"}))
        assert await settled(lambda: service.server.connections.open == 1)
        assert await settled(lambda: service.server.connections.open == 0)
    assert await service.at_rest()


async def test_a_gzip_bomb_is_refused_in_bounded_memory(start_service: StartService) -> None:
    """200 MB in 200 KB, ten of them at once: 413 each, and no more memory than the limits say."""
    service = await start_service(max_body_bytes=1 << 20)
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    assert len(bomb) < 300_000
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    process = psutil.Process()
    before, most, over = process.memory_info().rss, 0, asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())

    async def throw() -> int:
        url = f"{service.address}/render"
        async with service.client.post(url, data=bomb, headers=headers) as reported:
            return reported.status

    assert await asyncio.gather(*(throw() for _ in range(10))) == [413] * 10
    over.set()
    await watching
    assert most - before < 60 << 20, f"{(most - before) >> 20} MiB"


def settings(**flags: str) -> Settings:
    """Settings as flags give them."""
    return Settings.load({}, flags)


def test_descriptors_are_raised_to_what_is_needed_or_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By raising our own limit; where the hard one is too low, both remedies are named."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    ensure_descriptors(settings(concurrency="2", ready_chromes="2", max_connections="1000"))
    assert given == [(1000 + 256 + 4 * 16, 4096)]
    many = settings(
        concurrency="2", ready_chromes="2", max_connections="1000", fetch_connections="200"
    )
    ensure_descriptors(many)
    assert given.pop() == (1000 + 200 * 2 + 64 + 4 * 16, 4096)
    with pytest.raises(InvalidSettings) as caught:
        ensure_descriptors(settings(concurrency="2", ready_chromes="2", max_connections="4000"))
    assert "POSTER_MAX_CONNECTIONS=4000" in str(caught.value)
    assert "ulimit -Hn" in str(caught.value)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8192, 8192))
    ensure_descriptors(settings(max_connections="1000"))
    assert len(given) == 1


def test_the_defaults_need_no_more_than_the_usual_1024() -> None:
    """On a machine of eight processors: nothing is raised, and Chromes inherit what they had."""
    assert settings().max_connections + 256 + (8 + 1) * 16 <= 1024


def mutated(chance: random.Random) -> bytes:
    """A request of one of the kinds there are, with some bytes changed, gone, doubled or put in."""
    job = json.dumps({"html": "<p>x", "width": 9, "height": 9, "data": {"a": [1, {"b": "c"}]}})
    raw = bytearray(
        chance.choice([
            request("/render", "POST", job.encode(), {"Content-Type": "application/json"}),
            request("/render?width=9", "POST", b"<p>x", {"Content-Type": "text/html"}),
            request("/render", "POST", gzip.compress(b"<p>x"),
                    {"Content-Type": "text/html; charset=gbk", "Content-Encoding": "gzip"}),
            request("/render/article-card?data=e30&key=old&expires=99&signature=00"),
            request("/status?format=html", headers={"Accept": "text/html", "Cookie": "a=b"}),
            request("/templates", "HEAD", headers={"Authorization": "B x", "Origin": "https://x"}),
            request("/render", "OPTIONS", headers={"Origin": "https://x"}),
        ])
    )  # fmt: skip
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(raw))
        piece = chance.choice([
            b"\0", b"\r\n", b"\xff", b"%", b":", b" ", b"{", b"[", b'"', b"\\ud800", b"9" * 30,
            b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n",
            b"Expect: 100-continue\r\n", b"Expect: \xff\r\n", bytes([chance.randrange(256)]),
        ])  # fmt: skip
        raw[at : at + chance.choice([0, 0, 1, len(piece), 40])] = piece
    return bytes(raw)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
async def test_no_bytes_make_the_service_fail(
    start_service: StartService, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """Six hundred mutated requests: an answer that is promised, or the connection closed."""
    service = await start_service(
        keepalive_seconds=1, body_timeout_ms=500, signing_keys="old=0123456789abcdef",
        cors_origins="https://x", timeout_ms=5000,
    )  # fmt: skip
    assert await service.at_rest()
    chance = random.Random(seed)
    seen: set[int] = set()
    gate = asyncio.Semaphore(24)

    async def send(raw: bytes) -> None:
        async with gate, connected(service) as (reader, writer):
            writer.write(raw)
            messages = b""
            with contextlib.suppress(ConnectionError):
                messages = await asyncio.wait_for(reader.read(65536), 60)
            if messages:
                seen.add(int(messages.split()[1]))

    await asyncio.gather(*(send(mutated(chance)) for _ in range(600)))
    assert seen <= {
        100,
        200,
        204,
        400,
        403,
        404,
        405,
        408,
        411,
        413,
        415,
        417,
        421,
        422,
        431,
        502,
        503,
        504,
    }
    assert {200, 400, 403} <= seen
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert await service.at_rest()
    assert await settled(lambda: service.server.connections.open <= 1)


async def test_heads_that_are_never_finished_keep_no_other_client_out(
    start_service: StartService,
) -> None:
    """Far more than there are places, from one address: a render, /healthz and /status all work."""
    service = await start_service(max_connections=20)
    book = service.server.connections
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(60):
            _, writer = await stack.enter_async_context(connected(service))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        assert await settled(lambda: book.replaced >= 50)
        assert book.open <= 10 + RESERVED
        await service.picture(html="<p>x", width=10, height=10)
        for path in ("/healthz", "/status"):
            assert (await service.get(path)).status == 200
    assert book.refused == 0


async def test_one_address_has_no_more_than_its_part_of_the_places(
    start_service: StartService,
) -> None:
    """All of them busy: another address is served, and the health routes to the first one too."""
    service = await start_service(max_connections=8, max_peer_connections=3)
    where = urlsplit(service.address)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await busy(service, stack)
        async with connected(service) as streams:
            streams[1].write(request("/templates"))
            assert (await answer(streams))[0] == 503
        for path in ("/healthz", "/readyz"):
            async with connected(service) as streams:
                streams[1].write(request(path))
                status, reported, head = await answer(streams)
                assert (status, b"connection: close" in head.lower()) == (200, True), reported
        other = await asyncio.open_connection(
            where.hostname, where.port, local_addr=("127.0.0.2", 0)
        )
        stack.callback(other[1].transport.abort)
        other[1].write(request("/templates"))
        assert (await answer(other))[0] == 200


async def test_health_is_answered_when_every_place_is_busy(start_service: StartService) -> None:
    """From several addresses, so that it is the whole that is full."""
    service = await start_service(max_connections=4, max_peer_connections=4)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await busy(service, stack)
        for _ in range(3 * RESERVED):
            idle = await stack.enter_async_context(connected(service))
            idle[1].write(b"GET /heal")
        for path, expected in (("/healthz", 200), ("/readyz", 200), ("/render/x", 503)):
            async with connected(service) as streams:
                streams[1].write(request(path))
                assert (await answer(streams))[0] == expected


async def test_a_proxy_is_bounded_by_the_whole_alone(start_service: StartService) -> None:
    """All callers come from its address, and it is named for that."""
    service = await start_service(
        max_connections=6, max_peer_connections=2, trusted_peers="127.0.0.0/8,10.0.0.0/8"
    )
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(5):
            await busy(service, stack)
        assert (await service.get("/templates")).status == 200


async def test_a_head_has_so_much_time_however_it_drips(start_service: StartService) -> None:
    """408 as a problem; silence before the first byte is another matter."""
    service = await start_service(head_timeout_ms=500)
    async with (
        connected(service) as slow, connected(service) as silent, connected(service) as half,
    ):  # fmt: skip
        dripping = asyncio.create_task(drip(slow[1]))
        half[1].write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        status, problem, _ = await answer(half)
        assert (status, problem["code"]) == (408, "head_timeout")
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(slow[0].read(), 60)  # to its end
        dripping.cancel()
        silent[1].write(request())
        assert (await answer(silent))[0] == 200


async def drip(writer: asyncio.StreamWriter) -> None:
    """A head that never ends, a byte at a time."""
    for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 1000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /render HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n",
        b"POST /render HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
        b"POST /render HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"GET /templates HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"POST /render HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 3\r\n",
    ],
)
async def test_what_is_declared_in_two_ways_is_refused_and_the_connection_ends(
    service: Service, head: bytes
) -> None:
    """Where a body ends, or who is meant: a proxy in front may have read it in the other way."""
    async with connected(service) as streams:
        streams[1].write(head + b"Content-Type: text/html\r\n\r\n3\r\n<p>\r\n0\r\n\r\n" + request())
        status, problem, _ = await answer(streams)
        assert (status, problem["code"]) == (400, "bad_request")
        if b"Host: evil" not in head:
            assert await asyncio.wait_for(streams[0].read(), 60) == b""
