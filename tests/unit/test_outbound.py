"""Connections to servers that pages fetch from: bounded, and shared fairly."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from poster_service.fetch.outbound import OpenSockets, Outbound, Owner
from poster_service.fetch.policy import connector
from tests.unit.fetching import LOOPBACK, PUBLIC, fetching, get, serving


class Crowd:
    """Fetches that take slots and hold them until they are released."""

    def __init__(self, outbound: Outbound) -> None:
        self.outbound = outbound
        self.begun: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def add(self, name: str, owner: Owner, host: str = "h") -> None:
        """Start one more, which has a slot or waits for one."""
        self._tasks[name] = asyncio.ensure_future(self._hold(name, owner, host))
        await asyncio.sleep(0)

    async def end(self, *names: str) -> None:
        """Cancel these, whether they wait or run."""
        for name in names:
            self._tasks[name].cancel()
        await asyncio.wait([self._tasks.pop(name) for name in names])

    async def _hold(self, name: str, owner: Owner, host: str) -> None:
        async with self.outbound.slot(owner, host):
            self.begun.append(name)
            await asyncio.Event().wait()

    async def end_all(self) -> None:
        """Cancel all."""
        if self._tasks:
            await self.end(*self._tasks)


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    """With eight slots; in the end none is taken and nothing waits."""
    made = Crowd(Outbound(8))
    yield made
    await made.end_all()
    assert (made.outbound.statistics().running, made.outbound.statistics().waiting) == (0, 0)
    assert made.outbound._callers == made.outbound._hosts == {}
    assert not made.outbound._queues


async def test_waiting_pages_get_slots_in_turn(crowd: Crowd) -> None:
    """A page with many requests delays another page by one of them, not by all."""
    pages = [Owner(name) for name in "abcd"]
    for i in range(12):
        await crowd.add(f"a{i}", pages[0], f"h{i}")
    for i in range(2):
        await crowd.add(f"b{i}", pages[1], f"h{i}")
    assert crowd.begun == ["a0", "a1", "a2", "a3", "a4", "a5", "b0", "b1"]
    for page in (2, 3):
        for i in range(2):
            await crowd.add(f"{'cd'[page - 2]}{i}", pages[page], f"h{i}")
    for i in range(4):
        await crowd.end(f"a{i}")
    # a stood in the line from the beginning, so one turn is its; then each has one.
    assert crowd.begun[8:] == ["a6", "c0", "d0", "a7"]


async def test_no_caller_has_all_slots(crowd: Crowd) -> None:
    """Three quarters at most, for any number of pages."""
    for i in range(20):
        await crowd.add(f"a{i}", Owner("a"), f"h{i}")
    assert len(crowd.begun) == 6
    await crowd.add("b", Owner("b"))
    assert crowd.begun[-1] == "b"


async def test_no_host_has_all_slots(crowd: Crowd) -> None:
    """Half at most; a request to another host passes those that wait for this one."""
    owner = Owner("a")
    for i in range(10):
        await crowd.add(f"s{i}", owner, "slow")
    await crowd.add("quick", owner, "quick")
    assert crowd.begun == ["s0", "s1", "s2", "s3", "quick"]


async def test_a_cancelled_fetch_gives_back_its_slot(crowd: Crowd) -> None:
    """Neither those that wait nor those that run, in any order of their ends."""
    owner = Owner("a")
    for i in range(12):
        await crowd.add(f"a{i}", owner, f"h{i}")
    await crowd.end("a7", "a0", "a1")  # the first of them never had a place
    assert crowd.begun[6:] == ["a6", "a8"]
    statistics = crowd.outbound.statistics()
    assert (statistics.running, statistics.waiting) == (6, 3)


async def test_a_slot_granted_during_a_cancellation_is_given_back() -> None:
    """Both in one iteration of the loop."""
    outbound = Outbound(4)
    crowd = Crowd(outbound)
    for i in range(4):
        await crowd.add(f"a{i}", Owner(f"c{i}"), f"h{i}")
    await crowd.add("late", Owner("late"))
    await crowd.end("a0", "late")
    assert outbound.statistics().running == 3
    await crowd.end_all()
    assert outbound.statistics().running == 0


# --- sockets -----------------------------------------------------------------------------------


async def answer(_: web.Request) -> web.StreamResponse:
    """At once, and the connection may be used again."""
    return web.Response(text="x")


async def test_the_oldest_idle_connection_makes_room() -> None:
    """Of any connector; what is in use is never closed for another."""
    sockets, in_use = OpenSockets(3), socket.socket()
    sockets._open.append(in_use)
    async with contextlib.AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(serving(answer)) for _ in range(6)]
        sessions = [
            await stack.enter_async_context(
                aiohttp.ClientSession(connector=connector(LOOPBACK, sockets))
            )
            for _ in range(2)
        ]
        for i, address in enumerate(addresses):
            async with sessions[i % 2].get(address) as response:
                assert await response.text() == "x"
            assert len(sockets) <= 4  # one may be just being closed
        await asyncio.sleep(0)
        assert len(sockets) == 3
        assert in_use.fileno() != -1
    in_use.close()
    assert len(sockets) == 0


async def test_further_addresses_of_a_host_take_no_room_of_others() -> None:
    """A fetch gets its first socket even where the attempts of others have taken all."""
    outbound, sockets = Outbound(4), OpenSockets(4)
    made = []

    def new() -> socket.socket:
        made.append(sockets.new(socket.AF_INET, socket.SOCK_STREAM, 0))
        return made[-1]

    async with outbound.slot(Owner("a"), "a"):
        for _ in range(4):
            new()
        with pytest.raises(OSError, match="too many"):
            new()
        async with outbound.slot(Owner("b"), "b"):
            new()
            with pytest.raises(OSError, match="too many"):
                new()
    for one in made:
        one.close()
    assert len(sockets) == 0


async def test_the_time_limit_of_a_fetch_begins_with_its_slot() -> None:
    """Also for pages that wait for one thing together, for the first that asked and the others."""
    over = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow":
            await over.wait()
        return web.Response(text="x", headers={"Cache-Control": "max-age=60"})

    async with serving(handler) as address, fetching(seconds=5.0) as fetcher:
        fetcher.outbound = Outbound(1)
        async with fetcher.outbound.slot(Owner(), "other"):
            waiting = [
                asyncio.ensure_future(fetcher.fetch(get(f"{address}/{path}")))
                for path in ("one", "one", "two")
            ]
            done, _ = await asyncio.wait(waiting, timeout=6)
            assert not done
        for one in waiting:
            assert (await one).body == b"x"
        over.set()


async def test_the_policy_is_asked_before_a_socket_is_counted() -> None:
    """A refusal takes no room."""
    sockets = OpenSockets(1)
    tcp = connector(PUBLIC, sockets)
    try:
        make = tcp._socket_factory
        assert make is not None
        for _ in range(3):
            with pytest.raises(OSError, match="not a public address"):
                make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    finally:
        await tcp.close()
    assert len(sockets) == 0
