"""What is known of a render that has succeeded, beside its bytes.

Built of the answer of the cache and the request, so that a picture out of the cache is described as
one that was just painted. Only an answer of JSON and a stored result pay for it.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote

from poster_service.render.cache import Answer
from poster_service.render.dimensions import Dimensions, dimensions
from poster_service.render.request import RenderRequest
from poster_service.render.visit import PageInfo
from poster_service.render.warnings import parsed

_TIMING = re.compile(r"([a-z_]+);dur=([0-9.]+)")


@dataclass(frozen=True)
class Encoded:
    """A picture, PDF or text, and what its bytes are.

    Attributes:
        body: The bytes.
        format: As the option `format` has it.
        content_type: Its media type.
        etag: The strong ETag of the bytes, with quotes.
        size: How large it is.
    """

    body: bytes
    format: str
    content_type: str
    etag: str
    size: Dimensions

    @classmethod
    async def of(cls, body: bytes, encoding: str, content_type: str, etag: str) -> Self:
        """Bytes and what they are; looks into them in a thread."""
        size = await asyncio.to_thread(dimensions, body, encoding)
        return cls(body, encoding, content_type, etag, size)

    def known(self) -> dict[str, Any]:
        """All but the bytes, as JSON has it."""
        return {
            "format": self.format,
            "content_type": self.content_type,
            **self.size.known(),
            "bytes": len(self.body),
            "etag": self.etag.strip('"'),
        }


@dataclass(frozen=True)
class Result:
    """What is known of a render that has succeeded.

    Attributes:
        encoded: The picture, PDF or text, or all outputs.
        names: Of the outputs; "" where there is one picture only.
        etag: The ETag of all of them, with quotes.
        cache: How the cache took part, as `X-Cache` says.
        age: Whole seconds since it was painted.
        isolation: The isolation level at which it was painted.
        filename: The name to save it under; None without one.
        warnings: What the picture lacks: of each `warning`, its kind, and its parameters.
        timing_ms: How long each phase of this answer took, in milliseconds.
        page: What is reported of a page on the web; None of any other.
    """

    encoded: tuple[Encoded, ...]
    names: tuple[str, ...]
    etag: str
    cache: str
    age: int
    isolation: str
    filename: str | None
    warnings: tuple[Mapping[str, str | int], ...]
    timing_ms: Mapping[str, float]
    page: PageInfo | None = None

    @classmethod
    async def of(cls, answer: Answer, wanted: RenderRequest) -> Self:
        """What is known of an answer to a request."""
        rendered, options = answer.rendered, wanted.options
        return cls(
            encoded=tuple(
                [
                    await Encoded.of(one.body, one.format, one.content_type, one.etag)
                    for one in rendered.pictures
                ]
            ),
            names=options.names,
            etag=rendered.etag,
            cache=answer.cache_status,
            age=answer.age,
            isolation=rendered.isolation,
            filename=options.filename,
            warnings=tuple(parsed(rendered.warnings)),
            timing_ms={name: float(took) for name, took in _TIMING.findall(answer.server_timing)},
            page=rendered.page,
        )

    def about(self) -> dict[str, Any]:
        """All but the picture, as JSON has it."""
        page = self.page
        about = (
            {"page": {"url": page.url, "status": page.status, "title": unquote(page.title)}}
            if page
            else {}
        )
        return {
            **about,
            "cache": self.cache,
            "age": self.age,
            "isolation": self.isolation,
            "filename": self.filename,
            "warnings": list(self.warnings),
            "timing_ms": dict(self.timing_ms),
        }
