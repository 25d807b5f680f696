"""browserless' query, its refusals, and its routes for operators."""

import asyncio
import base64
import contextlib
import json
import logging
from typing import Any

import pytest

from tests.conftest import settled
from tests.web.compat.browserless import SAYS, server, service, shot
from tests.web.compat.posting import post_json, send
from tests.web.conftest import StartService
from tests.web.pictures import LIME, at, decode
from tests.web.service import Service
from tests.web.tokens import TOKENS, WEB, bearer

__all__ = ["server", "service"]


# --- the query ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "launch",
    [
        {"args": ["--lang=de-DE"]}, {"defaultViewport": {"width": 300, "height": 200}},
        {"args": ["--user-agent=Bot/4", "--no-sandbox"], "headless": "shell", "stealth": True,
         "ignoreHTTPSErrors": True, "slowMo": 5, "devtools": False},
    ],
)  # fmt: skip
async def test_launch_options_that_have_a_meaning_are_heeded(
    service: Service, launch: dict[str, Any]
) -> None:
    """Language, user agent and viewport; as JSON and as base64 of it."""
    condition = "navigator.language == 'de-DE' || innerWidth == 300"
    html = SAYS % f"{condition} || navigator.userAgent == 'Bot/4'"
    text = json.dumps(launch)
    for given in (text, base64.b64encode(text.encode()).decode().rstrip("=")):
        answer = await send(
            service, "POST", "/screenshot", params={"launch": given}, json={"html": html}
        )
        assert at(decode(answer.body), 5, 5) == LIME, answer.text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"x": "1"}, '"x" is not allowed'),
        ({"blockAds": "true"}, '"blockAds" is not supported'),
        ({"blockAds": ""}, '"blockAds" is not supported'),
        ({"timeout": "soon"}, '"timeout" must be a number'),
        ({"timeout": "99999999"}, '"timeout" 99999999 is more than this service allows'),
        ({"timeout": "0"}, '"timeout" 0 is out of range'),
        ({"trackingId": "a b"}, '"trackingId" is not allowed'),
        ({"trackingId": "all"}, '"trackingId" is not allowed'),
        ({"launch": "x"}, '"launch" is neither JSON nor base64'),
        ({"launch": '{"userDataDir": "/"}'}, '"launch.userDataDir" is not allowed'),
        ({"launch": '{"args": ["--proxy-server=a:1"]}'}, "--proxy-server"),
        ({"launch": '{"args": ["--lang=xx-$"]}'}, '"launch.args"'),
    ],
)
async def test_a_bad_query_is_refused(service: Service, query: dict[str, str], text: str) -> None:
    """With the parameter, as text."""
    answer = await send(service, "POST", "/screenshot", params=query, json={"html": "x"})
    assert (answer.status, answer.content_type) == (400, "text/plain")
    assert answer.text.startswith("Query-parameter validation failed: "), answer.text
    assert text in answer.text


async def test_a_session_is_listed_by_its_tracking_id(service: Service) -> None:
    """While it runs; a second one of the same name is refused."""
    body = {"html": "x", "waitForTimeout": 6_000}
    running = asyncio.create_task(post_json(service, "/screenshot?trackingId=a-1", **body))
    for _ in range(1000):
        listed = json.loads((await send(service, "GET", "/sessions?trackingId=a-1")).body)
        if listed:
            break
        await asyncio.sleep(0.02)
    assert [one["trackingId"] for one in listed] == ["a-1"]
    assert json.loads((await send(service, "GET", "/sessions?trackingId=b")).body) == []
    answer = await post_json(service, "/screenshot?trackingId=a-1", html="x")
    assert (answer.status, '"trackingId"' in answer.text) == (400, True)
    assert (await running).status == 200
    assert json.loads((await send(service, "GET", "/sessions")).body) == []


async def test_a_caller_that_hangs_up_ends_its_session(service: Service) -> None:
    """And its Chrome, long before the wait would be over."""
    body = {"html": "x", "waitForTimeout": 15_000}
    running = asyncio.create_task(post_json(service, "/screenshot?trackingId=gone", **body))
    metrics = {"Accept": "application/json"}

    async def under_way() -> int:
        [found] = json.loads((await send(service, "GET", "/metrics", headers=metrics)).body)
        return int(found["running"])

    for _ in range(1000):
        if await under_way():
            break
        await asyncio.sleep(0.02)
    assert await under_way() == 1
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert await service.at_rest()
    assert await under_way() == 0


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, 'One of "url" or "html" properties are required.'),
        ({"html": ""}, 'One of "url" or "html" properties are required.'),
        ({"html": "x", "foo": 1}, '"foo" is not allowed'),
        ({"html": "x", "options": {"path": "/x"}}, '"options.path" is not allowed'),
        ({"html": "x", "waitForFunction": {"fn": "1", "polling": []}},
         '"waitForFunction.polling" input'),
        ({"html": "x", "options": {"type": "gif"}}, '"options.type"'),
        ({"html": "x", "options": {"quality": 50}}, '"options.quality" has no meaning for png'),
        ({"html": "x", "options": {"type": "jpeg", "quality": 101}}, '"options.quality"'),
        ({"html": "x", "options": {"fullPage": True, "clip": {"x": 0, "y": 0, "width": 1,
          "height": 1}}}, '"options.clip" cannot be used together'),
        ({"html": "x", "options": {"clip": {"x": 0, "y": 0, "width": 1}}},
         '"options.clip.height"'),
        ({"html": "x", "viewport": {"width": 0, "height": 10}}, '"viewport.width"'),
        ({"html": "x", "viewport": {"width": 10.5, "height": 10}}, '"viewport.width" 10.5'),
        ({"html": "x", "viewport": {"width": 10}}, '"viewport.height"'),
        ({"html": "x", "viewport": {"width": 90_000, "height": 90_000}}, '"viewport.width"'),
        ({"html": "x", "emulateMediaType": "tv"}, '"emulateMediaType"'),
        ({"html": "x", "userAgent": {"name": "x"}}, '"userAgent.name" is not allowed'),
        ({"html": "x", "waitForSelector": {"selector": "a["}}, '"waitForSelector.selector"'),
        ({"html": "x", "waitForSelector": {}}, '"waitForSelector.selector"'),
        ({"html": "x", "waitForEvent": {"event": "a b"}}, '"waitForEvent.event"'),
        ({"html": "x", "waitForTimeout": 99_999_999}, '"waitForTimeout"'),
        ({"html": "x", "gotoOptions": {"waitUntil": "idle"}}, '"gotoOptions.waitUntil"'),
        ({"html": "x", "gotoOptions": {"signal": {}}}, '"gotoOptions.signal" is not allowed'),
        ({"html": "x", "cookies": [{"name": "a", "value": "1"}]}, '"cookies" is sent to'),
        ({"html": "x", "setExtraHTTPHeaders": {"X-A": "1"}}, '"setExtraHTTPHeaders"'),
        ({"html": "x", "authenticate": {"username": "u", "password": "p"}}, '"authenticate"'),
        ({"html": "x", "rejectRequestPattern": ["(?=a)"]}, '"rejectRequestPattern.0"'),
        ({"html": "x", "rejectResourceTypes": ["img"]}, '"rejectResourceTypes.0"'),
        ({"html": "x", "requestInterceptors": [{"pattern": "(", "response": {}}]},
         '"requestInterceptors.0.pattern"'),
        ({"html": "x", "requestInterceptors": [{"pattern": "a", "response": {"status": 9}}]},
         '"requestInterceptors.0.response.status"'),
        ({"html": "x", "selector": "a", "options": {"fullPage": True}}, '"selector"'),
        ({"url": "file:///etc/passwd"}, '"url"'),
        ({"url": "http://127.0.0.1:1/", "cookies": [{"name": "a", "value": "1", "url": "x"}]},
         '"cookies.0.url"'),
        ({"url": "http://127.0.0.1:1/", "cookies": [{"name": "a", "value": "1",
          "domain": "b.test"}]}, '"cookies.0.domain"'),
        ({"url": "http://127.0.0.1:1/", "cookies": [{"name": "a", "value": "1",
          "sameSite": "None"}]}, '"cookies.0.sameSite"'),
        ({"url": "http://127.0.0.1:1/", "setExtraHTTPHeaders": {"Host": "x"}},
         '"setExtraHTTPHeaders"'),
        ({"url": "http://127.0.0.1:1/", "gotoOptions": {"referer": "x"}},
         '"gotoOptions.referer"'),
    ],
)  # fmt: skip
async def test_a_bad_body_is_refused(service: Service, body: dict[str, Any], text: str) -> None:
    """With the property by its own name, as text."""
    answer = await post_json(service, "/screenshot", **body)
    assert (answer.status, answer.content_type) == (400, "text/plain"), answer.text
    assert answer.text.startswith("POST Body validation failed: "), answer.text
    assert text in answer.text


async def test_what_is_no_json_is_refused(service: Service) -> None:
    """400 for a body that is none; 404 for another type, for which browserless has no route."""
    answer = await send(
        service, "POST", "/screenshot", data=b"{", headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.text[:24]) == (400, "Couldn't parse JSON body")
    answer = await send(
        service, "POST", "/screenshot", data=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert (answer.status, "Content-Type" in answer.text) == (404, True)
    answer = await send(
        service, "POST", "/screenshot", data=b"[1]", headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400


@pytest.mark.parametrize(
    ("url", "status"),
    [("http://10.0.0.1/", 403), ("http://127.0.0.1:1/", 403), ("http://no.such.invalid/", 500)],
)
async def test_an_address_that_cannot_be_had(service: Service, url: str, status: int) -> None:
    """403 where the network policy denies it, 500 where it does not answer."""
    answer = await post_json(service, "/screenshot", url=url)
    assert (answer.status, answer.content_type) == (status, "text/plain"), answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, prefix + path)
        for prefix in ("", "/chromium", "/chrome")
        for method, path in (
            ("POST", "/function"), ("POST", "/download"), ("POST", "/performance"),
            ("POST", "/unblock"), ("GET", "/json/version"), ("GET", "/json/list"),
            ("PUT", "/json/new"), ("GET", "/json/protocol"), ("GET", "/screenshot"),
            ("GET", "/pdf?body=e30="),
        )
    ] + [("GET", "/kill/all")],
)  # fmt: skip
async def test_what_is_not_there_says_why(service: Service, method: str, path: str) -> None:
    """404 with a sentence."""
    answer = await send(service, method, path)
    assert (answer.status, answer.content_type) == (404, "text/plain")
    assert len(answer.text) > 40


# --- for operators -----------------------------------------------------------------------------


async def test_the_gauges(service: Service) -> None:
    """Each has the names that browserless has."""
    assert (await send(service, "GET", "/active")).status == 204
    pressure = json.loads((await send(service, "GET", "/pressure")).body)["pressure"]
    assert pressure["isAvailable"] is True
    assert (pressure["maxConcurrent"], pressure["maxQueued"]) == (2, 32)
    assert set(pressure) == {
        "cpu", "date", "isAvailable", "maxConcurrent", "maxQueued", "memory", "message", "queued",
        "reason", "recentlyRejected", "running",
    }  # fmt: skip
    text = await send(service, "GET", "/pressure", headers={"Accept": "text/plain"})
    assert (text.status, text.content_type) == (200, "text/plain")
    config = json.loads((await send(service, "GET", "/config")).body)
    assert (config["timeout"], config["concurrent"], config["token"]) == (20_000, 2, None)
    meta = json.loads((await send(service, "GET", "/meta")).body)
    assert meta["version"].startswith("2.")
    assert int(meta["chromium"].partition(".")[0]) > 100


async def test_metrics_are_json_for_whom_prefers_it(service: Service) -> None:
    """And Prometheus' text for all others."""

    async def metrics() -> dict[str, Any]:
        answer = await send(service, "GET", "/metrics", headers={"Accept": "application/json"})
        [found] = json.loads(answer.body)
        assert isinstance(found, dict)
        return found

    before = await metrics()
    await shot(service, html="x")
    await post_json(service, "/screenshot", html="x", waitForSelector={"selector": "a["})
    await post_json(service, "/screenshot?timeout=1000", html="<script>while (1);</script>")
    after = await metrics()
    changed = {name for name in after if after[name] != before[name]}
    assert [after[name] - before[name] for name in ("successful", "error", "timedout")] == [1] * 3
    assert changed >= {"totalTime", "units", "sessionTimes"}
    assert after["maxTime"] >= after["meanTime"] >= after["minTime"] > 0
    total = json.loads((await send(service, "GET", "/metrics/total")).body)
    assert total["successful"] == after["successful"]
    assert total["estimatedMonthlyUnits"] > 0
    text = await send(service, "GET", "/metrics", headers={"Accept": "*/*"})
    assert b"poster_renders_total" in text.body


async def test_a_full_queue_is_429_with_the_time_to_come_back(start_service: StartService) -> None:
    """And the pressure says so."""
    service = await start_service(compat=("browserless",), concurrency=1, queue_size=0)
    assert await service.at_rest()
    slow = {"html": "x", "waitForTimeout": 6_000}
    running = asyncio.create_task(post_json(service, "/screenshot", **slow))
    assert await settled(lambda: service.engine.admission.statistics().running == 1)
    answer = await post_json(service, "/screenshot", html="x")
    assert (answer.status, answer.content_type) == (429, "text/plain")
    assert int(answer.headers["retry-after"]) >= 1
    text = await send(service, "GET", "/pressure", headers={"Accept": "text/plain"})
    assert (text.status, text.text) == (503, "Concurrency and queue are full")
    assert (await running).status == 200


async def test_tokens_come_in_the_query_or_as_bearer(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    """On every route; the log has none of them."""
    caplog.set_level(logging.DEBUG)
    service = await start_service(compat=("browserless",), tokens=TOKENS)
    job = {"json": {"html": "x"}}
    for path, method, more in (
        ("/screenshot", "POST", job), ("/active", "GET", {}), ("/meta", "GET", {}),
        ("/metrics", "GET", {"headers": {"Accept": "application/json"}}),
    ):  # fmt: skip
        answer = await send(service, method, path, **more)
        assert (answer.status, answer.text) == (401, "Bad or missing authentication."), path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong = await send(service, method, f"{path}?token=wrong", **more)
        assert wrong.status == 401
        assert (await send(service, method, f"{path}?token={WEB}", **more)).status in (200, 204)
        headers = {**more.get("headers", {}), **bearer(WEB)}
        assert (await send(service, method, path, **{**more, "headers": headers})).status < 300
    text = "".join(f"{one.getMessage()}{vars(one)}" for one in caplog.records
                   if one.name.startswith("poster_service"))  # fmt: skip
    assert "web" in text
    assert WEB not in text


async def test_the_routes_are_not_there_unless_they_are_switched_on(
    start_service: StartService,
) -> None:
    """404 of this service's own API."""
    service = await start_service()
    answer = await post_json(service, "/screenshot", html="x")
    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    answer = await send(service, "GET", "/metrics", headers={"Accept": "application/json"})
    assert b"poster_renders_total" in answer.body
