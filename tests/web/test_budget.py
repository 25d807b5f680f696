"""What all requests together may hold in memory, and what of it may touch the event loop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from poster_service import buffers
from poster_service.browser import pieces
from tests.conftest import settled
from tests.web.conftest import Service, StartService
from tests.web.raw_http import NOISE, Streams, answer, busy, connected, request, small_window

MIB = 1 << 20
JSON = {"Content-Type": "application/json"}


def half_a_body(size: int) -> bytes:
    """A request of which the last byte is missing."""
    return request("/render", "POST", b"x" * size, {"Content-Type": "text/html"})[:-1]


async def begun(service: Service, stack: contextlib.AsyncExitStack, size: int) -> Streams:
    """A connection that has sent a body but for its last byte."""
    streams = await stack.enter_async_context(connected(service))
    streams[1].write(half_a_body(size))
    await streams[1].drain()
    return streams


async def test_bodies_are_refused_where_all_of_them_would_be_too_much(
    start_service: StartService,
) -> None:
    """Large ones, with 503 before they are read; small ones are served beside them."""
    service = await start_service(max_body_bytes=MIB, buffer_bytes=8 * MIB)
    budget = service.engine.buffers
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):  # each counts twice
            await begun(service, stack, MIB)
        assert await settled(lambda: budget.used > 5.9 * MIB)
        for _ in range(3):
            late = await stack.enter_async_context(connected(service))
            # The head alone: nothing of the body is asked for, or waited for.
            late[1].write(half_a_body(MIB).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            status, problem, head = await answer(late)
            assert (status, problem["code"]) == (503, "overloaded")
            assert b"retry-after: " in head.lower()
        assert budget.refused == 3
        await service.picture(html="<p>x", width=10, height=10)
        reported = await (await service.get("/metrics")).text()
        assert "poster_buffer_refusals_total 3.0" in reported
        assert budget.used <= budget.limit
    assert await settled(lambda: budget.used == 0)


async def test_a_body_that_grows_unannounced_is_bounded_as_it_grows(
    start_service: StartService,
) -> None:
    """Chunked: its length is not known."""
    service = await start_service(max_body_bytes=MIB, buffer_bytes=4 * MIB)
    head = (
        b"POST /render HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/html\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    async with contextlib.AsyncExitStack() as stack:
        many = [await stack.enter_async_context(connected(service)) for _ in range(4)]
        for _, writer in many:
            writer.write(head + b"%x\r\n%b\r\n" % (900_000, bytes(900_000)))
        done, _ = await asyncio.wait(
            [asyncio.create_task(answer(one)) for one in many], timeout=60,
            return_when=asyncio.FIRST_COMPLETED,
        )  # fmt: skip
        assert {task.result()[0] for task in done} == {503}
        assert service.engine.buffers.used <= 4 * MIB
        await service.picture(html="<p>x", width=10, height=10)


async def served(send: Callable[[], Awaitable[int]]) -> None:
    """Send again until it is served, as a client does after 503; it must be some time."""
    async with asyncio.timeout(60):
        while await send() != 200:  # noqa: ASYNC110 - it is asked, and not waited for
            await asyncio.sleep(0.1)


async def test_a_stalled_sender_gives_way(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that needs the room gets an error that says so."""
    monkeypatch.setattr(buffers, "STALLED_SECONDS", 0.5)
    service = await start_service(max_body_bytes=MIB, buffer_bytes=4 * MIB)
    async with contextlib.AsyncExitStack() as stack:
        stalled = await begun(service, stack, MIB)
        assert await settled(lambda: service.engine.buffers.used > MIB)

        async def sent() -> int:
            page = b"<p>" + b"x" * (MIB - 3)
            where = f"{service.address}/render?width=10&height=10"
            async with service.client.post(
                where, data=page, headers={"Content-Type": "text/html"}
            ) as reported:
                return reported.status

        await served(sent)
        assert (await answer(stalled))[0] == 503
        assert service.engine.buffers.evicted == 1


async def test_readers_that_do_not_read_are_bounded_and_give_way(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds its picture once; where others need the room, they are cut off."""
    monkeypatch.setattr(buffers, "STALLED_SECONDS", 0.5)
    service = await start_service(max_body_bytes=MIB, buffer_bytes=8 * MIB)
    budget = service.engine.buffers
    job = json.dumps({"html": NOISE, "width": 1200, "height": 1200}).encode()
    async with contextlib.AsyncExitStack() as stack:
        # Of four megabytes each; those that come before the first readers count as stalled get 503.
        while not budget.evicted:
            _, writer = await stack.enter_async_context(small_window(service))
            writer.write(request("/render", "POST", job, JSON))
            await asyncio.sleep(0.2)
            assert await settled(lambda: not service.engine.admission.statistics().running)
        assert await service.at_rest()
        assert budget.evicted >= 1

        async def sent() -> int:
            return (await service.render(html="<p>x", width=10, height=10)).status

        await served(sent)
    assert await settled(lambda: budget.used == 0)


@pytest.mark.slow
async def test_a_picture_larger_than_all_of_the_budget_is_made_all_the_same(
    start_service: StartService,
) -> None:
    """Several of them at once, compressed again too: one after the other."""
    service = await start_service(max_body_bytes=MIB, buffer_bytes=4 * MIB, timeout_ms=60_000)
    one = {"html": NOISE, "width": 1200, "height": 1200}
    jobs = [one, one | {"png_compression": "balanced"}, one | {"format": "webp", "quality": 100}]
    made = await asyncio.gather(*(service.picture(**job) for job in jobs * 2))
    assert min(map(len, made)) > MIB
    assert await settled(lambda: service.engine.buffers.used == 0)


async def test_a_large_picture_is_not_decoded_in_the_event_loop(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays in the pieces in which it came, and a thread takes them."""
    taken: list[int] = []
    joined = pieces._joined

    def watched(some: list[bytes]) -> bytes:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise AssertionError("in the event loop")
        taken.append(len(some))
        return joined(some)

    monkeypatch.setattr(pieces, "_joined", watched)
    whole = await service.picture(html=NOISE, width=1200, height=1200)
    assert taken[0] > 3
    assert whole.startswith(b"\x89PNG")
    assert whole.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "text/html", "Content-Encoding": "br"}, 415),
        ({"Content-Type": "text/html", "Content-Length": "999999999"}, 413),
        ({"Content-Type": "multipart/form-data; boundary=b", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/html", "Authorization": "Bearer wrong"}, 401),
    ],
)
async def test_what_is_refused_is_refused_before_its_body_is_asked_for(
    start_service: StartService, more: dict[str, str], status: int
) -> None:
    """One who waits for 100 Continue never gets it."""
    token = {"tokens": "a=0123456789abcdef"} if status == 401 else {}
    service = await start_service(**token)
    headers = {"Expect": "100-continue", "Content-Length": "1000", **more}
    async with connected(service) as streams:
        streams[1].write(request("/render", "POST", headers=headers))
        reported, _, _ = await answer(streams)
        assert reported == status


async def test_a_full_line_and_a_quota_are_reported_before_the_body(
    start_service: StartService,
) -> None:
    """Of a large one; a small one is read, since its picture may be cached."""
    service = await start_service(concurrency=1, queue_size=0)
    assert await service.at_rest()  # the probe at the start holds the slot until its Chrome is gone
    endless = "<script>for (;;);</script>"
    running = asyncio.create_task(service.render(html=endless, timeout_ms=60_000))
    assert await settled(lambda: service.engine.admission.statistics().running == 1)
    headers = {"Expect": "100-continue", "Content-Type": "text/html", "Content-Length": "1000000"}
    async with connected(service) as streams:
        streams[1].write(request("/render", "POST", headers=headers))
        status, problem, _ = await answer(streams)
        assert (status, problem["code"]) == (503, "overloaded")
    running.cancel()
    async with expecting(service) as streams:
        assert (await streams[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        streams[1].write(b"<p>x")
        assert (await streams[0].readuntil(b"\r\n\r\n")).split()[1] in (b"200", b"503")


@contextlib.asynccontextmanager
async def expecting(service: Service) -> AsyncIterator[Streams]:
    """A connection that waits to be asked for four bytes of HTML."""
    headers = {"Expect": "100-continue", "Content-Type": "text/html", "Content-Length": "4"}
    assert urlsplit(service.address).hostname
    async with connected(service) as streams:
        streams[1].write(request("/render?width=9&height=9", "POST", headers=headers))
        yield streams


async def test_the_budget_is_shown(service: Service) -> None:
    """In /status, for an operator who asks why."""
    async with contextlib.AsyncExitStack() as stack:
        await busy(service, stack)
        reported = (await (await service.get("/status")).json())["buffers"]
    assert reported["limit_bytes"] == 256 * MIB
    assert set(reported) == {"limit_bytes", "used_bytes", "refused", "evicted", "waiting"}
