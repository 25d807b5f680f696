"""POST /jobs: a render that outlives its request, from the queue to its result."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import FormData, web

from poster_service.jobs.records import NewJob
from poster_service.jobs.runner import PATIENCE
from tests.conftest import settled
from tests.jobs.waiting import until
from tests.unit.fetching import serving
from tests.web.service import Service, running_in_own_folder
from tests.web.tokens import APP, TOKENS, WEB, bearer

RED = "<style>body { margin: 0; background: #ff0000 }</style>"
SMALL = {"width": 20, "height": 10}
#: Waits for a picture that does not come; for as long as it may.
SLOW = {"html": "<p>slow", "wait_for": {"expression": "false"}, "timeout_ms": 60_000}


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """Jobs in its memory, results too."""
    async with running_in_own_folder(
        cache_bytes=1 << 20, allow_private="127.0.0.0/8", jobs_per_caller=5
    ) as found:
        yield found


async def post(service: Service, body: Any, **headers: str) -> tuple[int, Any]:
    """Status and body of the answer to POST /jobs."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{service.address}/jobs"
    async with service.client.post(url, json=body, headers=names) as response:
        found = await response.json()
        if response.status == 202:
            assert response.headers["Location"] == f"/jobs/{found['id']}"
            assert response.headers["Retry-After"]
        return response.status, found


async def submitted(service: Service, **options: Any) -> str:
    """The id of a job that must be accepted."""
    status, job = await post(service, {"html": RED, **SMALL, **options})
    assert status == 202, job
    return str(job["id"])


async def delete(service: Service, identity: str) -> tuple[int, Any]:
    """Status and body of the answer to DELETE."""
    async with service.client.delete(f"{service.address}/jobs/{identity}") as response:
        return response.status, await response.json()


async def job_of(service: Service, identity: str) -> Any:
    """A job as it is now."""
    response = await service.get(f"/jobs/{identity}")
    assert response.status == 200
    job = await response.json()
    assert ("Retry-After" in response.headers) == (job["state"] in ("queued", "running"))
    return job


async def reached(service: Service, identity: str, *states: str) -> Any:
    """A job when it is in one of these states; with none, when it has ended."""

    async def is_there() -> bool:
        return (await job_of(service, identity))["state"] in (
            states or ("done", "failed", "cancelled")
        )

    await until(is_there)
    return await job_of(service, identity)


async def test_a_job_is_accepted_rendered_and_stored(service: Service) -> None:
    """And its result is what POST /render makes."""
    job = await reached(service, await submitted(service))
    assert job["state"] == "done", job
    assert (job["result"]["width"], job["result"]["height"]) == (20, 10)
    assert (job["attempts"], job["problem"], job["progress"]) == (1, None, None)
    assert job["created"] <= job["started"] <= job["finished"]
    found = await service.client.get(job["result"]["url"])
    assert await found.read() == await service.picture(html=RED, **SMALL)


async def test_the_problem_of_a_render_is_that_of_its_job(service: Service) -> None:
    """With the same code, detail and status."""
    wrong = {"html": "<p>", "selector": "#nothing"}
    job = await reached(service, await submitted(service, **wrong))
    assert (job["state"], job["result"]) == ("failed", None)
    answered = await (await service.render(**{**SMALL, **wrong})).json()
    assert job["problem"] == {**answered, "request_id": job["id"]}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"html": RED, "width": 0}, "invalid_field"),
        ({"html": RED, "unknown": 1}, "invalid_field"),
        ({"template": "nowhere"}, "unknown_template"),
        ({"template": "article-card", "data": {"title": 1}}, "invalid_data"),
        ([], "invalid_field"),
    ],
)
async def test_what_can_be_refused_at_once_is(service: Service, body: Any, code: str) -> None:
    """As at POST /render."""
    response = await service.client.post(f"{service.address}/render", json=body)
    status, problem = await post(service, body)
    assert (status, problem["code"]) == (response.status, code)


async def test_forms_and_html_are_taken_too(service: Service) -> None:
    """With options in the query and files."""
    url = f"{service.address}/jobs?width=20&height=10"
    html = {"Content-Type": "text/html"}
    async with service.client.post(url, data=RED.encode(), headers=html) as response:
        first = (await response.json())["id"]
    form = FormData()
    page = "<body style='margin:0'><link rel=stylesheet href=red.css>"
    form.add_field("index.html", page, filename="index.html", content_type="text/html")
    style = "body { background: #ff0000 }"
    form.add_field("red.css", style, filename="red.css", content_type="text/css")
    async with service.client.post(url, data=form) as response:
        second = (await response.json())["id"]
    jobs = [await reached(service, one) for one in (first, second)]
    assert [job["state"] for job in jobs] == ["done", "done"], jobs
    assert jobs[0]["result"]["object"] == jobs[1]["result"]["object"]


@pytest.mark.parametrize("more", [{}, {"store": True}])
async def test_a_result_has_the_name_that_its_caller_wants(
    service: Service, more: dict[str, Any]
) -> None:
    """Whether it says that it is to be stored or not: the result of a job always is."""
    options = {**more, "object": {"name": "cards/mine.{extension}"}}
    job = await reached(service, await submitted(service, html=RED, **SMALL, **options))
    assert job["result"]["object"] == "all/cards/mine.png"


async def test_a_running_job_is_cancelled_at_once(service: Service) -> None:
    """Its Chrome is free, and no other job suffers; it stays cancelled."""
    identity = await submitted(service, **SLOW)
    await reached(service, identity, "running")
    assert await settled(lambda: service.engine.admission.statistics().running == 1)
    status, job = await delete(service, identity)
    assert (status, job["state"], job["progress"]) == (200, "cancelled", None)
    assert await settled(lambda: service.engine.admission.statistics().running == 0)
    assert (await delete(service, identity))[1]["state"] == "cancelled"
    assert (await job_of(service, identity))["state"] == "cancelled"
    assert (await reached(service, await submitted(service)))["state"] == "done"


async def test_queued_jobs_are_cancelled_and_bounded(service: Service) -> None:
    """A caller that has too many gets 429; one less, and there is room again."""
    jobs = [await submitted(service, **SLOW) for _ in range(5)]
    for identity in jobs[:2]:
        await reached(service, identity, "running")
    status, problem = await post(service, {"html": RED})
    assert (status, problem["code"]) == (429, "too_many_jobs")
    assert (await job_of(service, jobs[4]))["state"] == "queued"
    assert (await delete(service, jobs[4]))[1]["state"] == "cancelled"
    last = await submitted(service)
    assert (await job_of(service, last))["state"] == "queued"
    for identity in jobs[:4]:
        await delete(service, identity)
    assert (await reached(service, last))["state"] == "done"
    assert (await job_of(service, jobs[4]))["attempts"] == 0


async def test_a_job_that_has_ended_is_not_cancelled(service: Service) -> None:
    """409, and it stays what it is."""
    identity = await submitted(service)
    await reached(service, identity)
    status, problem = await delete(service, identity)
    assert (status, problem["code"]) == (409, "job_ended")
    assert (await job_of(service, identity))["state"] == "done"


async def test_unknown_ids_are_not_found(service: Service) -> None:
    """Also those that no job could have."""
    for identity in ("0" * 32, "x", "..%2f", "%00", "a" * 500):
        response = await service.get(f"/jobs/{identity}")
        assert response.status == 404
        assert (await delete(service, identity))[0] == 404


async def test_a_request_that_comes_twice_with_one_key_is_one_job(service: Service) -> None:
    """With other options it is refused, and a key must be usable."""
    body = {"html": RED, **SMALL}
    _, first = await post(service, body, Idempotency_Key="one-1")
    status, second = await post(service, dict(reversed(body.items())), Idempotency_Key='"one-1"')
    assert (status, second["id"]) == (202, first["id"])
    status, problem = await post(service, {**body, "width": 21}, Idempotency_Key="one-1")
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    status, problem = await post(service, body, Idempotency_Key="a b")
    assert (status, problem["field"]) == (400, "Idempotency-Key")
    await reached(service, first["id"])
    status, third = await post(service, body, Idempotency_Key="one-1")
    assert (status, third["id"], third["state"]) == (202, first["id"], "done")


async def test_a_result_is_sent_to_its_destination_too(service: Service) -> None:
    """Within the network policy; what it answers is in the result."""
    got: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response(status=201)

    async with serving(take) as address:
        job = await reached(service, await submitted(service, destination={"url": str(address)}))
    assert job["result"]["destination_status"] == 201
    assert got == [await service.picture(html=RED, **SMALL)]
    denied = {"url": "http://10.255.255.1/"}
    job = await reached(service, await submitted(service, destination=denied))
    assert (job["state"], job["problem"]["code"]) == ("failed", "destination_denied")


async def test_interactive_renders_go_first(service: Service) -> None:
    """While two of them run and one waits, no job begins to render."""

    async def slow(place: int) -> int:
        body = {**SLOW, "html": f"<p>slow {place}"}  # equal ones would share one slot
        async with service.client.post(f"{service.address}/render", json=body) as response:
            return response.status

    renders = [asyncio.create_task(slow(place)) for place in range(3)]
    assert await settled(lambda: service.engine.admission.statistics().waiting == 1)
    identity = await submitted(service, html="<p>not cached")
    assert await settled(lambda: service.engine.admission.statistics().background == 1)
    renders[0].cancel()
    assert await settled(lambda: service.engine.admission.statistics().waiting == 0)
    assert service.engine.admission.statistics().background == 1
    for one in renders:
        one.cancel()
    await asyncio.gather(*renders, return_exceptions=True)
    assert (await reached(service, identity))["state"] == "done"


async def test_a_job_whose_workers_died_is_lost(service: Service) -> None:
    """After as many deaths as there may be, and without another attempt."""
    store = await service.server.jobs.open()
    new = NewJob("", {"request": {"html": RED, **SMALL}})
    assert (await store.create(new))[0] == "new"
    for place in range(PATIENCE.deaths):
        _, claimed = await store.claim("a ticket", f"worker {place}")
        assert claimed is not None
        assert claimed.id == new.id
    assert service.server.jobs.runner is not None
    await service.server.jobs.runner.run("a ticket")
    job = await job_of(service, new.id)
    assert (job["state"], job["problem"]["code"]) == ("failed", "job_lost")
    assert "3 workers" in job["problem"]["detail"]


async def test_metrics_count_jobs(service: Service) -> None:
    """By how they ended; the queue is empty."""
    await reached(service, await submitted(service))
    text = await (await service.get("/metrics")).text()
    assert "poster_jobs_queued 0.0" in text
    assert "poster_jobs_connected 1.0" in text
    done = [line for line in text.splitlines() if 'poster_jobs_ended_total{state="done"}' in line]
    assert float(done[0].split()[-1]) >= 1


@pytest.mark.slow
async def test_each_caller_has_its_own_jobs_and_keys() -> None:
    """Another caller's id is unknown, and its key is another one."""
    async with running_in_own_folder(tokens=TOKENS) as service:
        url, body = f"{service.address}/jobs", {"html": RED, **SMALL}
        key = {"Idempotency-Key": "k"}
        async with service.client.post(url, json=body) as response:
            assert response.status == 401
        async with service.client.post(url, json=body, headers={**bearer(APP), **key}) as response:
            app = await response.json()
        async with service.client.post(url, json=body, headers={**bearer(WEB), **key}) as response:
            other = await response.json()
        assert app["id"] != other["id"]

        async def status(method: str, token: str) -> int:
            async with service.client.request(
                method, f"{url}/{app['id']}", headers=bearer(token)
            ) as response:
                return response.status

        assert await status("GET", WEB) == await status("DELETE", WEB) == 404

        async def is_done() -> bool:
            async with service.client.get(f"{url}/{app['id']}", headers=bearer(APP)) as response:
                return bool((await response.json())["state"] == "done")

        await until(is_done)
        assert await status("DELETE", APP) == 409


@pytest.mark.slow
async def test_a_service_without_jobs_has_not_imported_their_queue() -> None:
    """And knows no job; it starts as fast as before."""
    async with running_in_own_folder() as service:
        assert not service.server.jobs.is_open
        assert (await service.get("/jobs/" + "0" * 32)).status == 404
        assert "poster_jobs_queued 0.0" in await (await service.get("/metrics")).text()
        assert not service.server.jobs.is_open
        with pytest.raises(aiohttp.ClientResponseError):
            (await service.get("/jobs")).raise_for_status()
