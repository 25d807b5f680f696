"""From a render request to the HTTP answer with its picture, cached or painted now."""

import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

from poster_service.fetch.http_cache import directives, seconds
from poster_service.render.cache import Answer
from poster_service.render.disposition import attachment
from poster_service.render.formats import CONTENT_TYPES, OutputFormat
from poster_service.render.job import CacheControl, RenderContext
from poster_service.render.options import RenderOptions
from poster_service.render.picture import Rendered
from poster_service.render.request import RenderRequest
from poster_service.render.result import Result
from poster_service.web import stored
from poster_service.web.accept import best, preferred
from poster_service.web.bundles import MULTIPART, ZIP, boundary_of, parts, zipped
from poster_service.web.headers import SANDBOXED
from poster_service.web.pieces import PiecesResponse
from poster_service.web.result import pieces_of
from poster_service.web.service import SERVICE

JSON_TYPE = "application/json"
#: In which several outputs can be answered; the first by default.
OUTPUT_TYPES = (MULTIPART, ZIP, JSON_TYPE)
#: JSON itself is the answer, without what `RenderResult` has around it: what a client accepts as
#: `application/*` or `*/*`.
BARE_JSON = "application/*+json"
#: What `Accept` must have for a plain answer in a format, where it is not the media type itself.
PLAIN_TYPES: Mapping[OutputFormat, str] = {"elements": BARE_JSON}
ETAG_ENDS = {MULTIPART: "parts", ZIP: "zip"}


async def picture(
    request: web.Request, wanted: RenderRequest, caller: str, good_until: float | None = None
) -> web.StreamResponse:
    """Render, within the caller's quota, and answer; 304 where the caller has these bytes already.

    The answer is the picture itself, or JSON that has it where `Accept` prefers that. Several
    outputs are answered as parts, as a zip file or as JSON. What is stored or sent is answered by
    JSON without the bytes.

    Args:
        request: The HTTP request; its `Cache-Control` and `If-None-Match` are heeded.
        wanted: What to render.
        caller: The caller's name.
        good_until: When the signed address of the request expires, in seconds since the epoch;
            until then shared caches may store the picture. None if it is for this caller only.

    Raises:
        NotAcceptable: There are several outputs, and `Accept` has no type for them.
        PosterError: As `Engine.render`, or the quota is used up.
    """
    stored.check(request, wanted.options)
    is_stored = stored.is_wanted(wanted.options)
    kind = JSON_TYPE if is_stored else media_type_of(request, wanted.options)
    async with charged(request, caller) as context:
        answer = await request.app[SERVICE].engine.render(wanted, context)
    if is_stored:
        return await stored.answer(request, answer, wanted, caller)
    rendered = answer.rendered
    headers = headers_of(answer, wanted, kind)
    headers[hdrs.CACHE_CONTROL] = cache_control(answer, good_until)
    if is_known(request, headers[hdrs.ETAG]):
        return web.Response(status=304, headers=headers)
    if kind == JSON_TYPE:
        result = await Result.of(answer, wanted)
        return PiecesResponse(pieces_of(result), JSON_TYPE, headers)
    if kind == ZIP:
        return PiecesResponse(await zipped(rendered.pictures), ZIP, headers)
    if kind == MULTIPART:
        boundary = boundary_of(rendered)
        return PiecesResponse(parts(rendered), f"{MULTIPART}; boundary={boundary}", headers)
    headers[hdrs.CONTENT_TYPE] = rendered.content_type
    if wanted.options.format == "html":
        headers |= SANDBOXED
    return web.Response(body=rendered.body, headers=headers)


@asynccontextmanager
async def charged(request: web.Request, caller: str) -> AsyncIterator[RenderContext]:
    """Render inside, with this context, within the caller's quota.

    Raises:
        OverQuota: It is used up.
    """
    service = request.app[SERVICE]
    async with service.quotas.charge(caller, service.engine.admission.mean_seconds):
        yield RenderContext(caller, cache_control_of(request))


def headers_of(answer: Answer, wanted: RenderRequest, kind: str) -> dict[str, str]:
    """The headers of an answer of a media type, without its `Cache-Control`."""
    rendered = answer.rendered
    headers = {
        "Server-Timing": answer.server_timing,
        "X-Cache": answer.cache_status,
        "X-Isolation": rendered.isolation,
        hdrs.VARY: hdrs.ACCEPT,
        hdrs.ETAG: etag_of(rendered, kind),
    }
    if answer.cache_status == "hit":
        headers[hdrs.AGE] = str(answer.age)
    if wanted.options.filename is not None:
        headers[hdrs.CONTENT_DISPOSITION] = attachment(wanted.options.filename)
    if rendered.warnings:
        headers["X-Render-Warnings"] = rendered.warnings
    if (page := rendered.page) is not None:
        headers |= {"X-Page-Url": page.url, "X-Page-Status": str(page.status)}
        headers |= {"X-Page-Title": page.title} if page.title else {}
    return headers


def media_type_of(request: web.Request, options: RenderOptions) -> str:
    """The media type of the answer, as `Accept` wants it; `BARE_JSON` for plain `elements`.

    Raises:
        NotAcceptable: There are several outputs, and it has no type for them.
    """
    if options.outputs is None:
        plain = PLAIN_TYPES.get(options.format) or CONTENT_TYPES[options.format]
        return preferred(request, (JSON_TYPE,), plain)
    return best(request, OUTPUT_TYPES)


def cache_control_of(request: web.Request) -> CacheControl:
    """What the caller says about caching (RFC 9111, 5.2.1)."""
    given = directives(", ".join(request.headers.getall(hdrs.CACHE_CONTROL, ())) or None)
    max_age = seconds(given["max-age"]) if "max-age" in given else math.inf
    return CacheControl("no-cache" in given, "no-store" in given, max_age)


def cache_control(answer: Answer, good_until: float | None) -> str:
    """The `Cache-Control` of the answer.

    Shared caches may store the picture of a signed address until the address expires or the
    picture does; a picture that may come out differently next time is asked for each time.
    """
    if good_until is None:
        return "private, no-cache"
    left = int(max(0.0, min(good_until - time.time(), answer.left)))
    return f"public, max-age={answer.age + left}" if left else "public, no-cache"


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the caller has these bytes (RFC 9110, 13.1.2; weak comparison)."""
    known = request.if_none_match or ()
    opaque = etag.removeprefix("W/").strip('"')
    return any(one.value in ("*", opaque) for one in known)


def etag_of(rendered: Rendered, kind: str) -> str:
    """The ETag of an answer of a media type: other bytes, another ETag (RFC 9110, 8.8.3).

    That of JSON is weak, since times in it differ (8.8.1).
    """
    if kind == JSON_TYPE:
        return f'W/{rendered.etag[:-1]}-json"'
    return f'{rendered.etag[:-1]}-{ETAG_ENDS[kind]}"' if kind in ETAG_ENDS else rendered.etag
