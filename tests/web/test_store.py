"""Replicas have their pictures in common where they are given a Redis: a real one, here."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

import pytest

from poster_service import doctor
from poster_service.redis_client import COMMAND_SECONDS, MAX_CONNECTIONS
from poster_service.render import store as stores
from tests.conftest import settled
from tests.web.caching import PAGE, ask, cache_status, renders
from tests.web.conftest import Service, StartService
from tests.web.redis_server import Server
from tests.web.tokens import APP, TOKENS, WEB, bearer


async def replica(start_service: StartService, redis: Server, **more: Any) -> Service:
    """A service that shares its pictures."""
    return await start_service(cache_bytes=1 << 20, redis_url=redis.address, **more)


async def painter(start_service: StartService, redis: Server, **more: Any) -> Service:
    """A replica that has painted the page, which is in Redis by now if it ever will be."""
    one = await replica(start_service, redis, **more)
    assert cache_status(await ask(one, PAGE)) == "miss"
    await store_of(one).settled()
    return one


def store_of(service: Service) -> stores.Store:
    """Its door to Redis; `settled` waits until what was painted is there."""
    store = service.engine.cache.store
    assert store is not None
    return store


def outcomes(service: Service) -> dict[str, int]:
    """What came of asking Redis."""
    return dict(store_of(service).outcomes)


async def test_what_one_has_painted_the_other_need_not(
    start_service: StartService, redis: Server
) -> None:
    """The same bytes, the same ETag; and next time it has them itself."""
    one = await replica(start_service, redis)
    first = await ask(one, PAGE)
    assert cache_status(first) == "miss"
    await store_of(one).settled()
    other = await replica(start_service, redis)
    before = renders(other)
    second = await ask(other, PAGE)
    assert cache_status(second) == "hit"
    assert await second.read() == await first.read()
    for name in ("ETag", "Content-Type", "Cache-Control"):
        assert second.headers[name] == first.headers[name]
    assert 0 <= int(second.headers["Age"]) < 60
    assert second.headers["Server-Timing"].startswith("cache;dur=")
    asked = outcomes(other)
    assert cache_status(await ask(other, PAGE)) == "hit"
    assert (renders(other), outcomes(other)) == (before, asked)
    assert cache_status(await ask(other, PAGE | {"width": 41})) == "miss"
    reported = await (await other.get("/metrics")).text()
    assert 'poster_redis_cache_requests_total{outcome="hit"} 1.0' in reported
    status = await (await other.get("/status")).json()
    assert status["cache"]["redis"]["hit"] == 1
    with redis.client() as client:
        assert all(0 < client.ttl(key) <= 3600 for key in redis.stored())


async def test_equal_requests_at_once_ask_once(start_service: StartService, redis: Server) -> None:
    """And paint once, where no replica has."""
    one = await replica(start_service, redis)
    answers = await asyncio.gather(*(ask(one, PAGE) for _ in range(5)))
    assert sorted(map(cache_status, answers)) == ["coalesced"] * 4 + ["miss"]
    await store_of(one).settled()
    other = await replica(start_service, redis)
    before = renders(other)
    answers = await asyncio.gather(*(ask(other, PAGE) for _ in range(5)))
    assert list(map(cache_status, answers)) == ["hit"] * 5
    assert (renders(other), outcomes(other)["hit"]) == (before, 1)


async def test_the_callers_word_counts_there_too(
    start_service: StartService, redis: Server
) -> None:
    """no-cache, no-store, max-age and cache_ttl, as in memory."""
    await painter(start_service, redis)
    await asyncio.sleep(1.1)
    other = await replica(start_service, redis)
    assert cache_status(await ask(other, PAGE, Cache_Control="no-store")) == "bypass"
    assert cache_status(await ask(other, PAGE | {"cache_ttl": 0})) == "bypass"
    assert cache_status(await ask(other, PAGE | {"cache_ttl": 1})) == "miss"
    await store_of(other).settled()
    third = await replica(start_service, redis)
    assert cache_status(await ask(third, PAGE, Cache_Control="max-age=0")) == "miss"
    assert cache_status(await ask(third, PAGE, Cache_Control="no-cache")) == "miss"
    assert cache_status(await ask(third, PAGE)) == "hit"


async def test_callers_do_not_get_each_others(start_service: StartService, redis: Server) -> None:
    """Unless they are to."""
    one = await replica(start_service, redis, tokens=TOKENS)
    other = await replica(start_service, redis, tokens=TOKENS)
    first, second = bearer(WEB), bearer(APP)
    assert cache_status(await ask(one, PAGE, **first)) == "miss"
    await store_of(one).settled()
    assert cache_status(await ask(other, PAGE, **second)) == "miss"
    assert cache_status(await ask(other, PAGE, **first)) == "hit"


async def test_a_failed_or_changing_page_is_not_there(
    start_service: StartService, redis: Server
) -> None:
    """Only what is kept in memory."""
    one = await replica(start_service, redis)
    for html in ("<script>1</script>", "<img src=https://10.0.0.1/x.png>"):
        assert cache_status(await ask(one, PAGE | {"html": html})) == "bypass"
    await store_of(one).settled()
    assert redis.stored() == []


async def test_renders_go_on_without_it_and_it_comes_back(
    start_service: StartService, redis: Server, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Stopped, it costs one wait in a while; gone, not even that; and both are logged once."""
    caplog.set_level(logging.INFO)
    one = await replica(start_service, redis)
    store = store_of(one)
    monkeypatch.setattr(stores, "PAUSE_SECONDS", 3600.0)
    with monkeypatch.context() as impatient:
        impatient.setattr(stores, "COMMAND_SECONDS", COMMAND_SECONDS)
        redis.send(signal.SIGSTOP)
        for width in range(40, 44):
            assert cache_status(await ask(one, PAGE | {"width": width})) == "miss"
        assert outcomes(one)["failed"] == 1
        redis.stop()
        monkeypatch.setattr(store, "_paused_until", 0.0)
        assert cache_status(await ask(one, PAGE | {"width": 50})) == "miss"
        assert outcomes(one)["failed"] == 2
    redis.start()
    monkeypatch.setattr(store, "_paused_until", 0.0)
    assert cache_status(await ask(one, PAGE | {"width": 60})) == "miss"
    await store_of(one).settled()
    assert len(redis.stored()) == 1
    reported = [one.getMessage() for one in caplog.records if "Redis" in one.getMessage()]
    assert ["cannot be read" in line for line in reported] == [True, False]
    assert await one.at_rest()


async def test_it_need_not_be_there_at_the_start(
    start_service: StartService, redis: Server
) -> None:
    """Nor at the end."""
    redis.stop()
    one = await replica(start_service, redis)
    assert cache_status(await ask(one, PAGE)) == "miss"
    assert cache_status(await ask(one, PAGE)) == "hit"
    assert outcomes(one)["failed"] >= 1


@pytest.mark.slow
async def test_what_is_no_picture_is_painted_again(
    start_service: StartService, redis: Server
) -> None:
    """From any writer, and of any type."""
    await painter(start_service, redis)
    (key,) = redis.stored()
    with redis.client() as client:
        picture = client.get(key)

        def a_list() -> None:
            client.delete(key)
            client.lpush(key, picture)

        spoilers: list[Callable[[], object]] = [
            lambda: client.set(key, b"nonsense"),
            lambda: client.set(key, picture[:-1]),
            a_list,
        ]
        for number, spoil in enumerate(spoilers):
            spoil()
            other = await replica(start_service, redis)
            answer = await ask(other, PAGE)
            assert cache_status(answer) == "miss", number
            assert (await answer.read()).startswith(b"\x89PNG")
            await store_of(other).settled()


async def test_one_that_takes_nothing_more_still_gives(
    start_service: StartService, redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Full, or a copy that is only read: what it has is of use, and it is logged once."""
    one = await painter(start_service, redis)
    with redis.client() as client:
        client.config_set("maxmemory", "1")
    for width in (41, 42):
        assert cache_status(await ask(one, PAGE | {"width": width})) == "miss"
        await store_of(one).settled()
    assert outcomes(one)["failed"] == 2
    (line,) = [one.getMessage() for one in caplog.records if "Redis" in one.getMessage()]
    assert "cannot be written" in line
    other = await replica(start_service, redis)
    assert cache_status(await ask(other, PAGE)) == "hit"


@pytest.mark.slow
async def test_who_may_fetch_otherwise_has_its_own(
    start_service: StartService, redis: Server
) -> None:
    """A page must not get from another replica what it may not fetch here."""
    await painter(start_service, redis, allow_private="10.0.0.0/8")
    for rules in ({}, {"deny_hosts": "x.example"}, {"network": "none"}, {"cache_shared": True}):
        other = await replica(start_service, redis, **rules)
        assert cache_status(await ask(other, PAGE)) == "miss"
    alike = await replica(start_service, redis, allow_private="10.0.0.0/8")
    assert cache_status(await ask(alike, PAGE)) == "hit"


async def test_none_is_kept_longer_than_here(start_service: StartService, redis: Server) -> None:
    """Even if the replica that painted it keeps it longer."""
    await painter(start_service, redis)
    await asyncio.sleep(1.1)
    other = await replica(start_service, redis, cache_seconds=1)
    assert cache_status(await ask(other, PAGE)) == "miss"


@pytest.mark.slow
async def test_a_burst_of_different_pages_opens_few_connections(
    start_service: StartService, redis: Server
) -> None:
    """A server has a limit, and so have descriptors."""
    one = await replica(start_service, redis)
    jobs = [PAGE | {"width": 30 + number} for number in range(30)]
    answers = await asyncio.gather(*(ask(one, job) for job in jobs))
    assert {answer.status for answer in answers} <= {200, 503}
    with redis.client() as client:
        assert 1 < len(client.client_list()) <= MAX_CONNECTIONS + 1


async def test_a_huge_picture_stays_at_home(
    start_service: StartService, redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not come in time, and take the others' turn."""
    monkeypatch.setattr(stores, "MAX_BYTES", 100)
    one = await painter(start_service, redis)
    assert redis.stored() == []
    assert cache_status(await ask(one, PAGE)) == "hit"


async def test_a_stop_leaves_no_connection(start_service: StartService, redis: Server) -> None:
    """To a server that is stopped either."""
    one = await replica(start_service, redis)
    assert cache_status(await ask(one, PAGE)) == "miss"
    with redis.client() as client:
        assert len(client.client_list()) > 1
    redis.send(signal.SIGSTOP)
    await one.server.stop()

    redis.send(signal.SIGCONT)
    with redis.client() as client:
        assert await settled(lambda: len(client.client_list()) == 1)


async def test_the_doctor_looks_at_it(redis: Server) -> None:
    """And tells no password."""
    assert await doctor.redis(redis.address) == "answers"
    with redis.client() as client:
        client.config_set("requirepass", "hush-hush")
    for address in (f"{redis.address}?db=0", "redis://u:hush-hush@127.0.0.1:1/"):
        reported = await doctor.redis(address)
        assert reported.startswith("FAILS (renders work without it): ")
        assert "hush" not in reported
