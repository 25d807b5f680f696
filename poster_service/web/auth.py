"""Authentication by bearer tokens; where no token is set, callers have no name.

Closed by default: a path needs a token unless it is listed here. How much a caller may use is the
matter of quotas and admission.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from poster_service.credentials import owner_of
from poster_service.errors import Fault, Unauthorized
from poster_service.web import signed
from poster_service.web.caller import CALLER
from poster_service.web.service import SERVICE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Paths without a token: for load balancers, orchestrators and people who look around.
OPEN = frozenset({"/", "/healthz", "/readyz"})
#: Without a token too with POSTER_METRICS_UNAUTHENTICATED=1.
METRICS = frozenset({"/metrics", "/status"})
HOW = "Authorization: Bearer <token>"


@web.middleware
async def with_caller(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the caller's name into the request, or refuse the request."""
    if needs_token(request):
        request[CALLER] = caller_of(request)
    return await handler(request)


def needs_token(request: web.Request) -> bool:
    """Whether the path of a request needs a token."""
    if request.match_info.http_exception is not None:
        return False  # 404 and 405 reveal nothing that the docs do not
    if request.match_info.route.name == signed.NAME:
        return False  # the signature is the authentication
    # By the matched route: the path as written may have percent-encoded letters.
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    return is_guarded(path, request.app[SERVICE].settings.metrics_unauthenticated)


def is_guarded(path: str, metrics_unauthenticated: bool) -> bool:
    """Whether the path of a route needs a token."""
    return path not in OPEN and not (metrics_unauthenticated and path in METRICS)


def caller_of(request: web.Request) -> str:
    """The name of the caller; empty where no token is set.

    Raises:
        Unauthorized: Tokens are set, and the request has none, or an unknown one.
    """
    tokens = request.app[SERVICE].tokens.entries
    if not tokens:
        return ""
    given = request.headers.getall("Authorization", [])
    scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not value.strip():
        raise Unauthorized.of(Fault("Authorization", "missing bearer token", HOW))
    owner = owner_of(tokens, value.strip())
    if owner is None:
        refusal = Unauthorized.of(Fault("Authorization", "unknown token", HOW))
        refusal.sent = True
        raise refusal
    return owner
