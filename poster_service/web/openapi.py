"""GET /openapi.json: what the service promises over HTTP, as an OpenAPI 3.1 document.

Made from what the service runs on: its routes and their docstrings, the declared options
(openapi_requests.py), the error tree and its table, the settings; and the table of operations
(openapi_operations.py), which has what none of those knows.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from poster_service import __version__, errors
from poster_service.jobs.records import JobRequest
from poster_service.problems import INTERNAL
from poster_service.problems import status_of as problem_status
from poster_service.render.json_schema import Json
from poster_service.render.request import RenderRequest
from poster_service.single_flight import Flights
from poster_service.web import (
    batches,
    fonts,
    get_render,
    handlers,
    jobs,
    problems,
    signed,
    webhooks,
)
from poster_service.web.auth import is_guarded
from poster_service.web.bodies import JSON_TYPE
from poster_service.web.compat.api import COMPAT, CompatibleApi
from poster_service.web.incoming import LARGE, beside
from poster_service.web.openapi_operations import (
    ABOUT,
    BY_QUERY,
    PAGES,
    SIGNED,
    Errors,
    Listings,
    Operation,
    ok,
)
from poster_service.web.openapi_requests import (
    Described,
)
from poster_service.web.result import ElementsResult, OutputsResult, RenderResult
from poster_service.web.service import SERVICE, Service
from poster_service.web.stored import StoredOutputs, StoredRender

PROBLEM_TYPE = "application/problem+json"
#: What any address may answer, beside a fault of ours: a head too large, a request that is no
#: HTTP, one connection too many.
ANYWHERE: Errors = (errors.HeadersTooLarge, errors.BadRequest, errors.Overloaded)


class CachedDocument:
    """The document as JSON, until the tokens or the templates change."""

    def __init__(self) -> None:
        self._state: tuple[bool, int] | None = None
        self._text = ""
        self._flights: Flights[str, None] = Flights()

    async def text(self, app: web.Application) -> str:
        """The document of an application as it is now; requests at the same time share the work."""
        service = app[SERVICE]
        state = bool(service.tokens.entries), service.engine.templates.generation
        if state == self._state:
            return self._text
        flight = self._flights.find(state) or self._flights.start(state, self._make(app), None)
        with flight.aboard() as task:
            await asyncio.wait({task})
            text = self._text = task.result()
        self._state = state
        return text

    async def _make(self, app: web.Application) -> str:
        """Create it in a thread: renders must not wait for half a second of CPU."""
        return await beside(LARGE, lambda: json.dumps(document(app), ensure_ascii=False))


DOCUMENT = web.AppKey("document", CachedDocument)


async def openapi(request: web.Request) -> web.Response:
    """GET /openapi.json: this document."""
    text = await request.app[DOCUMENT].text(request.app)
    return web.Response(text=text, content_type=JSON_TYPE)


ROUTE = web.get("/openapi.json", openapi)
OPERATIONS = {**ABOUT, openapi: Operation(ok({JSON_TYPE: {"type": "object"}}), tag=PAGES)}


def document(app: web.Application, kind: type[RenderRequest] = RenderRequest) -> Json:
    """The document of an application with its settings.

    Raises:
        KeyError: A route has a handler that `OPERATIONS` lacks.
    """
    described = Described(app[SERVICE], kind)
    paths: dict[str, Json] = {}
    for path, method, handler in operations(app):
        identity = "_".join((method, *re.findall(r"\w+", path)))
        api = app[COMPAT].get(path)
        paths.setdefault(path, {})[method] = (
            operation(identity, path, handler, described)
            if api is None
            else {
                "operationId": identity,
                "tags": [api.name],
                **api.operation(path, method, described),
            }
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "poster-service",
            "version": __version__,
            "description": "HTML, or a template with data, to pictures. Every GET answers HEAD.",
        },
        "servers": [{"url": "."}],
        "paths": paths,
        "components": components(described, app[COMPAT].values()),
    }


def operations(app: web.Application) -> Iterator[tuple[str, str, Any]]:
    """Path, method and handler of every route; HEAD is a part of GET."""
    for route in app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield route.resource.canonical, route.method.lower(), route.handler


def operation(identity: str, path: str, handler: Any, described: Described) -> Json:
    """One method of one path."""
    about = OPERATIONS[handler]
    found: Json = {
        "operationId": identity,
        "tags": [about.tag],
        "summary": summary(handler),
        "parameters": about.parameters(described),
        "responses": responses(path, about, described.service),
        "security": security(path, about, described.service),
    }
    if (body := about.body(described)) is not None:
        found["requestBody"] = body
    return found


def summary(handler: Any) -> str:
    """The first line of its docstring, without the address that it begins with."""
    line = (handler.__doc__ or "").strip().splitlines()[0]
    text = line.partition(": ")[2] or line
    return text[:1].upper() + text[1:]


# --- who may -----------------------------------------------------------------------------------


def asks_token(path: str, service: Service) -> bool:
    """Whether this service wants a token there."""
    return bool(service.tokens.entries) and is_guarded(
        path, service.settings.metrics_unauthenticated
    )


def security(path: str, about: Operation, service: Service) -> list[Json]:
    """A signature, a token, or nothing."""
    if about is SIGNED:
        return [{"signature": []}]
    if about is BY_QUERY:
        ways: list[Json] = [{"signature": []}] if get_render.signs(service.settings) else []
        if service.settings.get_render:
            ways.append({"bearer": []} if asks_token(path, service) else {})
        return ways
    return [{"bearer": []}] if asks_token(path, service) else []


# --- what is answered --------------------------------------------------------------------------


def responses(path: str, about: Operation, service: Service) -> Json:
    """Every status that there may be."""
    found: Json = {}
    for code, content in about.answers.items():
        found[str(code)] = {
            "description": HTTPStatus(code).phrase,
            "headers": header_references(
                "X-Request-Id", *about.headers_of.get(code, about.headers)
            ),
            "content": {kind: {"schema": schema} for kind, schema in content.items()},
        }
    for code, kinds in sorted(refusals(path, about, service).items()):
        nowhere = ("http_404",) if code == 404 and "{" in path else ()  # no name that could be
        refusal = problem_response(code, kinds, nowhere)
        if str(code) in found:  # an answer of its own, and a refusal of the same status
            refusal["content"] |= found[str(code)]["content"]
            refusal["headers"].pop("Retry-After", None)
        found[str(code)] = refusal
    return found


def refusals(
    path: str, about: Operation, service: Service
) -> dict[int, list[type[errors.PosterError]]]:
    """The leaves that an operation may end in, by status."""
    raised = {leaf for kind in about.raises + ANYWHERE for leaf in leaves(kind)}
    raised = {leaf for leaf in raised if not issubclass(leaf, about.never)}
    if about is not SIGNED and {"bearer": []} in security(path, about, service):
        raised.add(errors.Unauthorized)
    found: dict[int, list[type[errors.PosterError]]] = {INTERNAL[0]: [errors.PosterError]}
    for leaf in sorted(raised, key=lambda one: one.__name__):
        found.setdefault(status_of(leaf)[0], []).append(leaf)
    if "{" in path:
        found.setdefault(404, [])  # there may be nothing of that name
    return found


def leaves(kind: type[errors.PosterError]) -> Iterator[type[errors.PosterError]]:
    """Every class of the tree below one, itself if there is none."""
    below = [
        one for one in kind.__subclasses__() if one.__module__.startswith(f"{errors.__name__}.")
    ]
    if not below:
        yield kind
    for one in below:
        yield from leaves(one)


def status_of(kind: type[errors.PosterError]) -> tuple[int, str]:
    """Status and title of an error's class."""
    return problem_status(kind("")) if kind is not errors.PosterError else INTERNAL


def problem_response(
    code: int, kinds: list[type[errors.PosterError]], more: tuple[str, ...]
) -> Json:
    """A refusal of one status, with the codes that it may have."""
    titles = dict.fromkeys(status_of(kind)[1] for kind in kinds)
    codes = list(dict.fromkeys((*(kind.code for kind in kinds), *more)))
    names = ["X-Request-Id"]
    names += ["Retry-After"] if code in (429, 503) else []
    names += ["WWW-Authenticate"] if code == 401 else []
    if any(issubclass(kind, errors.RenderFailed) for kind in kinds):
        names += ["Server-Timing", "X-Render-Warnings"]
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"status": {"const": code}, "code": {"enum": codes}}},
        ]
    }
    return {
        "description": "; ".join(titles) or HTTPStatus(code).phrase,
        "headers": header_references(*names),
        "content": {PROBLEM_TYPE: {"schema": schema}},
    }


def header_references(*names: str) -> Json:
    """Headers by name."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


# --- what there is -----------------------------------------------------------------------------


def components(described: Described, apis: Iterable[CompatibleApi]) -> Json:
    """Everything that is referred to, by the operations of other services' APIs as well."""
    schemas: Json = {
        "RenderRequest": described.request(),
        "JobRequest": replace(described, kind=JobRequest).request(),
    }
    pictures = (RenderResult, OutputsResult, ElementsResult, StoredRender, StoredOutputs)
    answers = (
        *(*pictures, jobs.JobAnswer, *batches.ANSWERS, webhooks.DeadLetters),
        *(handlers.Health, handlers.Readiness),
    )
    for kind in (problems.Problem, *answers, Listings, fonts.FontListing):
        made = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
        schemas |= made.pop("$defs", {})
        schemas[kind.__name__] = made
    return {
        "schemas": schemas,
        "headers": {
            name: {"description": text, "required": name in ALWAYS, "schema": {"type": "string"}}
            for name, text in HEADERS.items()
        },
        "securitySchemes": {**SCHEMES, **{k: v for api in apis for k, v in api.schemes.items()}},
    }


HEADERS = {
    "X-Request-Id": "The id of the request in the log; the caller's own if it sent a plain one.",
    "Server-Timing": "Where the time went, by phase.",
    "X-Render-Warnings": "Subresources that failed, by address, and other faults of the page.",
    "Retry-After": "Whole seconds after which to try again.",
    "Location": "The address of the job or batch.",
    "WWW-Authenticate": "The scheme of the token that is asked for (RFC 6750).",
    "Cache-Control": "How long the caller's own caches may use the picture.",
    "ETag": "Strong validator of the picture's bytes.",
    "X-Cache": "Whether the picture comes from the cache: `hit`, `coalesced`, `miss`, `bypass`.",
    "X-Isolation": "What the render shared with others: `process` (nothing), `context`, `page`.",
    "X-Page-Url": "Where a page at a `url` came from, after redirects.",
    "X-Page-Status": "The HTTP status of that page.",
    "X-Page-Title": "Its title, percent-encoded.",
    "Age": "Seconds since the cached picture was rendered.",
    "Vary": "`Accept`: the same address answers pictures and JSON.",
    "Content-Disposition": "The name to save it under, where the request has `filename`.",
}
#: Those that are there whenever they may be.
ALWAYS = frozenset((
    "X-Request-Id", "Retry-After", "WWW-Authenticate", "Cache-Control", "ETag", "X-Cache",
    "X-Isolation", "Vary",
))  # fmt: skip
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "signature": {
        "type": "apiKey",
        "in": "query",
        "name": "signature",
        "description": " ".join((signed.__doc__ or "").split()),
    },
}
