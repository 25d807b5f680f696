"""From a render request to the HTTP answer with its picture, cached or painted now."""

import math
import time

from aiohttp import hdrs, web

from poster_service.fetch.http_cache import directives, seconds
from poster_service.render.cache import Answer
from poster_service.render.job import CacheControl, RenderContext
from poster_service.render.request import RenderRequest
from poster_service.web.service import SERVICE


async def picture(
    request: web.Request, wanted: RenderRequest, caller: str, good_until: float | None = None
) -> web.Response:
    """Render, within the caller's quota, and answer; 304 where the caller has these bytes already.

    Args:
        request: The HTTP request; its `Cache-Control` and `If-None-Match` are heeded.
        wanted: What to render.
        caller: The caller's name.
        good_until: When the signed address of the request expires, in seconds since the epoch;
            until then caches may give the picture to anybody. None if it is for this caller only.

    Raises:
        PosterError: As `Engine.render`, or the quota is used up.
    """
    service = request.app[SERVICE]
    async with service.quotas.charge(caller, service.engine.admission.mean_seconds):
        context = RenderContext(caller, cache_control_of(request))
        answer = await service.engine.render(wanted, context)
    rendered = answer.rendered
    headers = {
        "Server-Timing": answer.server_timing,
        "X-Cache": answer.cache_status,
        hdrs.ETAG: rendered.etag,
        hdrs.CACHE_CONTROL: cache_control(answer, good_until),
    }
    if answer.cache_status == "hit":
        headers[hdrs.AGE] = str(answer.age)
    if rendered.warnings:
        headers["X-Render-Warnings"] = rendered.warnings
    if is_known(request, rendered.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=rendered.body, content_type=rendered.content_type, headers=headers)


def cache_control_of(request: web.Request) -> CacheControl:
    """What the caller says about caching (RFC 9111, 5.2.1)."""
    given = directives(", ".join(request.headers.getall(hdrs.CACHE_CONTROL, ())) or None)
    max_age = seconds(given["max-age"]) if "max-age" in given else math.inf
    return CacheControl("no-cache" in given, "no-store" in given, max_age)


def cache_control(answer: Answer, good_until: float | None) -> str:
    """The `Cache-Control` of the answer.

    The picture of a signed address may be cached by anybody until the address expires or the
    picture does; a picture that may come out differently next time is asked for each time.
    """
    if good_until is None:
        return "private, no-cache"
    left = int(max(0.0, min(good_until - time.time(), answer.left)))
    return f"public, max-age={answer.age + left}" if left else "public, no-cache"


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the caller has these bytes (RFC 9110, 13.1.2; weak comparison)."""
    known = request.if_none_match or ()
    return any(one.value in ("*", etag.strip('"')) for one in known)
