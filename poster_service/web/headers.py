"""Headers for browsers: CORS, and the content security policy of our own pages.

CORS is off unless POSTER_CORS_ORIGINS is set. The service uses no cookie and no other credential
that a browser sends by itself, so credentials are not allowed.
"""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from poster_service.web.service import SERVICE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Our pages load their own files only, send requests to this service only, cannot be framed, and
#: send no form.
SCRIPTED_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "no-referrer",
}
#: A page of a caller's, which must not run as one of this service: an opaque origin, no scripts.
SANDBOXED = {"Content-Security-Policy": "sandbox", "Referrer-Policy": "no-referrer"}
#: No response is sniffed for another type, and no version is disclosed.
EVERY_ANSWER = {"X-Content-Type-Options": "nosniff", "Server": "poster-service"}

METHODS = "GET, HEAD, POST"
ASKED_WITH = (
    "Authorization, Cache-Control, Content-Type, If-None-Match, X-Request-Id, traceparent,"
    " tracestate"
)
READABLE = (
    "Age, Content-Disposition, ETag, Retry-After, Server-Timing, X-Cache, X-Isolation,"
    " X-Page-Status, X-Page-Title, X-Page-Url, X-Render-Warnings, X-Request-Id"
)
#: How long a browser may cache a preflight, in seconds; Chrome caches two hours at most.
PREFLIGHT_SECONDS = 600


@web.middleware
async def with_cors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer preflights of the allowed origins, and let their pages read responses."""
    origins = request.app[SERVICE].settings.cors_origins
    if not origins:
        return await handler(request)
    origin = request.headers.get(hdrs.ORIGIN, "")
    known = origin in origins
    response = preflight() if known and is_preflight(request) else await handler(request)
    # For unknown origins too, or a cache would serve one origin the response to another.
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    if known:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = READABLE
    return response


def is_preflight(request: web.Request) -> bool:
    """Whether it is a CORS preflight."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def preflight() -> web.Response:
    """The response to a preflight; the token comes with the request itself."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ASKED_WITH,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
        },
    )


def studio_csp(nonce: str) -> str:
    """The policy of the page at /: it may send its form here, and show what comes back in a frame.

    Args:
        nonce: Of the one style sheet that the editor writes into the page.
    """
    return SCRIPTED_CSP.replace("style-src 'self'", f"style-src 'self' 'nonce-{nonce}'").replace(
        "form-action 'none'", "form-action 'self'; frame-src 'self' blob:"
    )


def page(text: str, policy: str) -> web.Response:
    """A response with an HTML page of our own."""
    headers = {"Content-Security-Policy": policy, **PAGE_HEADERS}
    return web.Response(text=text, content_type="text/html", headers=headers)
