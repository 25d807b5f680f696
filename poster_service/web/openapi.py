"""GET /openapi.json: what the service promises over HTTP, as an OpenAPI 3.1 document.

Made from what the service runs on: its routes and their docstrings, the job's own schema, the error
tree and its table, the settings. What is written here is only what none of those knows: which body
a handler reads, which branches of the tree it may end in, and what it answers when all is well.
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
from poster_service.render.request import CONTENT_TYPES
from poster_service.web import forms, handlers, metrics, playground, problems, signed, status
from poster_service.web.auth import is_guarded
from poster_service.web.bodies import FORM_TYPE, HTML_TYPE, JSON_TYPE
from poster_service.web.options import job_schema, options, plain
from poster_service.web.service import SERVICE, Service

Json = dict[str, Any]
Errors = tuple[type[errors.PosterError], ...]

PROBLEM_TYPE = "application/problem+json"
#: What any address may answer, beside a fault of ours: a head too large, a request that is no
#: HTTP, one connection too many.
ANYWHERE: Errors = (errors.HeadersTooLarge, errors.BadRequest, errors.Overloaded)
RENDERING: Errors = (errors.LoadError, errors.RenderFailed, errors.OperatorError)


class Listing(TypedDict):
    """A template, as GET /templates tells it."""

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
    parameters: Callable[[Service], list[Json]] = lambda _: []
    body: Callable[[Service], Json | None] = lambda _: None


def ok(schemas: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Answered with 200, and nothing else."""
    return {200: schemas}


#: The document, with tokens and without, and for the templates there are: both may change.
MADE = web.AppKey("made", dict[tuple[bool, int], str])


async def openapi(request: web.Request) -> web.Response:
    """GET /openapi.json: this document."""
    made, service = request.app[MADE], request.app[SERVICE]
    state = bool(service.tokens.entries), service.engine.templates.generation
    if state not in made:  # it takes 10 ms and more, which nobody else should wait for twice
        made.clear()
        made[state] = json.dumps(document(request.app), ensure_ascii=False)
    return web.Response(text=made[state], content_type=JSON_TYPE)


ROUTE = web.get("/openapi.json", openapi)


def document(app: web.Application) -> Json:
    """The document of an application with its settings.

    Raises:
        KeyError: A route has a handler of which nothing is said below.
    """
    service = app[SERVICE]
    paths: dict[str, Json] = {}
    for path, method, handler in operations(app):
        identity = "_".join((method, *re.findall(r"\w+", path)))
        paths.setdefault(path, {})[method] = operation(identity, path, handler, service)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "poster-service",
            "version": __version__,
            "description": "HTML, or a template with data, to pictures. Every GET answers HEAD.",
        },
        "servers": [{"url": "."}],
        "paths": paths,
        "components": components(service),
    }


def operations(app: web.Application) -> Iterator[tuple[str, str, Any]]:
    """Path, method and handler of every route; HEAD is a part of GET."""
    for route in app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield route.resource.canonical, route.method.lower(), route.handler


def operation(identity: str, path: str, handler: Any, service: Service) -> Json:
    """One method of one path."""
    about = ABOUT[handler]
    told: Json = {
        "operationId": identity,
        "summary": summary(handler),
        "parameters": about.parameters(service),
        "responses": responses(path, about, service),
        "security": security(path, about, service),
    }
    if (body := about.body(service)) is not None:
        told["requestBody"] = body
    return told


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


# --- what is sent ------------------------------------------------------------------------------


def query(service: Service) -> list[Json]:
    """The options as parameters of an address."""
    return [
        {
            "name": name,
            "in": "query",
            "description": schema["description"],
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in options(service).items()
    ]


def status_query(_: Service) -> list[Json]:
    """In which form the status is told."""
    text = "`html` for the page; anything else for JSON. Without it, Accept decides."
    return [{"name": "format", "in": "query", "description": text, "schema": TEXT}]


def render_query(service: Service) -> list[Json]:
    """Those of POST /render, which JSON has in its body."""
    told = query(service)
    for one in told:
        one["description"] += f" With {JSON_TYPE} it belongs into the body."
    return told


def signed_parameters(service: Service) -> list[Json]:
    """Those of a signed address; `data` may also be flat, which no schema can say."""

    def parameter(name: str, text: str, required: bool = True, **schema: Any) -> Json:
        return {
            "name": name,
            "in": "path" if name == "template" else "query",
            "required": required,
            "description": text,
            "schema": {"type": "string", **schema},
        }

    name = job_schema(service)["properties"]["template"]
    text = "base64url of the data as JSON; or flat, data.title=...&data.author.name=..."
    data = parameter("data", text, required=False)
    data["examples"] = {
        one["name"]: {"value": signed.text_of(one["sample"])}
        for one in service.engine.templates.list()
    }
    return [
        parameter("template", name["description"], **plain(name)),
        data,
        parameter("key", "Name of the key that signed."),
        parameter("expires", "Until when it is good, in Unix seconds.", pattern="^[0-9]{1,12}$"),
        *query(service),
    ]


def render_body(service: Service) -> Json:
    """The three kinds of body that POST /render reads."""
    samples = {
        one["name"]: {"value": {"template": one["name"], "data": one["sample"]}}
        for one in service.engine.templates.list()
    }
    page = {"type": "string", "minLength": 1}
    return {
        "required": True,
        "description": f"Up to {service.settings.max_body_bytes} bytes, unpacked if it is gzip.",
        "content": {
            JSON_TYPE: {
                "schema": {"$ref": "#/components/schemas/RenderRequest"},
                "examples": {"html": {"value": {"html": "<h1>Hello"}}, **samples},
            },
            HTML_TYPE: {"schema": page, "example": "<h1>Hello"},
            FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "description": "The page, its files by their paths, and options; or a template,"
                    " its data in `data` or in fields `data.name`, and the pictures that it names;"
                    f" up to {service.settings.max_form_parts} service.",
                    "oneOf": [{"required": [forms.PAGE]}, {"required": ["template"]}],
                    "properties": {
                        forms.PAGE: page,
                        "template": plain(job_schema(service)["properties"]["template"]),
                        "data": {"type": "string", "contentMediaType": JSON_TYPE},
                        **options(service),
                    },
                    "additionalProperties": {"type": "string", "format": "binary"},
                }
            },
        },
    }


# --- what there is -----------------------------------------------------------------------------


def components(service: Service) -> Json:
    """Everything that is referred to."""
    schemas: Json = {"RenderRequest": job_schema(service)}
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
    "X-Request-Id": "Under which the log tells of it; the caller's own if that is plain.",
    "Server-Timing": "Where the time went, by phase.",
    "X-Render-Warnings": "What the page went without, by address, and what else went wrong in it.",
    "Retry-After": "Whole seconds after which trying again is sensible.",
    "WWW-Authenticate": "RFC 6750.",
    "Cache-Control": "What the caller's own caches may do.",
    "ETag": "Strong, of the bytes.",
    "X-Cache": "`hit`, `coalesced`, `miss` or `bypass`.",
    "Age": "Seconds since the picture was painted.",
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


TEXT: Json = {"type": "string"}
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
