"""A receiver of webhooks that verifies what it gets with the `standardwebhooks` package."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from tests.conftest import settled
from tests.unit.fetching import serving


def new_secret(letter: str = "k", length: int = 32) -> str:
    """A secret whose bytes are all the same."""
    return "whsec_" + base64.b64encode(letter.encode() * length).decode()


@dataclass
class Delivery:
    """One request that came.

    Attributes:
        line: Method and path.
        headers: By name in lower case.
        body: Its bytes.
    """

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Of the message."""
        return self.headers["webhook-id"]

    @property
    def seconds(self) -> int:
        """When it was sent."""
        return int(self.headers["webhook-timestamp"])

    @property
    def message(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)

    def verified(self, secret: str) -> Any:
        """The message, checked as a receiver does that knows one secret."""
        return Webhook(secret).verify(self.body, self.headers)

    def is_signed_with(self, secret: str) -> bool:
        """Whether a receiver that knows only this secret accepts it."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


@dataclass
class Answer:
    """What is answered to one request; after the last one the receiver answers 204."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class WebhookReceiver:
    """A server that takes webhooks.

    Attributes:
        address: Of its root.
        got: All that came, in the order in which it came.
        answers: For the next requests.
        held: While it is not set, no request is answered.
    """

    address: str = ""
    got: list[Delivery] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take a request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        line = f"{request.method} {request.path_qs}"
        self.got.append(Delivery(line, headers, await request.read()))
        answer = self.answers.pop(0) if self.answers else Answer()
        await self.held.wait()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def wait_for(self, number: int, seconds: float = 60.0) -> list[Delivery]:
        """Wait until so many requests have come; all of them."""
        assert await settled(lambda: len(self.got) >= number, seconds)
        return self.got


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[WebhookReceiver]:
    """A receiver that runs while inside."""
    found = WebhookReceiver()
    found.held.set()
    async with serving(found.answer) as found.address:
        yield found
        found.held.set()
