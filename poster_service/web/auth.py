"""Authentication by bearer tokens; where no token is set, callers have no name.

Closed by default: a path needs a token unless it is listed here. How much a caller may use is the
matter of quotas and admission.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from poster_service.errors import Fault
from poster_service.web import fonts, get_render, signed, status, tokens
from poster_service.web.accept import wants_html
from poster_service.web.caller import CALLER
from poster_service.web.compat.api import api_of, is_open, variant_of
from poster_service.web.service import SERVICE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Paths without a token: for load balancers, orchestrators and people who look around.
OPEN = frozenset({"/", "/assets/{name}", "/docs", "/healthz", "/readyz"})
#: Paths that answer a browser with a page that needs no token, and programs with what does.
PAGES = frozenset({status.PATH, fonts.PATH})
#: Without a token too with POSTER_METRICS_UNAUTHENTICATED=1.
METRICS = frozenset({"/metrics", "/status"})
#: How a token is sent, and what is wrong without.
BEARER = Fault("Authorization", "missing bearer token", "Authorization: Bearer <token>")


@web.middleware
async def with_caller(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the caller's name into the request, or refuse the request."""
    if (variant := variant_of(request)) is not None:
        if needs_token(request):
            request[CALLER] = variant.api.caller_of(request)
        return await variant.handler(request)
    if (api := api_of(request)) is not None:
        if not is_open(request, api):
            request[CALLER] = api.caller_of(request)
    elif needs_token(request):
        request[CALLER] = caller_of(request)
    return await handler(request)


def needs_token(request: web.Request) -> bool:
    """Whether the path of a request needs a token."""
    if request.match_info.http_exception is not None:
        return False  # 404 and 405 reveal nothing that the docs do not
    name = request.match_info.route.name
    if name == signed.NAME or (name == get_render.NAME and get_render.needs_signature(request)):
        return False  # the signature is the authentication
    # By the matched route: the path as written may have percent-encoded letters.
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    if path in PAGES and wants_html(request):
        return False  # the page has no figure and no font in it: its script asks for the token
    return is_guarded(path, request.app[SERVICE].settings.metrics_unauthenticated)


def is_guarded(path: str, metrics_unauthenticated: bool) -> bool:
    """Whether the path of a route needs a token."""
    return path not in OPEN and not (metrics_unauthenticated and path in METRICS)


def caller_of(request: web.Request) -> str:
    """The name of the caller; empty where no token is set.

    Raises:
        Unauthorized: Tokens are set, and the request has none, or an unknown one.
    """
    return tokens.owner(request, bearer_token(request), BEARER)


def bearer_token(request: web.Request) -> str:
    """The token in the Authorization header (RFC 6750, 2.1); empty without exactly one."""
    given = request.headers.getall("Authorization", [])
    scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return value.strip() if scheme.lower() == "bearer" else ""
