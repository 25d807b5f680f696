"""browserless' API for the tests of its routes: a service, a small web, and what they ask for."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.compat.posting import Answered, post_json
from tests.web.local_web import LocalServer, local_server
from tests.web.pictures import at, decode
from tests.web.service import Service, running_in_own_folder

#: A page of which a script decides the colour: lime where its condition holds, else red.
SAYS = "<body><script>document.documentElement.style.background = (%s) ? '#0f0' : '#f00'</script>"
#: A page that is red at first, and lime after a moment.
LATER = "<body style='background:#f00'><script>setTimeout(() => { %s }, 300)</script>"
TURN = "document.body.style.background = '#0f0'; document.body.id = 'done'; window.done = 1;"


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """A service for all tests here, without tokens."""
    async with running_in_own_folder(
        compat=("browserless",), allow_private="127.0.0.0/8", timeout_ms=20_000
    ) as found:
        yield found


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """A small web."""
    async with local_server() as found:
        yield found


async def shot(service: Service, **body: Any) -> Answered:
    """A screenshot that succeeds."""
    answer = await post_json(service, "/screenshot", **body)
    assert answer.status == 200, answer.text
    return answer


async def colour(service: Service, **body: Any) -> tuple[int, ...]:
    """The colour of a screenshot near its corner."""
    return at(decode((await shot(service, **body)).body), 5, 5)
