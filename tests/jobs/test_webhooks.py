"""Webhooks of real jobs, from the request to the receiver; dead letters over HTTP."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import short_folder
from tests.jobs.receiver import Answer, WebhookReceiver, new_secret, receiving
from tests.web.redis_server import Server
from tests.web.service import Service, running
from tests.web.tokens import APP, TOKENS, WEB, bearer

SECRET, WEBS = new_secret("s"), new_secret("w")
RED = "<!doctype html><body style='background:#f00'>"
SMALL = {"width": 20, "height": 10}
#: Every address of these tests is on loopback.
ALLOWED: dict[str, Any] = {
    "allow_private": "127.0.0.0/8",
    "webhook_secrets": f"all={SECRET},web={WEBS}",
    "webhook_retry_seconds": "0,0,0",
}


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """A service with tokens and secrets; jobs in its memory."""
    with short_folder() as work_dir:
        async with running(work_dir=work_dir, tokens=TOKENS, **ALLOWED) as found:
            yield found


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """One that accepts."""
    async with receiving() as found:
        yield found


async def submit(service: Service, token: str = APP, **options: Any) -> tuple[int, Any]:
    """POST /jobs; status and body."""
    given = {"html": RED, **SMALL, **options}
    async with service.client.post(
        f"{service.address}/jobs", json=given, headers=bearer(token)
    ) as response:
        return response.status, await response.json()


async def call(
    service: Service, method: str, path: str, token: str = APP, **more: Any
) -> tuple[int, Any]:
    """Another request with a token; status and body."""
    headers = {**bearer(token), **more.pop("headers", {})}
    async with service.client.request(
        method, f"{service.address}{path}", headers=headers, **more
    ) as response:
        return response.status, await response.json()


async def test_a_job_that_succeeds_is_reported(service: Service, receiver: WebhookReceiver) -> None:
    """With a link to the picture, signed with the secret of all callers."""
    webhook = {"url": f"{receiver.address}/hook", "headers": {"X-Own": "1"}}
    status, job = await submit(service, webhook=webhook)
    assert status == 202, job
    [got] = await receiver.wait_for(1)
    message = got.verified(SECRET)
    assert message["type"] == "render.succeeded"
    data = message["data"]
    assert data["job"] == job["id"]
    assert data["job_url"] == f"{service.address}/jobs/{job['id']}"
    assert data["result"]["format"] == "png"
    assert got.headers["x-own"] == "1"
    async with service.client.get(data["result"]["url"], headers=bearer(APP)) as picture:
        assert (await picture.read()).startswith(b"\x89PNG")


async def test_a_job_that_fails_is_reported(service: Service, receiver: WebhookReceiver) -> None:
    """With the problem of its render, and with the caller's own secret."""
    options = {"selector": "#none", "webhook": {"url": receiver.address}}
    _, job = await submit(service, WEB, **options)
    [got] = await receiver.wait_for(1)
    assert not got.is_signed_with(SECRET)
    message = got.verified(WEBS)
    assert (message["type"], message["data"]["job"]) == ("render.failed", job["id"])
    assert message["data"]["problem"]["code"] == "selector_not_found"


async def test_only_the_events_that_were_asked_for_are_reported(
    service: Service, receiver: WebhookReceiver
) -> None:
    """The job that fails has nothing to say."""
    webhook = {"url": receiver.address, "events": ["render.succeeded"]}
    _, failing = await submit(service, selector="#none", webhook=webhook)
    while (await call(service, "GET", f"/jobs/{failing['id']}"))[1]["state"] != "failed":
        pass
    await submit(service, webhook=webhook)
    await receiver.wait_for(1)
    assert [one.message["type"] for one in receiver.got] == ["render.succeeded"]


async def test_a_batch_reports_its_end(service: Service, receiver: WebhookReceiver) -> None:
    """Once for all items; and again, under another id, after those that failed were retried."""
    items = [{"selector": selector} for selector in ("p", "#none", "p")]
    webhook = {"url": receiver.address}
    status, batch = await call(
        service, "POST", "/batches", json={"html": "<p>x", "webhook": webhook, "items": items}
    )
    assert status == 202, batch
    [got] = await receiver.wait_for(1)
    message = got.verified(SECRET)
    assert message["type"] == "batch.finished"
    assert message["data"]["batch"] == batch["id"]
    assert message["data"]["counts"] == {"done": 2, "failed": 1, "cancelled": 0}
    assert (message["data"]["items"], message["data"]["round"]) == (3, 0)
    path = message["data"]["batch_url"].removeprefix(service.address)
    assert (await call(service, "GET", path))[1]["state"] == "done"
    assert (await call(service, "POST", f"{path}/retry"))[0] == 202
    first, again = await receiver.wait_for(2)
    assert again.verified(SECRET)["data"]["round"] == 1
    assert first.id != again.id


async def test_a_batch_by_lines_has_a_webhook_too(
    service: Service, receiver: WebhookReceiver
) -> None:
    """In its first line, or in the query."""
    common = json.dumps({"common": {"html": RED, **SMALL, "webhook": {"url": receiver.address}}})
    kind = {"Content-Type": "application/x-ndjson"}
    status, batch = await call(service, "POST", "/batches", data=f"{common}\n{{}}\n", headers=kind)
    assert status == 202, batch
    query = urlencode({"html": "<p>x", "width": 20, "webhook.url": receiver.address})
    status, other = await call(service, "POST", f"/batches?{query}", data="{}\n", headers=kind)
    assert status == 202, other
    got = await receiver.wait_for(2)
    assert {one.message["data"]["batch"] for one in got} == {batch["id"], other["id"]}


async def test_a_batch_with_a_wrong_webhook_is_refused(service: Service) -> None:
    """As a job is; no item has one of its own."""
    for webhook, field in (({"url": "https://10.0.0.1/"}, "webhook.url"), ("x", "webhook")):
        given: dict[str, Any] = {"html": RED, "webhook": webhook, "items": [{}]}
        status, problem = await call(service, "POST", "/batches", json=given)
        assert (status in (400, 422), problem["field"]) == (True, field)
    given = {"html": RED, "items": [{"webhook": {"url": "https://example.com/"}}]}
    status, problem = await call(service, "POST", "/batches", json=given)
    assert (status, problem["field"]) == (400, "items.0.webhook")


@pytest.mark.parametrize(
    ("webhook", "status", "code", "field"),
    [
        ({"url": "https://10.0.0.1/"}, 422, "destination_denied", "webhook.url"),
        ({"url": "https://[::1]/"}, 422, "destination_denied", "webhook.url"),
        ({"url": "https://127.1/"}, 422, "destination_denied", "webhook.url"),
        ({"url": "http://93.184.216.34/"}, 422, "destination_denied", "webhook.url"),
        ({"url": "ftp://example.com/"}, 400, "invalid_field", "webhook.url"),
        ({"url": "https://u:p@example.com/"}, 400, "invalid_field", "webhook.url"),
        ({"url": "https://example.com/", "events": ["x"]}, 400, "invalid_field",
         "webhook.events.0"),
        ({"url": "https://example.com/", "headers": {"webhook-id": "x"}}, 400, "invalid_field",
         "webhook.headers"),
        ({}, 400, "invalid_field", "webhook.url"),
    ],
)  # fmt: skip
async def test_a_webhook_that_cannot_be_is_refused(
    service: Service, webhook: dict[str, Any], status: int, code: str, field: str
) -> None:
    """Before anything is rendered."""
    found, problem = await submit(service, webhook=webhook)
    assert (found, problem["code"], problem["field"]) == (status, code, field)


async def test_dead_letters_are_each_callers_own(
    service: Service, receiver: WebhookReceiver
) -> None:
    """Listed, and replayed with the same id."""
    receiver.answers = [Answer(500)] * 3
    _, job = await submit(service, WEB, webhook={"url": f"{receiver.address}/dead"})
    await receiver.wait_for(3)
    dead: list[Any] = []
    while not dead:
        status, found = await call(service, "GET", "/webhooks/dead", WEB)
        assert status == 200
        dead = found["dead"]
    [one] = dead
    assert one["subject"] == job["id"]
    assert (one["attempts"], one["outcome"], one["status"]) == (3, "refused", 500)
    assert (await call(service, "GET", "/webhooks/dead", APP))[1] == {"dead": []}
    path = f"/webhooks/dead/{one['id']}/replay"
    status, problem = await call(service, "POST", path, APP)
    assert (status, problem["code"]) == (404, "unknown_dead_letter")
    status, found = await call(service, "POST", path, WEB)
    assert (status, found["id"]) == (202, one["id"])
    got = await receiver.wait_for(4)
    assert {delivery.id for delivery in got} == {one["id"]}
    assert got[-1].verified(WEBS)["data"]["job"] == job["id"]
    status, _ = await call(service, "POST", path, WEB)
    assert status == 404


async def test_the_list_of_dead_letters_is_bounded(service: Service) -> None:
    """And needs a token, like all that is a caller's."""
    for limit in ("0", "1001", "x", "-1", ""):
        status, problem = await call(service, "GET", f"/webhooks/dead?limit={limit}")
        assert (status, problem["field"]) == (400, "limit")
    assert (await call(service, "GET", "/webhooks/dead?limit=1000"))[0] == 200
    assert (await service.get("/webhooks/dead")).status == 401


async def test_attempts_are_counted(service: Service, receiver: WebhookReceiver) -> None:
    """In /metrics."""
    async with service.client.get(f"{service.address}/metrics", headers=bearer(APP)) as response:
        text = await response.text()
    for outcome in ("ok", "refused", "gone", "failed", "denied", "unsigned", "missing"):
        assert f'poster_webhook_attempts_total{{outcome="{outcome}"}}' in text
    assert "poster_webhooks_dead_total" in text


async def test_without_a_secret_a_webhook_is_refused(work_dir: Path) -> None:
    """With what to set."""
    async with running(work_dir=work_dir) as other:
        response = await other.client.post(
            f"{other.address}/jobs", json={"html": RED, "webhook": {"url": "https://example.com/"}}
        )
        problem = await response.json()
    assert (response.status, problem["field"]) == (400, "webhook")
    assert "POSTER_WEBHOOK_SECRETS" in problem["allowed"]


@pytest.mark.slow
async def test_a_restart_of_the_service_loses_no_webhook(
    work_dir: Path, tmp_path: Path, receiver: WebhookReceiver
) -> None:
    """It waits in Redis, and the next service sends it under the same id."""
    redis = Server(work_dir.parent)
    given: dict[str, Any] = {
        **ALLOWED, "work_dir": work_dir, "jobs_redis": redis.address,
        "storage": f"file://{tmp_path}/results", "webhook_retry_seconds": "0,1,0",
    }  # fmt: skip
    try:
        receiver.answers = [Answer(500)]
        async with running(**given) as first:
            async with first.client.post(
                f"{first.address}/jobs",
                json={"html": RED, **SMALL, "webhook": {"url": receiver.address}},
            ) as response:
                assert response.status == 202, await response.text()
            await receiver.wait_for(1)
        async with running(**given):
            got = await receiver.wait_for(2)
        assert got[0].id == got[1].id
        assert got[1].verified(SECRET)["type"] == "render.succeeded"
    finally:
        redis.stop()
