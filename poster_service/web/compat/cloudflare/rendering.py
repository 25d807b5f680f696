"""The routes of Browser Run that render: from the HTTP request to the answer for its clients.

Each is the JSON body checked, translated, rendered, and what came of it put as Browser Run does.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pybase64
from aiohttp import hdrs, web

from poster_service.errors import Fault, InvalidField
from poster_service.render.cache import Answer
from poster_service.render.request import Limits
from poster_service.web import media_type
from poster_service.web.bodies import JSON_TYPE, read_json, unsupported
from poster_service.web.caller import CALLER
from poster_service.web.compat import rendering
from poster_service.web.compat.cloudflare import results, translation
from poster_service.web.compat.cloudflare.bodies import (
    Links,
    Page,
    Pdf,
    Scrape,
    Screenshot,
    Snapshot,
)
from poster_service.web.compat.cloudflare.markdown import Converter
from poster_service.web.compat.puppeteer.bodies import read
from poster_service.web.incoming import beside
from poster_service.web.room import check_room
from poster_service.web.service import SERVICE

#: Seconds for which an answer may be cached, where the query does not say, and the most.
DEFAULT_TTL, MAX_TTL = 5, 86_400
_TTL = re.compile(r"[0-9]{1,9}(\.0{1,9})?\Z", re.ASCII)
#: Seconds in which a document must have become Markdown.
MARKDOWN_SECONDS = 20.0
NO_TREE = "accessibilityTree is not supported: this service makes no accessibility trees"


@dataclass(frozen=True)
class Rendered:
    """What a route answers with.

    Attributes:
        body: As it was read.
        answer: What was rendered.
        converter: To Markdown.
    """

    body: Any
    answer: Answer
    converter: Converter

    @property
    def address(self) -> str:
        """Of a page on the web; "" of any other."""
        page = self.answer.rendered.page
        return page.url if page else ""

    def output(self, name: str) -> bytes:
        """The bytes of one of several outputs."""
        return next(one.body for one in self.answer.rendered.pictures if one.name == name)


@dataclass(frozen=True)
class Kind:
    """One of the routes that render.

    Attributes:
        path: Its last step.
        summary: What it answers.
        body: What it takes.
        options: From that to options of POST /render.
        names: Browser Run's names of the options.
        respond: The response.
        content: Media types of its bytes; empty for the envelope.
    """

    path: str
    summary: str
    body: type[Page]
    options: Callable[[Any, Limits], dict[str, Any]]
    names: Mapping[str, str]
    respond: Callable[[Rendered], Awaitable[web.Response]]
    content: tuple[str, ...] = ()


async def _picture(made: Rendered) -> web.Response:
    body, kind = await beside(
        len(made.answer.rendered.body), results.picture, made.body, made.answer
    )
    return web.Response(body=body, content_type=kind, headers=results.headers_of(made.answer))


async def _as_it_is(made: Rendered) -> web.Response:
    rendered = made.answer.rendered
    return web.Response(
        body=rendered.body,
        content_type=rendered.content_type,
        headers=results.headers_of(made.answer),
    )


async def _enveloped(made: Rendered, result: object) -> web.Response:
    size, headers = made.answer.rendered.size, results.headers_of(made.answer)
    return await results.success(result, size, headers, results.meta_of(made.answer.rendered))


async def _content(made: Rendered) -> web.Response:
    return await _enveloped(made, made.answer.rendered.body.decode())


async def _markdown(made: Rendered) -> web.Response:
    return await _enveloped(made, await _converted(made, made.answer.rendered.body))


async def _scraped(made: Rendered) -> web.Response:
    body = made.answer.rendered.body
    return await _enveloped(made, await beside(len(body), results.scraped, body))


async def _links(made: Rendered) -> web.Response:
    body = made.answer.rendered.body
    found = await beside(len(body), results.links, body, made.body, made.address)
    return await _enveloped(made, found)


async def _snapshot(made: Rendered) -> web.Response:
    formats, found = made.body.formats, {}
    if "content" in formats:
        found["content"] = made.output("content").decode()
    if "screenshot" in formats:
        picture = made.output("screenshot")
        found["screenshot"] = await beside(len(picture), pybase64.b64encode_as_string, picture)
    if "markdown" in formats:
        found["markdown"] = await _converted(made, made.output("content"))
    return await _enveloped(made, found)


async def _converted(made: Rendered, html: bytes) -> str:
    return await made.converter.markdown_of(html, made.address, MARKDOWN_SECONDS)


KINDS = (
    Kind("screenshot", "A picture of a page.", Screenshot, translation.picture, translation.NAMES,
         _picture, ("image/png", "image/jpeg", "image/webp", "text/plain")),
    Kind("pdf", "A PDF of a page.", Pdf, translation.printed, translation.PRINT_NAMES, _as_it_is,
         ("application/pdf",)),
    Kind("content", "The document of a page.", Page, translation.content, translation.NAMES,
         _content),
    Kind("snapshot", "The document of a page and a picture of it.", Snapshot, translation.snapshot,
         translation.SNAPSHOT_NAMES, _snapshot),
    Kind("scrape", "What is in elements of a page.", Scrape, translation.scraped,
         translation.SCRAPE_NAMES, _scraped),
    Kind("links", "The links of a page.", Links, translation.links, translation.NAMES, _links),
    Kind("markdown", "A page as Markdown.", Page, translation.content, translation.NAMES,
         _markdown),
)  # fmt: skip


async def render(request: web.Request, kind: Kind, converter: Converter) -> web.Response:
    """Answer a request of one of these routes.

    Raises:
        PosterError: As `compat.rendering.render`, or the query or the body is wrong.
    """
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    if media_type.parse(request.headers.get(hdrs.CONTENT_TYPE, "")).name != JSON_TYPE:
        raise unsupported(request.headers.getall(hdrs.CONTENT_TYPE, ()), (JSON_TYPE,))
    ttl = cache_ttl(request)
    check_room(request, service, caller)
    body = read(kind.body, await read_json(request))
    if isinstance(body, Snapshot) and "accessibilityTree" in body.formats:
        return results.failure(501, 501, NO_TREE, {})
    options = kind.options(body, service.engine.limits) | {"cache_ttl": ttl}
    answer = await rendering.render(request, options, kind.names)
    return await kind.respond(Rendered(body, answer, converter))


def cache_ttl(request: web.Request) -> int:
    """For how many seconds the answer may be cached; 0 is never.

    Raises:
        InvalidField: It is no number, or too large.
    """
    text = request.query.get("cacheTTL", "")
    if not text:
        return DEFAULT_TTL
    seconds = int(float(text)) if _TTL.match(text) else -1
    if not 0 <= seconds <= MAX_TTL:
        raise InvalidField.of(Fault("cacheTTL", "is not allowed", f"0 to {MAX_TTL}"))
    return seconds
