"""Requests to Browser Run's routes, and what came back."""

import json
from typing import Any

from tests.web.compat.posting import Answered, send
from tests.web.pictures import at, decode
from tests.web.service import Service

PREFIX = "/client/v4/accounts/0123456789abcdef/browser-rendering"


async def ask(service: Service, route: str, **body: Any) -> Answered:
    """POST to a route; nothing is cached unless the route says so."""
    path = route if "cacheTTL" in route else f"{route}?cacheTTL=0"
    return await send(service, "POST", f"{PREFIX}/{path}", json=body)


async def shot(service: Service, **body: Any) -> bytes:
    """A screenshot that succeeds."""
    answer = await ask(service, "screenshot", **body)
    assert answer.status == 200, answer.text
    return answer.body


async def colour(service: Service, **body: Any) -> tuple[int, ...]:
    """The colour of a screenshot near its corner."""
    return at(decode(await shot(service, **body)), 5, 5)


async def result(service: Service, route: str, **body: Any) -> Any:
    """The result in the envelope of an answer that succeeds."""
    answer = await ask(service, route, **body)
    assert answer.status == 200, answer.text
    found = json.loads(answer.body)
    assert (found["success"], found["errors"], found["messages"]) == (True, [], [])
    return found["result"]


def error_of(answer: Answered) -> tuple[int, int, str]:
    """Status, number and text of a refusal in the envelope."""
    found = json.loads(answer.body)
    assert (found["success"], found["result"]) == (False, None)
    (error,) = found["errors"]
    return answer.status, error["code"], error["message"]
