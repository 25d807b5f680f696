"""Same request, same picture: kept, shared while it is painted, and never where it may differ."""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import settled
from tests.web.caching import PAGE, ask, cache_status, renders
from tests.web.conftest import Service, StartService
from tests.web.leases import ENDLESS, chrome_of
from tests.web.service import SharedService
from tests.web.signing import DATA, KEYS, address
from tests.web.tokens import TOKENS, WEB, bearer

NEVER = {"wait_for": {"expression": "false"}}


def after(milliseconds: int) -> dict[str, Any]:
    """A wait of a page in which others can join it, and which takes no processor from them."""
    promise = f"new Promise((go) => setTimeout(go, {milliseconds}, true))"
    return {"wait_for": {"expression": promise}}


#: Caches are on, and pages may fetch from this machine.
KEEPING: dict[str, Any] = {"cache_bytes": 1 << 20, "allow_private": "127.0.0.0/8"}


@pytest.fixture(scope="module")
async def shared_keeping() -> AsyncIterator[SharedService]:
    """The service behind the fixture `keeping`; stopped after the last test of the file."""
    shared = SharedService(**KEEPING)
    yield shared
    await shared.stop()


@pytest.fixture
async def keeping(shared_keeping: SharedService) -> AsyncIterator[Service]:
    """A service that keeps pictures, those of other tests too."""
    async with shared_keeping.lent() as found:
        yield found


@pytest.fixture
async def empty(start_service: StartService) -> Service:
    """One that has kept nothing yet, for a test that counts or that stops it."""
    return await start_service(**KEEPING)


async def test_an_equal_request_gets_the_picture_of_the_first(empty: Service) -> None:
    """However it is written; nothing is painted for it, and it says how old it is."""
    first = await ask(empty, PAGE)
    before = renders(empty)
    other_words = {"strict": False, "height": 40, "width": 40, **PAGE, "format": "png"}
    second = await ask(empty, other_words | {"timeout_ms": 9000, "device_scale_factor": 1})
    assert (cache_status(first), cache_status(second)) == ("miss", "hit")
    assert await first.read() == await second.read()
    assert first.headers["ETag"] == second.headers["ETag"]
    assert "Age" not in first.headers
    assert 0 <= int(second.headers["Age"]) < 60
    assert second.headers["Server-Timing"].startswith("cache;dur=")
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert renders(empty) == before
    assert cache_status(await ask(empty, PAGE | {"width": 41})) == "miss"
    assert await empty.at_rest()


async def test_who_has_the_bytes_is_not_sent_them_again(keeping: Service) -> None:
    """By the strong ETag of the bytes, of any render that gave them."""
    etag = (await ask(keeping, PAGE)).headers["ETag"]
    for more in ({}, {"Cache_Control": "no-cache"}):
        again = await ask(keeping, PAGE, If_None_Match=f'"other", {etag}', **more)
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["ETag"] == etag
    other = await ask(keeping, PAGE, If_None_Match='"other"')
    assert other.status == 200


async def test_no_cache_paints_again_and_no_store_passes_by(empty: Service) -> None:
    """The first keeps what it painted, the second neither looks nor keeps; max-age is heeded."""
    assert cache_status(await ask(empty, PAGE, Cache_Control="no-store")) == "bypass"
    assert cache_status(await ask(empty, PAGE, Cache_Control="no-cache")) == "miss"
    assert cache_status(await ask(empty, PAGE)) == "hit"
    before = renders(empty)
    assert cache_status(await ask(empty, PAGE, Cache_Control="max-age=0")) == "miss"
    assert cache_status(await ask(empty, PAGE, Cache_Control="no-store")) == "bypass"
    assert renders(empty) == before + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    ["<script>document.write(Math.random())</script>", "<svg onload='x()'>",
     "<style>p { animation: x 1s }</style><p>x"],
)  # fmt: skip
async def test_a_page_that_may_come_out_differently_is_painted_each_time(
    keeping: Service, page: str
) -> None:
    """Unless the caller says that it does not matter, and for how long."""
    for _ in range(2):
        assert cache_status(await ask(keeping, PAGE | {"html": page})) == "bypass"
    lasting = PAGE | {"html": page, "cache_ttl": 600}
    assert cache_status(await ask(keeping, PAGE | {"html": "<p>", "cache_ttl": 0})) == "bypass"
    first = await ask(keeping, lasting)
    if "onload" in page:  # its script fails, so it may be another picture next time
        assert cache_status(first) == "bypass"
        return
    assert [cache_status(first), cache_status(await ask(keeping, lasting))] == ["miss", "hit"]
    assert cache_status(await ask(keeping, PAGE | {"html": page})) == "bypass"


@pytest.mark.slow
async def test_a_picture_lasts_as_long_as_its_caller_said(keeping: Service) -> None:
    """And then it is painted again."""
    job = PAGE | {"html": "<script>1</script>", "cache_ttl": 1}
    assert cache_status(await ask(keeping, job)) == "miss"
    for _ in range(200):
        if (answer := cache_status(await ask(keeping, job))) == "miss":
            break
        await asyncio.sleep(0.1)
    assert answer == "miss"


@pytest.mark.slow
async def test_a_picture_with_remote_parts_lasts_as_long_as_they_do(
    keeping: Service, serve_pages: Any
) -> None:
    """By their servers' own word; without one it is painted each time. What failed is not kept."""

    async def lasting(_: web.Request) -> web.Response:
        return web.Response(
            text="p{}", content_type="text/css", headers={"Cache-Control": "max-age=99"}
        )

    async def silent(_: web.Request) -> web.Response:
        return web.Response(text="p{}", content_type="text/css")

    def page(style: str) -> dict[str, Any]:
        return PAGE | {"html": f"<link rel=stylesheet href={style}><p>x"}

    async with serve_pages(lasting=lasting, silent=silent) as remote:
        good = page(f"{remote}/lasting")
        assert [cache_status(await ask(keeping, good)) for _ in range(2)] == ["miss", "hit"]
        unknown = page(f"{remote}/silent")
        assert [cache_status(await ask(keeping, unknown)) for _ in range(2)] == ["bypass", "bypass"]
        assert cache_status(await ask(keeping, unknown | {"cache_ttl": 60})) == "miss"
        assert cache_status(await ask(keeping, unknown | {"cache_ttl": 60})) == "hit"
        assert cache_status(await ask(keeping, unknown)) == "bypass"
        missing = page(f"{remote}/missing") | {"cache_ttl": 60}
        assert [cache_status(await ask(keeping, missing)) for _ in range(2)] == ["bypass", "bypass"]
    broken = page("http://127.0.0.1:1/")
    for _ in range(2):
        answer = await ask(keeping, broken | {"cache_ttl": 60})
        assert "X-Render-Warnings" in answer.headers
        assert cache_status(answer) == "bypass"


async def test_a_remote_part_is_fetched_once_for_many_pages(
    empty: Service, serve_pages: Any
) -> None:
    """A fresh Chrome has no cache of its own; the service has one."""
    asked: list[str] = []

    async def style(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(
            text="p{}", content_type="text/css", headers={"Cache-Control": "max-age=99"}
        )

    async with serve_pages(style=style) as remote:
        for text in "abc":
            page = f"<link rel=stylesheet href={remote}/style><p>{text}"
            assert cache_status(await ask(empty, PAGE | {"html": page})) == "miss"
    assert len(asked) == 1
    reported = (await (await empty.get("/status")).json())["asset_cache"]
    assert reported["fetches"]["hit"] == 2
    assert reported["bytes"] > 0


async def test_a_template_is_kept_until_one_of_its_files_changes(
    start_service: StartService, tmp_path: Any
) -> None:
    """By content, so that a file that was only touched changes nothing."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "poster.html").write_text("<link rel=stylesheet href=s.css><p>{{ a }}")
    (folder / "schema.json").write_text('{"type": "object"}')
    (folder / "sample.json").write_text('{"a": "b"}')
    style = folder / "s.css"
    style.write_text("p { color: red }")
    service = await start_service(cache_bytes=1 << 20, templates=tmp_path)
    job = {"template": "plain", "data": {"a": "x", "b": 1}, "width": 40, "height": 40}
    first = await ask(service, job)
    style.touch()
    second = await ask(service, job | {"data": {"b": 1, "a": "x"}})
    style.write_text("p { color: blue }")
    third = await ask(service, job)
    assert [cache_status(one) for one in (first, second, third)] == ["miss", "hit", "miss"]
    assert await third.read() != await first.read() == await second.read()


@pytest.mark.parametrize("shared", [True, False])
async def test_callers_have_pictures_of_their_own_unless_a_setting_shares_them(
    start_service: StartService, shared: bool
) -> None:
    """So that no caller learns what another has rendered."""
    service = await start_service(cache_bytes=1 << 20, cache_shared=shared, tokens=TOKENS)
    app = "app-token-0123456789"
    assert cache_status(await ask(service, PAGE, **bearer(WEB))) == "miss"
    assert cache_status(await ask(service, PAGE, **bearer(app))) == ("hit" if shared else "miss")
    assert cache_status(await ask(service, PAGE, **bearer(app))) == "hit"


def slow(**more: Any) -> dict[str, Any]:
    """A job that takes three seconds and may be shared."""
    return PAGE | {"html": "<p>", "cache_ttl": 60, **after(3_000)} | more


async def started(
    service: Service, *jobs: dict[str, Any]
) -> list["asyncio.Task[aiohttp.ClientResponse]"]:
    """Requests of which the first has its Chrome, and the others have joined it."""
    tasks = []
    for job in jobs:
        tasks.append(asyncio.create_task(ask(service, job)))
        assert await settled(lambda: service.counts()["leased"] > 0)
        count = len(tasks)
        assert await settled(
            lambda count=count: sum(one._waiting for one in flights(service)) == count  # type: ignore[misc]
        )
    return tasks


def flights(service: Service) -> list[Any]:
    """Renders under way that may be joined."""
    return list(service.engine.cache._flights._by_key.values())


@pytest.mark.slow
async def test_equal_requests_at_once_are_one_render(keeping: Service) -> None:
    """One slot, one Chrome, the same bytes for all."""
    before = renders(keeping)
    tasks = await started(keeping, *[slow()] * 4)
    assert keeping.engine.admission.statistics().running == 1
    answers = [await task for task in tasks]
    assert [cache_status(one) for one in answers] == ["miss", *["coalesced"] * 3]
    assert len({await one.read() for one in answers}) == 1
    assert renders(keeping) == before + 1
    assert await keeping.at_rest()


@pytest.mark.slow
async def test_the_first_may_hang_up_and_the_others_get_their_picture(
    keeping: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """It was theirs too; the log tells of both."""
    caplog.set_level(logging.INFO)
    before = renders(keeping)
    first, *others = await started(keeping, *[slow(html="<p>hangs up")] * 3)
    first.cancel()
    assert [cache_status(await one) for one in others] == ["coalesced", "coalesced"]
    assert renders(keeping) == before + 1
    lines = [vars(one)["fields"] for one in caplog.records if one.message == "render"]
    reported = sorted((one["outcome"], one.get("cache", "")) for one in lines[-4:])
    assert reported == [("cancelled", "coalesced"), *[("ok", "coalesced")] * 2, ("ok", "miss")]
    assert await keeping.at_rest()


async def test_when_the_last_hangs_up_the_render_ends_at_once(keeping: Service) -> None:
    """An endless page's Chrome is gone long before its time is up."""
    job = slow(html=ENDLESS, timeout_ms=60_000)
    tasks = await started(keeping, job, job)
    tasks[0].cancel()
    await asyncio.wait({tasks[0]})
    assert keeping.counts()["leased"] == 1
    tasks[1].cancel()
    assert await keeping.at_rest()
    assert flights(keeping) == []


@pytest.mark.slow
async def test_each_caller_has_a_time_of_its_own(keeping: Service) -> None:
    """The impatient one gets 504, whether it began or joined; the patient get the picture."""
    job = slow(timeout_ms=60_000, **after(8_000))
    first, second = await started(keeping, job | {"timeout_ms": 5000}, job)
    assert (await first).status == 504
    assert cache_status(await second) == "coalesced"
    job |= {"html": "<p>2"}
    first, second = await started(keeping, job, job | {"timeout_ms": 4000})
    assert (await second).status == 504
    assert cache_status(await first) == "miss"


@pytest.mark.slow
async def test_when_all_times_are_up_it_is_a_timeout_of_the_render(keeping: Service) -> None:
    """Counted and reported as such."""
    before = renders(keeping)
    job = slow(**NEVER)
    first, second = await started(keeping, job | {"timeout_ms": 5000}, job | {"timeout_ms": 5300})
    for one in (first, second):
        assert (await (await one).json())["code"] == "render_timeout"
    assert await keeping.at_rest()
    assert renders(keeping) == before + 1


async def test_an_error_of_the_render_is_that_of_all_callers(keeping: Service) -> None:
    """Its Chrome is killed; no caller's render is tried again, and nothing is kept."""
    job = slow(html=ENDLESS, timeout_ms=60_000)
    assert await keeping.at_rest()
    tasks = await started(keeping, job, job)
    chrome_of(keeping, None).send_signal(signal.SIGKILL)
    answers = [await asyncio.wait_for(task, 60) for task in tasks]
    assert [one.status for one in answers] == [502, 502]
    assert await keeping.at_rest()


@pytest.mark.slow
async def test_what_was_not_for_others_is_painted_for_each(
    keeping: Service, serve_pages: Any
) -> None:
    """A page looks as if it could be shared until its parts have come; then all get their own."""
    count = 0

    async def style(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        await asyncio.sleep(0.5)
        return web.Response(text=f"p{{}} /* {count} */", content_type="text/css")

    async with serve_pages(style=style) as remote:
        job = PAGE | {"html": f"<link rel=stylesheet href={remote}/style><p>x"}
        tasks = await started(keeping, job, job, job)
        assert [cache_status(await task) for task in tasks] == ["bypass"] * 3
    assert count == 3


async def test_the_service_stops_with_a_shared_render_under_way(empty: Service) -> None:
    """All who wait get an error, and nothing is left."""
    job = slow(html=ENDLESS, timeout_ms=60_000)
    tasks = await started(empty, job, job)
    await empty.server.stop()
    assert [(await (await task).json())["code"] for task in tasks] == ["stopping", "stopping"]


async def test_a_signed_address_is_kept_by_all_as_long_as_its_picture_is_good(
    start_service: StartService,
) -> None:
    """By its expiry, or by what the picture is made of; without the bytes for who has them."""
    service = await start_service(cache_bytes=1 << 20, signing_keys=KEYS)

    async def fetch(where: str, **headers: str) -> aiohttp.ClientResponse:
        answer = await service.client.get(where, headers=headers)
        await answer.read()
        return answer

    whole = address(service, width=300, height=200)
    answers = [await fetch(whole) for _ in range(2)]
    assert [cache_status(one) for one in answers] == ["miss", "hit"]
    again = await fetch(whole, **{"If-None-Match": answers[0].headers["ETag"]})
    assert (again.status, again.headers["Cross-Origin-Resource-Policy"]) == (304, "cross-origin")
    for answer in (*answers, again):
        max_age = answer.headers["Cache-Control"].partition("public, max-age=")[2]
        assert 20 < int(max_age) <= 60 + int(answer.headers.get("Age", 0))
    brief = await fetch(address(service, width=300, height=201, cache_ttl=5))
    assert 1 <= int(brief.headers["Cache-Control"].partition("public, max-age=")[2]) <= 5
    never = await fetch(address(service, width=300, height=202, cache_ttl=0))
    assert never.headers["Cache-Control"] == "public, no-cache"
    lacking = {**DATA, "author": {"name": "x", "avatar": "https://127.0.0.1:1/a.png"}}
    without = await fetch(address(service, width=300, height=203, data=lacking))
    assert without.headers["Cache-Control"] == "public, no-cache"
    assert "X-Render-Warnings" in without.headers


async def test_the_cache_is_off_at_zero(start_service: StartService) -> None:
    """Each request is a render."""
    service = await start_service(cache_bytes=0)
    for _ in range(2):
        answer = await ask(service, PAGE)
        assert cache_status(answer) == "bypass"
        assert "ETag" in answer.headers


async def test_log_and_numbers_tell_of_each_request(
    empty: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """One line each, with the cache's word; counters by the word, and the bytes held."""
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            await ask(empty, PAGE)
    lines = [vars(one)["fields"] for one in caplog.records if one.message == "render"]
    assert [one["cache"] for one in lines] == ["miss", "hit"]
    assert lines[1]["outcome"] == "ok"
    assert lines[1]["bytes"] == lines[0]["bytes"] > 0
    text = await (await empty.get("/metrics")).text()
    assert 'poster_cache_responses_total{outcome="hit"} 1.0' in text
    assert 'poster_cache_responses_total{outcome="miss"} 1.0' in text
    assert 'poster_cache_responses_total{outcome="coalesced"} 0.0' in text
    reported = (await (await empty.get("/status")).json())["cache"]
    assert reported["pictures"] == 1
    assert 0 < reported["bytes"] <= reported["max_bytes"]
    assert json.dumps(reported["answers"])
    assert (await empty.get("/status?format=html")).status == 200
