"""Requests to a compatible API, and what came back."""

from dataclasses import dataclass
from typing import Any

from tests.web.service import Service


@dataclass(frozen=True)
class Answered:
    """An answer whose body is read.

    Attributes:
        status: Of HTTP.
        headers: By name in lower case.
        body: Its bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        return self.headers["content-type"].partition(";")[0]


async def send(service: Service, method: str, path: str, **more: Any) -> Answered:
    """Any request; `more` as for aiohttp."""
    async with service.client.request(method, service.address + path, **more) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answered(answer.status, headers, await answer.read())


async def post_json(service: Service, path: str, **body: Any) -> Answered:
    """POST with a JSON body."""
    return await send(service, "POST", path, json=body)
