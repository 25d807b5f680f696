"""Which caller a token is of, however it came: as a bearer token, as a password, in the query."""

from aiohttp import web

from poster_service.credentials import owner_of
from poster_service.errors import Fault, Unauthorized
from poster_service.web.service import SERVICE


def are_needed(request: web.Request) -> bool:
    """Whether this service has tokens; without any, callers have no name."""
    return bool(request.app[SERVICE].tokens.entries)


def owner(request: web.Request, token: str, way: Fault) -> str:
    """The name of the caller that a token is of; empty where no token is set.

    Args:
        request: Of the service that has the tokens.
        token: As it was sent; empty if none was.
        way: The header or parameter for it, what its absence is called, and how to send one.

    Raises:
        Unauthorized: Tokens are set, and there is none here, or an unknown one.
    """
    if not are_needed(request):
        return ""
    if not token:
        raise Unauthorized.of(way)
    found = owner_of(request.app[SERVICE].tokens.entries, token)
    if found is None:
        refusal = Unauthorized.of(Fault(way.field, "unknown token", way.allowed))
        refusal.sent = True
        raise refusal
    return found
