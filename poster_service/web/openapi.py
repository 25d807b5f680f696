"""GET /openapi.json: what the service promises over HTTP, as an OpenAPI 3.1 document.

Made from what the service runs on: its routes and their docstrings, the declared options
(openapi_requests.py), the error tree and its table, the settings. Written here is only what none of
those knows: which body a handler reads, which errors it may end in, and what it answers otherwise.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from poster_service import __version__, errors
from poster_service.render.json_schema import Json
from poster_service.render.options import CONTENT_TYPES
from poster_service.render.request import RenderRequest
from poster_service.web import handlers, metrics, playground, problems, signed, status
from poster_service.web.auth import is_guarded
from poster_service.web.bodies import HTML_TYPE, JSON_TYPE
from poster_service.web.openapi_requests import (
    TEXT,
    Described,
    render_body,
    render_query,
    signed_parameters,
    status_query,
)
from poster_service.web.service import SERVICE, Service

Errors = tuple[type[errors.PosterError], ...]

PROBLEM_TYPE = "application/problem+json"
#: What any address may answer, beside a fault of ours: a head too large, a request that is no
#: HTTP, one connection too many.
ANYWHERE: Errors = (errors.HeadersTooLarge, errors.BadRequest, errors.Overloaded)
RENDERING: Errors = (errors.LoadError, errors.RenderFailed, errors.OperatorError)


class Listing(TypedDict):
    """A template, as GET /templates lists it."""

    name: str
    title: str
    description: str
    width: int | None
    height: int | None
    schema: Json
    sample: Json


class FaultyFolder(TypedDict):
    """A template folder with mistakes; `in_use` if its version before them still serves."""

    name: str
    in_use: bool
    mistakes: list[str]


class Listings(TypedDict):
    """Every template, and every folder of one that has mistakes."""

    templates: list[Listing]
    faults: list[FaultyFolder]


@dataclass(frozen=True)
class Operation:
    """What a handler reads and answers.

    Attributes:
        answers: Content by status, where all is well: a schema for each media type.
        raises: Branches of the error tree that it may end in, beside those of any address.
        never: Leaves of those that it cannot end in.
        headers: Headers of the answer where all is well, beside those of any answer.
        parameters: Of the address.
        body: What may be sent.
    """

    answers: Mapping[int, Mapping[str, Any]]
    raises: Errors = ()
    never: Errors = ()
    headers: tuple[str, ...] = ()
    parameters: Callable[[Described], list[Json]] = lambda _: []
    body: Callable[[Described], Json | None] = lambda _: None


def ok(schemas: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Answered with 200, and nothing else."""
    return {200: schemas}


#: The document, with tokens and without, and for the templates there are: both may change.
MADE = web.AppKey("made", dict[tuple[bool, int], str])


async def openapi(request: web.Request) -> web.Response:
    """GET /openapi.json: this document."""
    made, service = request.app[MADE], request.app[SERVICE]
    state = bool(service.tokens.entries), service.engine.templates.generation
    if state not in made:  # 10 ms or more of the event loop
        made.clear()
        made[state] = json.dumps(document(request.app), ensure_ascii=False)
    return web.Response(text=made[state], content_type=JSON_TYPE)


ROUTE = web.get("/openapi.json", openapi)


def document(app: web.Application, kind: type[RenderRequest] = RenderRequest) -> Json:
    """The document of an application with its settings.

    Raises:
        KeyError: A route has a handler that `ABOUT` lacks.
    """
    described = Described(app[SERVICE], kind)
    paths: dict[str, Json] = {}
    for path, method, handler in operations(app):
        identity = "_".join((method, *re.findall(r"\w+", path)))
        paths.setdefault(path, {})[method] = operation(identity, path, handler, described)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "poster-service",
            "version": __version__,
            "description": "HTML, or a template with data, to pictures. Every GET answers HEAD.",
        },
        "servers": [{"url": "."}],
        "paths": paths,
        "components": components(described),
    }


def operations(app: web.Application) -> Iterator[tuple[str, str, Any]]:
    """Path, method and handler of every route; HEAD is a part of GET."""
    for route in app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield route.resource.canonical, route.method.lower(), route.handler


def operation(identity: str, path: str, handler: Any, described: Described) -> Json:
    """One method of one path."""
    about = ABOUT[handler]
    found: Json = {
        "operationId": identity,
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
    return [{"bearer": []}] if asks_token(path, service) else []


# --- what is answered --------------------------------------------------------------------------


def responses(path: str, about: Operation, service: Service) -> Json:
    """Every status that there may be."""
    found: Json = {}
    for code, content in about.answers.items():
        found[str(code)] = {
            "description": HTTPStatus(code).phrase,
            "headers": header_references("X-Request-Id", *about.headers),
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
    if about is not SIGNED and asks_token(path, service):
        raised.add(errors.Unauthorized)
    found: dict[int, list[type[errors.PosterError]]] = {problems.INTERNAL[0]: [errors.PosterError]}
    for leaf in sorted(raised, key=lambda one: one.__name__):
        found.setdefault(status_of(leaf)[0], []).append(leaf)
    return found


def leaves(kind: type[errors.PosterError]) -> Iterator[type[errors.PosterError]]:
    """Every class of the tree below one, itself if there is none."""
    below = [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    if not below:
        yield kind
    for one in below:
        yield from leaves(one)


def status_of(kind: type[errors.PosterError]) -> tuple[int, str]:
    """Status and title of an error's class."""
    return problems.status_of(kind("")) if kind is not errors.PosterError else problems.INTERNAL


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
        "description": "; ".join(titles),
        "headers": header_references(*names),
        "content": {PROBLEM_TYPE: {"schema": schema}},
    }


def header_references(*names: str) -> Json:
    """Headers by name."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


# --- what there is -----------------------------------------------------------------------------


def components(described: Described) -> Json:
    """Everything that is referred to."""
    schemas: Json = {"RenderRequest": described.request()}
    for kind in (problems.Problem, handlers.Health, handlers.Readiness, Listings):
        made = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
        schemas |= made.pop("$defs", {})
        schemas[kind.__name__] = made
    return {
        "schemas": schemas,
        "headers": {
            name: {"description": text, "required": name in ALWAYS, "schema": {"type": "string"}}
            for name, text in HEADERS.items()
        },
        "securitySchemes": SCHEMES,
    }


HEADERS = {
    "X-Request-Id": "The id of the request in the log; the caller's own if it sent a plain one.",
    "Server-Timing": "Where the time went, by phase.",
    "X-Render-Warnings": "Subresources that failed, by address, and other faults of the page.",
    "Retry-After": "Whole seconds after which to try again.",
    "WWW-Authenticate": "The scheme of the token that is asked for (RFC 6750).",
    "Cache-Control": "How long the caller's own caches may use the picture.",
    "ETag": "Strong validator of the picture's bytes.",
    "X-Cache": "Whether the picture comes from the cache: `hit`, `coalesced`, `miss`, `bypass`.",
    "Age": "Seconds since the cached picture was rendered.",
}
#: Those that are there whenever they may be.
ALWAYS = frozenset((
    "X-Request-Id", "Retry-After", "WWW-Authenticate", "Cache-Control", "ETag", "X-Cache",
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

#: A picture is bytes: OpenAPI 3.1 says so by saying nothing.
PICTURE: Mapping[str, Any] = {kind: {} for kind in CONTENT_TYPES.values()}
PICTURE_HEADERS = (
    "Server-Timing", "X-Render-Warnings", "ETag", "X-Cache", "Age", "Cache-Control"
)  # fmt: skip
#: 304 to whom has it already, by `If-None-Match`.
PICTURES: Mapping[int, Mapping[str, Any]] = {200: PICTURE, 304: {}}
SIGNED = Operation(
    PICTURES,
    (errors.CallerError, *RENDERING),
    never=(
        errors.Unauthorized,
        errors.BodyTooLarge,
        errors.BodyTooSlow,
        errors.UnsupportedMediaType,
        errors.FormTooComplex,
        errors.CrossOriginForm,
    ),
    headers=PICTURE_HEADERS,
    parameters=signed_parameters,
)


def reference(kind: type) -> Json:
    """A schema that `components` has."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


READINESS = {JSON_TYPE: reference(handlers.Readiness)}
ABOUT: dict[Any, Operation] = {
    handlers.render: Operation(
        PICTURES,
        (errors.CallerError, *RENDERING),
        never=(errors.Unauthorized, errors.Forbidden),
        headers=PICTURE_HEADERS,
        parameters=render_query,
        body=render_body,
    ),
    signed.render: SIGNED,
    handlers.templates: Operation(ok({JSON_TYPE: reference(Listings)})),
    handlers.healthz: Operation(ok({JSON_TYPE: reference(handlers.Health)})),
    handlers.readyz: Operation({200: READINESS, 503: READINESS}),
    playground.index: Operation(ok({"text/plain": TEXT, HTML_TYPE: TEXT})),
    status.status: Operation(
        ok({JSON_TYPE: {"type": "object"}, HTML_TYPE: TEXT}), parameters=status_query
    ),
    metrics.metrics: Operation(ok({"text/plain": TEXT})),
    openapi: Operation(ok({JSON_TYPE: {"type": "object"}})),
}
