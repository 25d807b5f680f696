"""From an HTTP request to a render job: JSON, or HTML with its options in the query."""

import json
from typing import Any

import aiohttp
from aiohttp import web

from poster_service.errors import (
    BadRequest,
    BodyTooLarge,
    Fault,
    InvalidField,
    UnsupportedMediaType,
)
from poster_service.render.job import Limits, RenderJob

JSON_TYPE = "application/json"
HTML_TYPE = "text/html"


async def read_job(request: web.Request, limits: Limits) -> RenderJob:
    """The job a POST /render asks for.

    Raises:
        CallerError: Of the branch that says what is wrong with it.
    """
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind == JSON_TYPE:
        if request.query:
            first = next(iter(request.query))
            raise InvalidField.of(
                Fault(first, "options belong into the JSON body, not the query", "no query")
            )
        return RenderJob.parse(_json(await _body(request)), limits)
    if kind == HTML_TYPE:
        options = _query(request)
        options["html"] = _text(await _body(request), request.charset)
        return RenderJob.parse(options, limits, strict=False)
    raise UnsupportedMediaType.of(
        Fault("Content-Type", f"{kind or 'none'} is not supported", f"{JSON_TYPE}, {HTML_TYPE}")
    )


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise BodyTooLarge.of(
            Fault("", "the body is too large", f"up to {request.app[MAX_BODY]} bytes")
        ) from error
    except (aiohttp.ClientPayloadError, web.RequestPayloadError) as error:
        raise BadRequest.of(
            Fault("", "the body cannot be decoded", "a body of the Content-Encoding it names")
        ) from error


MAX_BODY = web.AppKey("max_body", int)


def _query(request: web.Request) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in options:
            raise InvalidField.of(Fault(name, "is given more than once", "once"))
        if name in ("html", "template", "data"):
            raise InvalidField.of(
                Fault(name, "the body is the page already", "templates are asked for with JSON")
            )
        options[name] = value
    return options


def _json(raw: bytes) -> object:
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        # A lone surrogate is legal in JSON and in no encoding that a page could have.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest.of(Fault("", "the body is not UTF-8", "JSON in UTF-8")) from error
    except UnicodeEncodeError as error:
        raise BadRequest.of(
            Fault("", "the body holds half a character", "JSON in UTF-8")
        ) from error
    except RecursionError as error:
        raise BadRequest.of(Fault("", "the body is nested too deeply", "JSON")) from error
    except ValueError as error:
        raise BadRequest.of(Fault("", f"the body is not JSON: {error}", "JSON")) from error
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _text(raw: bytes, charset: str | None) -> str:
    try:
        return raw.decode(charset or "utf-8")
    except (ValueError, LookupError) as error:
        raise BadRequest.of(
            Fault("", f"the body is not {charset or 'utf-8'}", "HTML in the charset it names")
        ) from error
