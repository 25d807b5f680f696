"""Tokens, quotas and the queue behind Browser Run's routes."""

import asyncio
import json
from typing import Any

from tests.conftest import settled
from tests.web.compat.cloudflare import PREFIX, ask, error_of
from tests.web.compat.posting import send
from tests.web.conftest import StartService
from tests.web.tokens import APP, TOKENS, WEB, bearer

PAGE: dict[str, Any] = {"html": "<p>x"}


async def test_a_token_is_sent_as_bearer(start_service: StartService) -> None:
    """On every route, for any account; nothing of another caller's is cached for this one."""
    service = await start_service(compat=("cloudflare",), tokens=TOKENS, cache_bytes=1 << 20)
    for method, path in (("POST", "content"), ("POST", "json"), ("GET", "crawl/7")):
        for headers in ({}, bearer("wrong"), {"X-Auth-Key": WEB, "X-Auth-Email": "a@b.test"}):
            answer = await send(service, method, f"{PREFIX}/{path}", json=PAGE, headers=headers)
            assert error_of(answer)[:2] == (401, 10_000)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for account, token, cached in (("a", WEB, "miss"), ("b", WEB, "hit"), ("a", APP, "miss")):
        path = f"/client/v4/accounts/{account}/browser-rendering/content?cacheTTL=60"
        answer = await send(service, "POST", path, json=PAGE, headers=bearer(token))
        assert (answer.status, answer.headers["x-cache"]) == (200, cached)


async def test_a_full_queue_is_429_with_the_time_to_come_back(start_service: StartService) -> None:
    """As for a caller who has used up a quota."""
    service = await start_service(compat=("cloudflare",), concurrency=1, queue_size=0)
    assert await service.at_rest()
    running = asyncio.create_task(ask(service, "content", html="x", waitForTimeout=3_000))
    assert await settled(lambda: service.engine.admission.statistics().running == 1)
    answer = await ask(service, "screenshot", html="y")
    assert error_of(answer)[:2] == (429, 2001)
    assert int(answer.headers["retry-after"]) >= 1
    assert (await running).status == 200


async def test_the_routes_are_not_there_unless_they_are_switched_on(
    start_service: StartService,
) -> None:
    """404 of this service's own API."""
    service = await start_service()
    answer = await ask(service, "content", html="x")
    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert json.loads(answer.body)["status"] == 404
