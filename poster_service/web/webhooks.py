"""GET /webhooks/dead and POST /webhooks/dead/ID/replay: webhooks that could not be delivered."""

import json
from typing import NotRequired

from aiohttp import hdrs, web
from typing_extensions import TypedDict

from poster_service.errors import Fault, InvalidField
from poster_service.jobs.webhook_records import Message
from poster_service.jobs.webhooks import MOST_LISTED
from poster_service.web.caller import CALLER
from poster_service.web.jobs import moment
from poster_service.web.service import SERVICE

DEAD = "/webhooks/dead"
REPLAY = f"{DEAD}/{{id}}/replay"
#: Dead letters that are listed unless `limit` says otherwise.
LISTED = 100


class DeadLetter(TypedDict):
    """A webhook that no attempt could deliver."""

    id: str
    type: str
    subject: str
    url: str
    attempts: int
    outcome: str
    status: int | None
    ended: NotRequired[str]


class DeadLetters(TypedDict):
    """A caller's dead letters, the newest first."""

    dead: list[DeadLetter]


async def dead(request: web.Request) -> web.Response:
    """GET /webhooks/dead: the caller's webhooks that could not be delivered, the newest first."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    found = await service.webhooks.dead(caller, limit_of(request))
    body: DeadLetters = {"dead": [shown(one) for one in found]}
    return _answer(body)


async def replay(request: web.Request) -> web.Response:
    """POST /webhooks/dead/{id}/replay: begins with its first attempt again, under the same id."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    message = await service.webhooks.replay(request.match_info["id"], caller)
    answer = _answer(shown(message))
    answer.set_status(202)
    return answer


def routes() -> list[web.RouteDef]:
    """The routes of webhooks."""
    return [web.get(DEAD, dead), web.post(REPLAY, replay)]


def shown(message: Message) -> DeadLetter:
    """A dead letter as its caller sees it: without its headers, which may be secret."""
    found: DeadLetter = {
        "id": message.id,
        "type": message.kind,
        "subject": message.subject,
        "url": message.url,
        "attempts": message.attempts,
        "outcome": message.outcome,
        "status": message.status or None,
    }
    if (ended := moment(message.ended or None)) is not None:
        found["ended"] = ended
    return found


def limit_of(request: web.Request) -> int:
    """How many are listed at most.

    Raises:
        InvalidField: It is no number from 1 to 1,000.
    """
    given = request.query.get("limit", str(LISTED))
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= MOST_LISTED):
        raise InvalidField.of(Fault("limit", "is out of range", f"1 to {MOST_LISTED}"))
    return int(given)


def _answer(body: DeadLetter | DeadLetters) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.json_response(
        body, headers=headers, dumps=lambda value: json.dumps(value, ensure_ascii=False)
    )
