"""Who asks: a bearer token by name, or nobody in particular where no token is set.

Closed by default: an address needs a token unless it is named here. It decides who somebody is and
whether they may come in; what they may use up is for quotas and admission.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from poster_service.credentials import owner_of
from poster_service.errors import Fault, Unauthorized
from poster_service.web import signed
from poster_service.web.caller import CALLER
from poster_service.web.service import SERVICE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Where load balancers, orchestrators and lost people come; nothing there is anybody's.
OPEN = frozenset({"/", "/healthz", "/readyz"})
#: Open too with POSTER_METRICS_UNAUTHENTICATED=1.
METRICS = frozenset({"/metrics", "/status"})
HOW = "Authorization: Bearer <token>"


@web.middleware
async def with_caller(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the caller, or refuse."""
    if needs_token(request):
        request[CALLER] = caller_of(request)
    return await handler(request)


def needs_token(request: web.Request) -> bool:
    """Whether this address is for holders of a token only."""
    if request.match_info.http_exception is not None:
        return False  # there is no such address: 404 and 405 tell nothing that the README does not
    if request.match_info.route.name == signed.NAME:
        return False  # it is for whoever has an address that is signed
    # By what was matched and not by what was written, in which an encoded letter may hide.
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    return is_guarded(path, request.app[SERVICE].settings.metrics_unauthenticated)


def is_guarded(path: str, open_metrics: bool) -> bool:
    """Whether an address, as it is in the routes, is for holders of a token only."""
    return path not in OPEN and not (open_metrics and path in METRICS)


def caller_of(request: web.Request) -> str:
    """The name of the caller.

    Raises:
        Unauthorized: There are tokens, and this is none of them.
    """
    tokens = request.app[SERVICE].tokens.entries
    if not tokens:
        return ""
    given = request.headers.getall("Authorization", [])
    scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not value.strip():
        raise Unauthorized.of(Fault("Authorization", "a token is needed", HOW))
    owner = owner_of(tokens, value.strip())
    if owner is None:
        refusal = Unauthorized.of(Fault("Authorization", "that token is none of ours", HOW))
        refusal.sent = True
        raise refusal
    return owner
