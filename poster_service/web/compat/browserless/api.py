"""browserless 2: its routes, tokens, errors and OpenAPI."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from aiohttp import web

from poster_service import errors, problems
from poster_service.errors import Fault, PosterError, Unauthorized
from poster_service.quoting import quoted
from poster_service.render.json_schema import Json
from poster_service.web import tokens
from poster_service.web.auth import bearer_token
from poster_service.web.compat.api import CompatibleApi, error_headers
from poster_service.web.compat.browserless import description, management
from poster_service.web.compat.browserless.management import Management
from poster_service.web.compat.browserless.rendering import KINDS, Kind, render
from poster_service.web.compat.browserless.sessions import Sessions
from poster_service.web.incoming import expect_later
from poster_service.web.openapi_requests import Described

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Each route that renders is there under these, too: there is one Chrome behind all of them.
PREFIXES = ("", "/chromium", "/chrome")
MANAGEMENT: Mapping[str, Management] = {
    "/active": management.active,
    "/pressure": management.pressure,
    "/config": management.config,
    "/metrics/total": management.metrics_total,
    "/sessions": management.listed,
    "/meta": management.meta,
}
#: What is not there, and why; each under every prefix.
ABSENT = {
    "function": "runs callers' code outside of a page, which this service does not",
    "download": "runs callers' code outside of a page, which this service does not",
    "performance": "needs Lighthouse, which this service does not have",
    "unblock": "is of browserless' cloud",
    "json/version": "leads to Chrome's debugger, which callers cannot reach here",
    "json/list": "leads to Chrome's debugger, which callers cannot reach here",
    "json/new": "leads to Chrome's debugger, which callers cannot reach here",
    "json/protocol": "leads to Chrome's debugger, which callers cannot reach here",
}
BY_QUERY = "browserlessToken"
KILL = "ends sessions by name; here a render ends when its caller closes the connection"
ONLY_POST = "takes POST only: GET with ?body= is off, as with ALLOW_GET=false"
#: How a token is sent, and what is wrong without.
WAY = Fault("token", "missing token", "?token=<token>, or Authorization: Bearer <token>")

#: Statuses where they differ from those of this service's own API; of the nearest ancestor.
STATUSES: Mapping[type[PosterError], int] = {
    errors.FetchDenied: 403,
    errors.RenderTimeout: 408,
    errors.Stopping: 503,
    errors.Overloaded: 429,
    errors.RenderFailed: 500,
    errors.OperatorError: 500,
}


class Browserless(CompatibleApi):
    """browserless 2's HTTP API."""

    name: ClassVar[str] = "browserless"
    schemes: ClassVar[Mapping[str, Json]] = {
        BY_QUERY: {"type": "apiKey", "in": "query", "name": "token"}
    }

    def __init__(self) -> None:
        self._sessions = Sessions()

    def routes(self) -> list[web.RouteDef]:
        """Those that render, those for operators, and those that are not there and say so."""
        found = []
        for prefix in PREFIXES:
            for kind in KINDS:
                path = f"{prefix}/{kind.path}"
                found.append(web.post(path, self._rendering(kind), expect_handler=expect_later))
                found.append(web.get(path, _absent(path, ONLY_POST)))
            for name, reason in ABSENT.items():
                path = f"{prefix}/{name}"
                found += [web.route(m, path, _absent(path, reason)) for m in ("GET", "POST", "PUT")]
        for path, about in MANAGEMENT.items():
            found.append(web.get(path, self._managing(about)))
        return [*found, web.get("/kill/{id}", _absent("/kill", KILL))]

    def variants(self) -> Mapping[str, Handler]:
        """GET /metrics as JSON."""
        return {"/metrics": self._managing(management.metrics)}

    def caller_of(self, request: web.Request) -> str:
        """By `?token=`, or by a bearer token."""
        given = request.query.getall("token", [])
        token = given[0] if len(given) == 1 else "" if given else bearer_token(request)
        try:
            return tokens.owner(request, token, WAY)
        except Unauthorized:
            self._sessions.unauthorized += 1
            raise

    def answer(self, request: web.Request, error: PosterError, request_id: str) -> web.Response:
        """A text, with the status that browserless has."""
        status = status_of(error)
        headers = error_headers(error, status)
        return web.Response(status=status, text=text_of(error), headers=headers)

    def operation(self, path: str, method: str, described: Described) -> Json:
        """What it takes and answers, as far as JSON Schema can say it."""
        has_tokens = bool(described.service.tokens.entries)
        ways: list[Json] = [{"bearer": []}, {BY_QUERY: []}] if has_tokens else []
        found: Json = {"tags": [self.name], "security": ways}
        last = path.rpartition("/")[2]
        kind = next((one for one in KINDS if one.path == last), None)
        if method == "post" and kind is not None:
            return found | description.rendering(kind)
        if (about := MANAGEMENT.get(path)) is not None:
            return found | description.management(path, about)
        return found | description.absent(path)

    def _rendering(self, kind: Kind) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            return await render(request, kind, self._sessions)

        return handler

    def _managing(self, about: Management) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            return await about(request, self._sessions)

        return handler


def status_of(error: PosterError) -> int:
    """The status of browserless for an error: 400 for all that the caller has to change."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    own, _ = problems.status_of(error)
    return 400 if own == 422 else own


def text_of(error: PosterError) -> str:
    """The text of an error, in browserless' words where it has its own."""
    if isinstance(error, Unauthorized):
        return "Bad or missing authentication."
    if isinstance(error, errors.OperatorError):
        return problems.status_of(error)[1]
    if isinstance(error, errors.BadRequest):
        return f"Couldn't parse JSON body: {quoted(str(error), problems.MOST_DETAIL)}"
    if isinstance(error, errors.SelectorNotFound):
        return f"Element not found on page! {quoted(str(error), problems.MOST_DETAIL)}"
    if isinstance(error, errors.InvalidField) and error.faults:
        is_query = error.faults[0].field.startswith("?")  # as `query` marks them
        where = "Query-parameter" if is_query else "POST Body"
        return f"{where} validation failed: " + "\n".join(map(_line, error.faults))
    return quoted(str(error), problems.MOST_DETAIL)


def _line(fault: Fault) -> str:
    """A fault as a line: the property by browserless' name, and what is wrong."""
    named = fault.field.removeprefix("?")
    field = re.sub(r"_([a-z])", lambda found: found[1].upper(), named)
    text = f'"{field}" {fault.message}' if field else fault.message
    return f"{text} (allowed: {fault.allowed})" if fault.allowed else text


def _absent(path: str, reason: str) -> Handler:
    async def absent(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text=f"Not Found: {path} {reason}")

    return absent
