"""What browsers are told: whose pages may read an answer (CORS), and what a page of ours may do.

CORS is off unless origins are named. There is no cookie and no other credential that a browser
would send by itself, so nothing here allows any.
"""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from poster_service.web.service import SERVICE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: A page of ours loads and runs nothing, is in nobody's frame, and sends no form anywhere.
CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
#: The page at / may send its form to us, and show the answer in a frame.
PLAYGROUND_CSP = CSP.replace("form-action 'none'", "form-action 'self'; frame-src 'self'")
PAGE_HEADERS = {
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "no-referrer",
}
#: A picture is a picture, whatever is in it; so is every other answer. And no versions are told.
EVERY_ANSWER = {"X-Content-Type-Options": "nosniff", "Server": "poster-service"}

METHODS = "GET, HEAD, POST"
ASKED_WITH = "Authorization, Cache-Control, Content-Type, If-None-Match, X-Request-Id"
READABLE = "Age, ETag, Retry-After, Server-Timing, X-Cache, X-Render-Warnings, X-Request-Id"
#: How long a browser need not ask again, in seconds; Chrome keeps it for two hours at most.
PREFLIGHT_SECONDS = 600


@web.middleware
async def with_cors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer preflights of origins that are named, and let their pages read answers."""
    origins = request.app[SERVICE].settings.cors_origins
    if not origins:
        return await handler(request)
    origin = request.headers.get(hdrs.ORIGIN, "")
    known = origin in origins
    response = preflight() if known and is_preflight(request) else await handler(request)
    # Also where it is not known, or a cache would give one origin the answer to another.
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    if known:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = READABLE
    return response


def is_preflight(request: web.Request) -> bool:
    """Whether a browser asks if it may ask."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def preflight() -> web.Response:
    """Yes: the token comes with the request itself."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ASKED_WITH,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
        },
    )


def page(text: str, policy: str = CSP) -> web.Response:
    """An HTML page of ours."""
    headers = {"Content-Security-Policy": policy, **PAGE_HEADERS}
    return web.Response(text=text, content_type="text/html", headers=headers)
