"""POST /batches: many renders of one kind, from their lines to their results."""

import asyncio
import contextlib
import io
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from PIL import Image

from poster_service.jobs import batches
from poster_service.jobs.intake import Intake
from poster_service.jobs.items import Common, ItemBounds, ItemReader
from poster_service.jobs.record_store import PREFIX
from poster_service.render.request import Limits
from tests.conftest import short_folder
from tests.web.redis_server import Server
from tests.web.service import GUARD, Service, running, running_in_own_folder
from tests.web.tokens import APP, TOKENS, WEB, bearer

PAGE = "<style>body { margin: 0; background: {{ colour }} }</style>"
SMALL = {"width": 20, "height": 10}
COMMON = {"html": PAGE, **SMALL}
NDJSON = {"Content-Type": "application/x-ndjson"}
ENDLESS = {"html": "<script>for (;;) {}</script>", "timeout_ms": 60_000}


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """Batches in its memory, and small bounds."""
    async with running_in_own_folder(
        batches_per_caller=2,
        batch_items=60,
        batch_bytes=20_000,
        max_body_bytes=10_000,
    ) as found:
        yield found


def lines(*items: Any) -> bytes:
    """A body of NDJSON."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in items)


def coloured(colour: str, **more: Any) -> dict[str, Any]:
    """An item."""
    return {"data": {"colour": colour}, **more}


async def sent(
    service: Service, body: bytes, query: str = "", **headers: str
) -> tuple[int, dict[str, Any]]:
    """The answer to a batch."""
    url = f"{service.address}/batches{query}"
    async with service.client.post(url, data=body, headers={**NDJSON, **headers}) as response:
        found = await response.json()
        if response.status == 202:
            assert response.headers["Location"] == f"/batches/{found['id']}"
        return response.status, found


async def accepted(service: Service, *items: Any, **headers: str) -> str:
    """The id of a batch that must be accepted."""
    status, found = await sent(service, lines(*items), **headers)
    assert status == 202, found
    return str(found["id"])


async def state(service: Service, batch: str, **headers: str) -> dict[str, Any]:
    """A batch as it is now."""
    async with service.client.get(f"{service.address}/batches/{batch}", headers=headers) as found:
        assert found.status == 200, await found.text()
        return dict(await found.json())


async def until(
    service: Service, batch: str, condition: Callable[[dict[str, Any]], bool], **headers: str
) -> dict[str, Any]:
    """A batch when a condition holds."""
    async with asyncio.timeout(90):
        while True:
            if condition(found := await state(service, batch, **headers)):
                return found
            await asyncio.sleep(0.05)


async def ended(service: Service, batch: str, **headers: str) -> dict[str, Any]:
    """A batch when each of its items has ended."""
    return await until(service, batch, lambda found: found["finished"] is not None, **headers)


async def items_of(service: Service, batch: str, query: str = "") -> list[dict[str, Any]]:
    """The items of a batch."""
    response = await service.get(f"/batches/{batch}/items{query}")
    assert response.status == 200
    assert response.content_type == "application/x-ndjson"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-Id"]
    return [json.loads(line) for line in (await response.text()).splitlines()]


async def post(service: Service, path: str) -> tuple[int, Any]:
    """The answer to a POST without a body."""
    async with service.client.post(f"{service.address}{path}") as response:
        return response.status, await response.json()


async def pixel(service: Service, url: str) -> Any:
    """The first pixel of a result."""
    body = await (await service.client.get(url)).read()
    with Image.open(io.BytesIO(body)) as picture:
        return picture.convert("RGB").getpixel((0, 0))


async def test_a_batch_is_accepted_rendered_and_listed(service: Service) -> None:
    """Each item with its own data and options; what failed has its problem and is tried again."""
    batch = await accepted(
        service,
        {"common": COMMON},
        coloured("#ff0000", id="red"),
        coloured("#0000ff", outputs=[{"name": "a"}, {"name": "b", "full_page": True}]),
        coloured("#00ff00", id="late", wait_for={"selector": "#never"}, timeout_ms=1_500),
    )
    found = await ended(service, batch)
    assert found["state"] == "done"
    assert found["counts"] == {"waiting": 0, "running": 0, "done": 2, "failed": 1, "cancelled": 0}
    assert (found["items"], found["left"], found["eta_seconds"]) == (3, 0, None)
    red, blue, late = await items_of(service, batch)
    assert (red["id"], red["number"], red["state"], red["problem"]) == ("red", 2, "done", None)
    assert await pixel(service, red["url"]) == (255, 0, 0)
    assert (blue["id"], blue["url"]) == ("3", None)
    assert [one["name"] for one in blue["outputs"]] == ["a", "b"]
    assert await pixel(service, blue["outputs"][1]["url"]) == (0, 0, 255)
    assert (late["state"], late["url"], late["problem"]["code"]) == (
        "failed",
        None,
        "render_timeout",
    )
    job = await (await service.get(f"/jobs/{late['job']}")).json()
    assert (job["state"], job["problem"]) == ("failed", late["problem"])

    status, again = await post(service, f"/batches/{batch}/retry")
    assert (status, again["retried"], again["state"], again["left"]) == (202, 1, "running", 1)
    found = await ended(service, batch)
    assert (found["counts"]["done"], found["counts"]["failed"]) == (2, 1)
    assert [one["id"] for one in await items_of(service, batch, "?state=failed")] == ["late"]
    assert [one["id"] for one in await items_of(service, batch, "?state=done")] == ["red", "3"]
    assert (await service.get(f"/batches/{batch}/items?state=x")).status == 400


async def test_a_batch_as_json_and_with_its_common_part_in_the_query(service: Service) -> None:
    """The same items, in one object or in lines."""
    body = json.dumps({**COMMON, "items": [coloured("#ff0000"), coloured("#0000ff", id="b")]})
    status, found = await sent(service, body.encode(), **{"Content-Type": "application/json"})
    assert status == 202, found
    assert (await ended(service, found["id"]))["counts"]["done"] == 2
    assert [one["id"] for one in await items_of(service, found["id"])] == ["1", "b"]
    query = "?template=article-card&width=40&height=20&format=webp"
    item = {"data": {"title": "x", "author": {"name": "y"}}}
    status, found = await sent(service, lines(item), query)
    assert status == 202, found
    assert (await ended(service, found["id"]))["counts"]["done"] == 1


FAULTS: list[tuple[bytes, str, int, str, list[str]]] = [
    (lines({"common": {"html": "{{ x y }}"}}), "", 400, "invalid_field", ["html"]),
    (lines({"common": {"width": 0}}), "", 400, "invalid_field", ["width"]),
    (lines(COMMON | {"width": 0}, 7), "", 400, "invalid_field", ["line 1: width", "line 2"]),
    (lines({"common": COMMON}, coloured("red"), {}), "", 400, "invalid_field",
     ["line 3: data.colour"]),
    (b"\n{}\n{", "?html=x", 400, "bad_request", ["line 3"]),
    (lines({"data": {}}, {"data": {"title": "x", "author": {}}}), "?template=article-card", 422,
     "invalid_data", ["line 1: data", "line 1: data", "line 2: data.author"]),
    (lines({}), "?template=no-such", 404, "unknown_template", ["template"]),
    (lines({}), "?html=x&width=0", 400, "invalid_field", ["width"]),
    (lines({}), "?html=x&widht=7", 400, "invalid_field", ["widht"]),
    (lines({"id": "a"}, {"id": "a"}), "?html=x", 400, "invalid_field", ["line 2: id"]),
    (b"", "?html=x", 400, "invalid_field", ["items"]),
    (b"\n \n", "", 400, "invalid_field", ["items"]),
    (lines(*[{}] * 61), "?html=x", 400, "invalid_field", ["items"]),
    (lines({"html": "x" * 11_000}), "", 413, "body_too_large", ["line 1"]),
    (lines(*[{"html": "x" * 900}] * 25), "", 413, "body_too_large", [""]),
    (lines(*[7] * 30), "", 400, "invalid_field", [f"line {n}" for n in range(1, 21)]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "query", "status", "code", "fields"), FAULTS)
async def test_a_wrong_batch_is_refused_as_a_whole(
    service: Service, body: bytes, query: str, status: int, code: str, fields: list[str]
) -> None:
    """With the line and the field of each fault; nothing of it takes room."""
    for _ in range(3):  # more than a caller may have
        found, problem = await sent(service, body, query)
        assert (found, problem["code"]) == (status, code), problem
        assert [one["field"] for one in problem["errors"]] == fields


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**COMMON}, "items"),
        ({**COMMON, "items": {}}, "items"),
        ({"common": COMMON, "items": [coloured("#ff0000")]}, "common"),
        ({**COMMON, "items": [{"common": COMMON}]}, "items.0.common"),
        ({**COMMON, "items": []}, "items"),
        ({**COMMON, "items": [coloured("red"), {"data": {"colour": {}}}]}, "items.1.data.colour"),
        ([], ""),
    ],
)
async def test_a_wrong_batch_in_json_is_refused(service: Service, body: Any, field: str) -> None:
    """With the place of the item."""
    status, problem = await sent(
        service, json.dumps(body).encode(), **{"Content-Type": "application/json"}
    )
    assert (status, problem["field"]) == (400, field)
    status, problem = await sent(service, b"x", **{"Content-Type": "text/csv"})
    assert (status, problem["code"]) == (415, "unsupported_media_type")


async def test_a_batch_that_is_sent_twice_is_one(service: Service) -> None:
    """With the same key; with other items the key is refused."""
    key = {"Idempotency-Key": "batch-1"}
    given = ({"common": COMMON}, coloured("red"))
    first = await accepted(service, *given, **key)
    assert await accepted(service, *given, **key) == first
    status, problem = await sent(service, lines(*given, coloured("blue")), **key)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    await ended(service, first)


async def test_a_batch_is_cancelled(service: Service) -> None:
    """What runs is stopped, what waits never begins, and nothing is left of a Chrome."""
    batch = await accepted(service, {"common": ENDLESS}, *[{}] * 50)
    await until(service, batch, lambda found: found["counts"]["running"] > 0)
    response = await service.client.delete(f"{service.address}/batches/{batch}")
    assert (await response.json())["state"] == "cancelled"
    found = await ended(service, batch)
    assert found["counts"] == {"waiting": 0, "running": 0, "done": 0, "failed": 0, "cancelled": 50}
    assert {one["state"] for one in await items_of(service, batch)} == {"cancelled"}
    assert await service.at_rest()
    status, problem = await post(service, f"/batches/{batch}/retry")
    assert (status, problem["code"]) == (409, "batch_ended")
    done = await accepted(service, {"common": COMMON}, coloured("red"))
    await ended(service, done)
    response = await service.client.delete(f"{service.address}/batches/{done}")
    assert (response.status, (await response.json())["code"]) == (409, "batch_ended")


async def test_a_caller_may_have_some_batches(service: Service) -> None:
    """One more is refused until another has ended."""
    own = [await accepted(service, {"common": ENDLESS}, {}) for _ in range(2)]
    status, problem = await sent(service, lines({"common": COMMON}, coloured("red")))
    assert (status, problem["code"]) == (429, "too_many_batches")
    for batch in own:
        await service.client.delete(f"{service.address}/batches/{batch}")
        await ended(service, batch)
    await ended(service, await accepted(service, {"common": COMMON}, coloured("red")))


async def test_results_of_items_have_the_names_that_are_wanted(service: Service) -> None:
    """Without `store`, which all of them are: by the common part, and by an item's own."""
    mine = {"object": {"name": "mine.png"}}
    common = {**COMMON, "object": {"name": "common.png"}}
    batch = await accepted(service, {"common": common}, coloured("red"), coloured("red", **mine))
    await ended(service, batch)
    urls = [one["url"] for one in await items_of(service, batch)]
    assert [url.rpartition("/all/")[2] for url in urls] == ["common.png", "mine.png"]


@pytest.mark.slow
async def test_a_batch_holds_up_no_other_caller(
    work_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of another waits for one item; only some items are in the queue; callers see theirs."""
    for reader in ("batches", "record_store"):
        monkeypatch.setattr(f"poster_service.jobs.{reader}.ROOM", 8)
    monkeypatch.setattr("poster_service.jobs.intake.BLOCK_ITEMS", 4)
    async with running(work_dir=work_dir, tokens=TOKENS, concurrency=1) as service:
        web, app = bearer(WEB), bearer(APP)
        batch = await accepted(service, {"common": COMMON}, *[coloured("red")] * 60, **web)
        await until(service, batch, lambda found: found["counts"]["done"] > 0, **web)
        url = f"{service.address}/jobs"
        async with service.client.post(url, json={"html": "x", **SMALL}, headers=app) as response:
            job = (await response.json())["id"]
        while True:
            async with service.client.get(f"{url}/{job}", headers=app) as response:
                if (await response.json())["state"] == "done":
                    break
            assert (await service.server.jobs.state()).queued <= 16
            await asyncio.sleep(0.02)
        found = await state(service, batch, **web)
        assert found["left"] > 20
        assert found["rate_per_second"] > 0
        assert found["eta_seconds"] > 0
        for path in ("", "/items", "/retry"):
            method = "POST" if path == "/retry" else "GET"
            async with service.client.request(
                method, f"{service.address}/batches/{batch}{path}", headers=app
            ) as response:
                assert (response.status, (await response.json())["code"]) == (404, "unknown_batch")
        found = await ended(service, batch, **web)
        assert found["counts"]["done"] == 60


@pytest.mark.slow
async def test_a_batch_whose_service_died_is_begun_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That no request about a batch has ever come to: what is accepted is in Redis alone.

    A record that cannot be read stands before it.
    """
    monkeypatch.setattr(batches, "REPAIR_SECONDS", 0.1)
    with short_folder() as folder, short_folder() as results, contextlib.ExitStack() as ending:
        redis = Server(folder)
        ending.callback(redis.stop)
        results.chmod(0o777)
        shared: dict[str, Any] = {"jobs_redis": redis.address, "storage": f"file://{results}"}
        async with running_in_own_folder(**shared) as service:
            with GUARD.paused():
                store = await service.server.batches.store()
                with redis.client() as client:
                    client.hset(f"{PREFIX}:batch:faulty", "state", "running")
                    client.zadd(f"{PREFIX}:batches", {"faulty": time.time() + 60})
                intake = await Intake.begin(store, secrets.token_hex(16), "", 9)
                reader = ItemReader(Common(COMMON, Limits()), ItemBounds())
                item: Any = reader.of_value(1, coloured("red"))
                await intake.add([item])
                batch, _ = await intake.commit(COMMON, None, "")
                found = await ended(service, batch.id)
            assert found["counts"]["done"] == 1


@pytest.mark.slow
async def test_a_list_of_items_that_cannot_go_on_is_cut_off() -> None:
    """Its client sees that; it waited for the rest for ever where Redis went away meanwhile."""
    with short_folder() as folder, contextlib.ExitStack() as ending:
        redis = Server(folder)
        ending.callback(redis.stop)
        async with running_in_own_folder(
            jobs_redis=redis.address, jobs_concurrency=0, storage="memory://"
        ) as service:
            with GUARD.paused():
                batch = await accepted(service, {"common": COMMON}, *[coloured("red")] * 3_000)
                url = f"{service.address}/batches/{batch}/items"
                async with service.client.get(url) as response:
                    assert response.status == 200
                    await response.content.readline()
                    redis.stop()
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await response.read()


@pytest.mark.slow
async def test_workers_share_a_batch_through_redis() -> None:
    """A service that only accepts feeds it too; each item is rendered by one of the workers."""
    with short_folder() as folder, short_folder() as results, contextlib.ExitStack() as ending:
        redis = Server(folder)
        ending.callback(redis.stop)
        results.chmod(0o777)
        shared: dict[str, Any] = {"jobs_redis": redis.address, "storage": f"file://{results}"}
        async with contextlib.AsyncExitStack() as services:
            front = await services.enter_async_context(
                running_in_own_folder(**shared, jobs_concurrency=0)
            )
            workers = [
                await services.enter_async_context(running_in_own_folder(**shared, concurrency=1))
                for _ in range(2)
            ]
            # A client of Redis reads its package's version from the disk with each connection.
            services.enter_context(GUARD.paused())
            given = [coloured(f"#0000{place:02x}") for place in range(30)]
            batch = await accepted(front, {"common": COMMON}, *given)
            found = await ended(front, batch)
            assert found["counts"]["done"] == 30
            runners = [one.server.jobs.runner for one in workers]
            done = [one.outcomes["done"] for one in runners if one is not None]
            assert sum(done) == 30
            assert min(done) > 0
            last = (await items_of(workers[1], batch))[-1]
            assert await pixel(workers[0], last["url"]) == (0, 0, 29)
