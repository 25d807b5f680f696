"""A cacheable page, and what the service reports of cache and renders."""

from typing import Any

import aiohttp

from tests.web.conftest import Service

PAGE: dict[str, Any] = {"html": "<p>the same</p>", "width": 40, "height": 40}


async def ask(service: Service, job: dict[str, Any], **headers: str) -> aiohttp.ClientResponse:
    """POST /render with headers; the body is read already."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    where = f"{service.address}/render"
    answer = await service.client.post(where, json=job, headers=given)
    await answer.read()
    return answer


def renders(service: Service) -> int:
    """The number of renders that have ended, including the first probe."""
    families = service.server.counters.registry.collect()
    return int(sum(
        sample.value for family in families for sample in family.samples
        if sample.name == "poster_renders_total"
    ))  # fmt: skip


def cache_status(answer: aiohttp.ClientResponse) -> str:
    """The X-Cache header of an answer that succeeded."""
    assert answer.status in (200, 304), answer.status
    return answer.headers["X-Cache"]
