"""Responses are cached for other pages as their server allows; against a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from poster_service.browser.types import Reply, Request
from poster_service.fetch.client import Fetcher, FetchLimits
from poster_service.fetch.errors import RequestDenied, RequestFailed
from poster_service.fetch.policy import Policy
from poster_service.fetch.response_cache import ResponseCache
from poster_service.render.page_route import PageSources, page_route
from poster_service.render.warnings import Warnings
from tests.conftest import settled
from tests.unit.fetching import LOOPBACK, get, header, serving


@dataclass
class Origin:
    """A server that answers with a number, and records its requests."""

    headers: dict[str, str]
    status: int = 200
    size: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The number of this request; 304 where the client has the newest version."""
        self.asked.append({name.lower(): value for name, value in request.headers.items()})
        if self.hold is not None:
            await self.hold.wait()
        etag = self.headers.get("ETag")
        if etag and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=self.headers)
        body = str(len(self.asked)).encode().ljust(self.size, b".")
        return web.Response(status=self.status, body=body, headers=self.headers)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def cached(
    origin: Origin, size: int = 1 << 20, policy: Policy = LOOPBACK, **limits: int
) -> AsyncIterator[tuple[Fetcher, str, Clock]]:
    """A fetcher with a cache, the origin's address, and the cache's clock."""
    clock = Clock()
    async with serving(origin.answer) as address:
        fetcher = Fetcher(policy, FetchLimits(**limits), size)
        fetcher.cache = ResponseCache(size, clock)
        try:
            yield fetcher, f"{address}/a", clock
        finally:
            if origin.hold is not None:
                origin.hold.set()
            await fetcher.close()


def outcomes(fetcher: Fetcher) -> dict[str, int]:
    """How fetches were answered, but for zeros."""
    return {name: number for name, number in fetcher.cache.outcomes.items() if number}


async def test_what_is_fresh_is_not_asked_for_again() -> None:
    """As long as its server says; with its age."""
    origin = Origin({"Cache-Control": "max-age=60"})
    async with cached(origin) as (fetcher, url, clock):
        assert (await fetcher.fetch(get(url))).body == b"1"
        clock.now += 30
        kept = await fetcher.fetch(get(url))
        assert kept.body == b"1"
        assert 30 <= int(header(kept, "age")[0]) <= 32
        clock.now += 31
        assert (await fetcher.fetch(get(url))).body == b"2"
        assert outcomes(fetcher) == {"miss": 2, "hit": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Cache-Control": "no-store, max-age=60"}, {"Cache-Control": "private, max-age=60"},
        {"Cache-Control": "max-age=60", "Vary": "*"}, {"Cache-Control": "max-age=0"},
        {"Cache-Control": "max-age=60", "Set-Cookie": "a=b"}, {"Expires": "0"},
    ],
    ids=str,
)  # fmt: skip
async def test_what_is_not_for_all_or_not_for_later_is_asked_for_each_time(
    headers: dict[str, str],
) -> None:
    """And nothing of it is stored."""
    origin = Origin(headers)
    async with cached(origin) as (fetcher, url, _):
        for number in (b"1", b"2"):
            assert (await fetcher.fetch(get(url))).body == number
        assert fetcher.cache.statistics()["bytes"] == 0


@pytest.mark.parametrize(
    "personal",
    [{"Authorization": "x"}, {"Range": "bytes=0-"}, {"Cache-Control": "no-cache"},
     {"If-None-Match": '"x"'}],
    ids=str,
)  # fmt: skip
async def test_a_request_of_its_own_kind_passes_by(personal: dict[str, str]) -> None:
    """It neither gets a stored response nor stores one."""
    origin = Origin({"Cache-Control": "max-age=60"})
    async with cached(origin) as (fetcher, url, _):
        for _ in range(2):
            await fetcher.fetch(Request(url, "GET", personal, None, "Fetch"))
        await fetcher.fetch(Request(url, "POST", {}, b"x", "Fetch"))
        assert len(origin.asked) == 3
        assert outcomes(fetcher) == {"bypass": 3}


async def test_a_header_that_one_page_makes_up_changes_nothing_for_others() -> None:
    """All that is sent is part of the key, whether the server says Vary or not."""
    origin = Origin({"Cache-Control": "max-age=60"})
    async with cached(origin) as (fetcher, url, _):
        evil = await fetcher.fetch(get(url, X_Forwarded_Host="evil.example"))
        plain = await fetcher.fetch(get(url))
        assert (evil.body, plain.body) == (b"1", b"2")
        assert (await fetcher.fetch(get(url))).body == b"2"


async def test_what_is_stale_is_asked_whether_it_is_still_good() -> None:
    """A 304 makes it good again, and brings new headers; it has no age then."""
    origin = Origin({"Cache-Control": "max-age=10", "ETag": '"v1"'})
    async with cached(origin) as (fetcher, url, clock):
        await fetcher.fetch(get(url))
        clock.now += 11
        origin.headers |= {"X-New": "yes"}
        again = await fetcher.fetch(get(url))
        assert (again.status, again.body) == (200, b"1")
        assert header(again, "x-new") == ["yes"]
        assert origin.asked[1]["if-none-match"] == '"v1"'
        assert (await fetcher.fetch(get(url))).body == b"1"
        assert outcomes(fetcher) == {"miss": 1, "revalidated": 1, "hit": 1}
        clock.now += 11
        origin.headers["ETag"] = '"v2"'
        assert (await fetcher.fetch(get(url))).body == b"3"


async def test_with_no_cache_it_is_asked_each_time_and_sent_once() -> None:
    """Kept, but never used unasked."""
    origin = Origin({"Cache-Control": "no-cache", "ETag": '"v1"'})
    async with cached(origin) as (fetcher, url, _):
        for _ in range(3):
            assert (await fetcher.fetch(get(url))).body == b"1"
        assert len(origin.asked) == 3


async def test_the_least_used_goes_first_and_the_bound_holds() -> None:
    """Bytes, not entries; a response larger than the whole cache is not stored."""
    origin = Origin({"Cache-Control": "max-age=60"}, size=10_000)
    async with cached(origin, size=30_000) as (fetcher, url, _):
        for name in "xyxz":
            await fetcher.fetch(get(url + name))
        assert fetcher.cache.statistics()["bytes"] <= 30_000
        await fetcher.fetch(get(url + "x"))
        assert len(origin.asked) == 3
        await fetcher.fetch(get(url + "y"))
        assert len(origin.asked) == 4
        origin.size = 40_000
        for _ in range(2):
            await fetcher.fetch(get(url + "large"))
        assert len(origin.asked) == 6


async def test_what_is_denied_is_denied_however_well_it_is_kept() -> None:
    """The policy is checked for each request."""
    origin = Origin({"Cache-Control": "max-age=60"})
    async with cached(origin) as (fetcher, url, _):
        await fetcher.fetch(get(url))
        fetcher._policy = Policy(public=True, private=LOOPBACK.private, denied=("127.0.0.1",))
        with pytest.raises(RequestDenied):
            await fetcher.fetch(get(url))


async def test_a_pages_budget_counts_what_was_kept() -> None:
    """Requests and bytes, as if they came from the server."""
    origin = Origin({"Cache-Control": "max-age=60"}, size=1000)
    async with cached(origin, max_total_bytes=2500) as (fetcher, url, _):
        warnings = Warnings()
        route = page_route(PageSources("x"), fetcher, warnings)
        got = [await route(get(url)) for _ in range(4)]
        assert [reply is not None for reply in got] == [True, True, False, False]
        assert {one.reason for one in warnings.missing() if one.verb == "denied"} == {"bytes"}
        assert len(origin.asked) == 1


async def together(
    origin: Origin, fetcher: Fetcher, url: str, charges: list[Callable[[int], None]]
) -> list["asyncio.Task[Reply]"]:
    """Fetches that are all under way, the first of them at the server."""
    tasks = []
    for charge in charges:
        tasks.append(asyncio.create_task(fetcher.fetch(get(url), charge)))
        assert await settled(lambda: bool(origin.asked))
        await asyncio.sleep(0)
    return tasks


async def test_pages_that_ask_at_once_share_one_fetch() -> None:
    """Each is charged for it; the first that asked may leave."""
    origin = Origin({"Cache-Control": "max-age=60"}, hold=asyncio.Event())
    async with cached(origin) as (fetcher, url, _):
        charged: list[int] = []
        tasks = await together(origin, fetcher, url, [lambda _: None, *[charged.append] * 2])
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        assert origin.hold is not None
        origin.hold.set()
        assert [(await task).body for task in tasks[1:]] == [b"1", b"1"]
        assert charged == [1, 1]
        assert len(origin.asked) == 1


async def test_a_page_that_cannot_afford_it_does_not_take_it_from_others() -> None:
    """It gets the error of its own budget."""

    def spent(_: int) -> None:
        raise RequestDenied("bytes")

    origin = Origin({"Cache-Control": "max-age=60"}, hold=asyncio.Event())
    async with cached(origin) as (fetcher, url, _):
        poor, rich = await together(origin, fetcher, url, [spent, lambda _: None])
        assert origin.hold is not None
        origin.hold.set()
        assert (await rich).body == b"1"
        with pytest.raises(RequestDenied):
            await poor


async def test_what_may_not_be_shared_is_fetched_by_each() -> None:
    """They waited for one answer, and it was not for them: charged for their own, and for no other.

    The cache remembers that it is not shareable, so that no page waits for it in vain again.
    """
    origin = Origin({}, size=100, hold=asyncio.Event())
    async with cached(origin) as (fetcher, url, _):
        charged: list[list[int]] = [[], [], []]
        tasks = await together(origin, fetcher, url, [one.append for one in charged])
        assert origin.hold is not None
        origin.hold.set()
        assert sorted([(await task).body[:1] for task in tasks]) == [b"1", b"2", b"3"]
        assert [sum(one) for one in charged] == [100] * 3
        origin.hold.clear()
        later = [asyncio.create_task(fetcher.fetch(get(url))) for _ in range(2)]
        assert await settled(lambda: len(origin.asked) == 5)  # neither waits for the other
        origin.hold.set()
        await asyncio.gather(*later)


@pytest.mark.slow
async def test_who_came_later_has_its_own_time() -> None:
    """The first one's time is up; the next asks for itself."""
    origin = Origin({"Cache-Control": "max-age=60"}, hold=asyncio.Event())
    async with cached(origin, timeout=8) as (fetcher, url, _):
        (first,) = await together(origin, fetcher, url, [lambda _: None])
        await asyncio.sleep(4)
        second = asyncio.create_task(fetcher.fetch(get(url)))
        with pytest.raises(RequestFailed, match="Timeout"):
            await first
        assert origin.hold is not None
        origin.hold.set()
        assert (await second).body


async def test_what_a_page_and_its_server_make_up_counts_too() -> None:
    """Addresses and headers are held as well as bodies; very long ones are not kept at all."""
    origin = Origin({"Cache-Control": "max-age=60", "X-Long": "y" * 4000})
    async with cached(origin, size=100_000) as (fetcher, url, _):
        for number in range(40):
            await fetcher.fetch(get(f"{url}?{number}{'x' * 4000}"))
        assert fetcher.cache.statistics()["things"] < 11
        before = fetcher.cache.statistics()["things"]
        await fetcher.fetch(get(f"{url}?{'z' * 9000}"))
        assert fetcher.cache.statistics()["things"] == before


async def test_when_the_last_has_left_the_fetch_ends() -> None:
    """The next request begins a new one."""
    origin = Origin({"Cache-Control": "max-age=60"}, hold=asyncio.Event())
    async with cached(origin) as (fetcher, url, _):
        tasks = await together(origin, fetcher, url, [lambda _: None] * 2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert origin.hold is not None
        origin.hold.set()
        assert (await fetcher.fetch(get(url))).body == b"2"


async def test_a_server_that_fails_fails_for_all_who_wait() -> None:
    """And nothing of it is kept."""

    async def broken(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(broken) as address:
        fetcher = Fetcher(LOOPBACK, FetchLimits(), 1 << 20)
        tasks = [asyncio.create_task(fetcher.fetch(get(address))) for _ in range(2)]
        done, _ = await asyncio.wait(tasks)
        assert all(isinstance(task.exception(), RequestFailed) for task in done)
        assert fetcher.cache.statistics()["things"] == 0
        await fetcher.close()
