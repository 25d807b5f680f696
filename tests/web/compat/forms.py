"""Forms as other services' clients send them, and the answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.web.service import Service


@dataclass(frozen=True)
class Answered:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def kind(self) -> str:
        """The Content-Type."""
        return self.headers["Content-Type"]


def form_of(
    files: Mapping[str, str | bytes], fields: Mapping[str, Any], field: str = "files"
) -> aiohttp.FormData:
    """A form with files by their names, and fields; what is not text is sent as JSON."""
    # As most clients write them: aiohttp would escape slashes too.
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    for name, content in files.items():
        form.add_field(field, content, filename=name, content_type="application/octet-stream")
    return form


async def post(
    service: Service,
    path: str,
    files: Mapping[str, str | bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    /,
    **fields: Any,
) -> Answered:
    """POST a form."""
    url, form = service.address + path, form_of(files or {}, fields)
    async with service.client.post(url, data=form, headers=dict(headers or {})) as answer:
        return Answered(answer.status, answer.headers, await answer.read())
