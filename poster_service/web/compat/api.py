"""What another service's API is to the rest of the HTTP layer: routes, tokens, errors, OpenAPI."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import hdrs, web

from poster_service.errors import PosterError, Unauthorized
from poster_service.render.json_schema import Json
from poster_service.web import problems
from poster_service.web.accept import preferred
from poster_service.web.openapi_requests import Described

JSON_TYPE = "application/json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CompatibleApi(ABC):
    """Another service's API.

    Attributes:
        name: As POSTER_COMPAT names it.
        open_paths: Paths of its routes that need no token.
        id_header: The header that has the id of a request and of its answer; "" for none but ours.
        schemes: OpenAPI's Security Scheme Objects of it, by name.
    """

    name: ClassVar[str]
    open_paths: ClassVar[frozenset[str]] = frozenset()
    id_header: ClassVar[str] = ""
    schemes: ClassVar[Mapping[str, Json]] = {}

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Its routes; none may be a route of this service."""

    def variants(self) -> Mapping[str, Handler]:
        """Handlers by the path of a route of this service, for a GET that would rather have JSON.

        For what the other API has under the same path, in another form.
        """
        return {}

    @abstractmethod
    def caller_of(self, request: web.Request) -> str:
        """The name of the caller, by the token as this API's clients send it.

        Raises:
            Unauthorized: Tokens are set, and there is none, or an unknown one.
        """

    @abstractmethod
    def answer(self, request: web.Request, error: PosterError, request_id: str) -> web.Response:
        """The response for an error, in the form that this API's clients expect.

        It must not say more than the error's own sentence, and nothing of an `OperatorError`.
        """

    @abstractmethod
    def operation(self, path: str, method: str, described: Described) -> Json:
        """What OpenAPI says of one of its routes: an Operation Object (OpenAPI 3.1, 4.8.10).

        Args:
            path: As the route has it, with its parameters in braces.
            method: In lower case.
            described: The service with its settings.
        """


@dataclass(frozen=True)
class Variant:
    """What another API answers at a path of this service."""

    api: CompatibleApi
    handler: Handler


#: By the path of a route of this service.
VARIANTS = web.AppKey("variants", Mapping[str, Variant])
#: The API of each route that is not of this service, by the route's path.
COMPAT = web.AppKey("compat", Mapping[str, CompatibleApi])


def api_of(request: web.Request) -> CompatibleApi | None:
    """The API whose route a request matched; None for this service's own, and for none."""
    if (variant := variant_of(request)) is not None:
        return variant.api
    resource = request.match_info.route.resource
    return None if resource is None else request.app[COMPAT].get(resource.canonical)


def variant_of(request: web.Request) -> Variant | None:
    """What another API answers instead of the route that a request matched; None for nothing."""
    resource = request.match_info.route.resource
    found = request.app[VARIANTS].get(resource.canonical) if resource is not None else None
    if found is None or preferred(request, (JSON_TYPE,), "text/plain") != JSON_TYPE:
        return None
    return found


def error_headers(error: PosterError, status: int) -> dict[str, str]:
    """Headers of the response for an error, where callers send a bearer token.

    Args:
        error: What the response is for.
        status: Of the response; 429 and 503 say when to try again (RFC 9110, 10.2.3).
    """
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    elif status in (429, 503):
        headers[hdrs.RETRY_AFTER] = "5"
    if isinstance(error, Unauthorized):
        headers[hdrs.WWW_AUTHENTICATE] = problems.CHALLENGE
    if error.server_timing:
        headers["Server-Timing"] = error.server_timing
    if error.warnings:
        headers["X-Render-Warnings"] = error.warnings
    return headers


def is_open(request: web.Request, api: CompatibleApi) -> bool:
    """Whether the route that a request of this API matched needs no token."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in api.open_paths
