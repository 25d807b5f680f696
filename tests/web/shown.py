"""Small pictures of pages at an address, and their colour."""

from typing import Any

import aiohttp

from tests.web.conftest import Service
from tests.web.pictures import at, decode

SIZE = {"width": 60, "height": 40}


async def shown(service: Service, url: str, **options: Any) -> aiohttp.ClientResponse:
    """The answer of a render that succeeds."""
    answer = await service.render(**{"url": url, **SIZE, **options})
    assert answer.status == 200, await answer.text()
    return answer


async def colour(answer: aiohttp.ClientResponse) -> tuple[int, ...]:
    """The colour of a picture near its corner."""
    return at(decode(await answer.read()), 5, 5)
