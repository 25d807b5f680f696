"""From a job to the HTTP answer with its picture, whether painted now or kept from before."""

import math
import time

from aiohttp import hdrs, web

from poster_service.fetch.http_cache import directives, seconds
from poster_service.render.cache import Answer, CacheControl
from poster_service.render.request import RenderRequest
from poster_service.web.parts import PARTS


async def picture(
    request: web.Request, job: RenderRequest, caller: str, good_until: float | None = None
) -> web.Response:
    """Render, within the caller's quota, and answer; 304 where the caller has these bytes already.

    Args:
        request: Asks for it; its `Cache-Control` and `If-None-Match` are heeded.
        job: What to render.
        caller: Whose it is.
        good_until: How long the address it was asked by is good, in seconds since the epoch, if
            anybody with that address may have it; None if it is for this caller only.

    Raises:
        PosterError: As `RenderCache.get`, or the quota is used up.
    """
    parts = request.app[PARTS]
    with parts.quotas.one(caller, parts.admission.mean_seconds):
        answer = await parts.results.get(job, caller, wish_of(request))
    rendered = answer.rendered
    headers = {
        "Server-Timing": answer.timing,
        "X-Cache": answer.word,
        hdrs.ETAG: rendered.etag,
        hdrs.CACHE_CONTROL: cache_control(answer, good_until),
    }
    if answer.word == "hit":
        headers[hdrs.AGE] = str(answer.age)
    if rendered.warnings:
        headers["X-Render-Warnings"] = rendered.warnings
    if is_known(request, rendered.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=rendered.body, content_type=rendered.content_type, headers=headers)


def wish_of(request: web.Request) -> CacheControl:
    """What the caller says of caching."""
    said = directives(", ".join(request.headers.getall(hdrs.CACHE_CONTROL, ())) or None)
    max_age = seconds(said["max-age"]) if "max-age" in said else math.inf
    return CacheControl("no-cache" in said, "no-store" in said, max_age)


def cache_control(answer: Answer, good_until: float | None) -> str:
    """What the caller's own caches may do.

    A signed address is the same for all who have it, and good as long as it is, if its picture is
    good as long; one that may come out differently next time is asked for each time.
    """
    if good_until is None:
        return "private, no-cache"
    left = int(max(0.0, min(good_until - time.time(), answer.left)))
    return f"public, max-age={answer.age + left}" if left else "public, no-cache"


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the caller has these bytes (RFC 9110, 13.1.2; weak comparison)."""
    known = request.if_none_match or ()
    return any(one.value in ("*", etag.strip('"')) for one in known)
