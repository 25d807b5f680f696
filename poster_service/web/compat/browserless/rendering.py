"""The routes of browserless that render: from the HTTP request to the answer for its clients.

Each is the JSON body checked, translated, rendered, and the bytes with browserless' headers.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pybase64
from aiohttp import hdrs, web

from poster_service.logs import request_id
from poster_service.render.cache import Answer
from poster_service.render.request import Limits
from poster_service.web import media_type
from poster_service.web.bodies import JSON_TYPE, read_json
from poster_service.web.caller import CALLER
from poster_service.web.compat import rendering
from poster_service.web.compat.browserless.query import read_parameters
from poster_service.web.compat.browserless.sessions import Session, Sessions
from poster_service.web.compat.browserless.texts import (
    SCRAPE_NAMES,
    as_scraped,
    content_options,
    scrape_options,
)
from poster_service.web.compat.puppeteer.bodies import (
    Content,
    Page,
    Pdf,
    Scrape,
    Screenshot,
    read,
)
from poster_service.web.compat.puppeteer.parameters import Parameters
from poster_service.web.compat.puppeteer.printing import PDF_NAMES, print_options
from poster_service.web.compat.puppeteer.translation import (
    NAMES,
    PICTURE_NAMES,
    screenshot_options,
)
from poster_service.web.headers import SANDBOXED
from poster_service.web.incoming import beside
from poster_service.web.room import check_room
from poster_service.web.service import SERVICE

#: The answer to a body of another type, for which browserless has no route.
NOT_JSON = "Not Found: the body must be sent with Content-Type: application/json"
#: Characters of an address in X-Response-URL.
MAX_ADDRESS = 1_000


@dataclass(frozen=True)
class Kind:
    """One of the routes that render.

    Attributes:
        path: Its last step.
        summary: What it answers.
        body: What it takes.
        options: From that to options of POST /render.
        names: browserless' names of the options.
        content: Media types that it answers.
        respond: From the body and the answer to the response's body and media type.
    """

    path: str
    summary: str
    body: type[Page]
    options: Callable[[Any, Parameters, Limits], dict[str, Any]]
    names: Mapping[str, str]
    content: tuple[str, ...]
    respond: Callable[[Any, Answer], tuple[bytes, str]]


def picture(body: Screenshot, answer: Answer) -> tuple[bytes, str]:
    """A picture, or its base64 as text."""
    rendered = answer.rendered
    if body.options is not None and body.options.encoding == "base64":
        return pybase64.b64encode(rendered.body), "text/plain; charset=utf-8"
    return rendered.body, rendered.content_type


def as_it_is(_: Page, answer: Answer) -> tuple[bytes, str]:
    """What was rendered."""
    return answer.rendered.body, answer.rendered.content_type


KINDS = (
    Kind("screenshot", "A picture of a page.", Screenshot, screenshot_options, PICTURE_NAMES,
         ("image/png", "image/jpeg", "image/webp", "text/plain"), picture),
    Kind("pdf", "A PDF of a page.", Pdf, print_options, PDF_NAMES, ("application/pdf",), as_it_is),
    Kind("content", "The document of a page, after its scripts.", Content, content_options, NAMES,
         ("text/html",), as_it_is),
    Kind("scrape", "What is in elements of a page.", Scrape, scrape_options, SCRAPE_NAMES,
         ("application/json",), as_scraped),
)  # fmt: skip


async def render(request: web.Request, kind: Kind, sessions: Sessions) -> web.Response:
    """Answer a request of one of these routes.

    Raises:
        PosterError: As `compat.rendering.render`, or the query or the body is wrong.
    """
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    if media_type.parse(request.headers.get(hdrs.CONTENT_TYPE, "")).name != JSON_TYPE:
        return web.Response(status=404, text=NOT_JSON)
    parameters = read_parameters(request)
    check_room(request, service, caller)
    body = read(kind.body, await read_json(request))
    options = kind.options(body, parameters, service.engine.limits)
    session = Session(request_id.get(), caller, parameters.tracking_id, int(time.time() * 1000))
    busy = service.engine.admission.statistics().running >= service.settings.concurrency
    with sessions.running(session, is_queued=busy):
        answer = await rendering.render(request, options, kind.names)
    size = len(answer.rendered.body)
    content, content_type = await beside(size, kind.respond, body, answer)
    headers = headers_of(answer) | {hdrs.CONTENT_TYPE: content_type}
    return web.Response(body=content, headers=headers)


def headers_of(answer: Answer) -> dict[str, str]:
    """The headers that browserless has for a page on the web, and this service's own."""
    rendered = answer.rendered
    found = {
        "Server-Timing": answer.server_timing,
        "X-Cache": answer.cache_status,
        "X-Isolation": rendered.isolation,
        hdrs.CACHE_CONTROL: "private, no-cache",
    }
    if rendered.pictures[0].format == "html":
        found |= SANDBOXED
    if rendered.warnings:
        found["X-Render-Warnings"] = rendered.warnings
    if (page := rendered.page) is not None:
        found |= {
            "X-Response-Code": str(page.status),
            "X-Response-Status": _phrase(page.status),
            "X-Response-URL": page.url[:MAX_ADDRESS],
        }
    return found


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
