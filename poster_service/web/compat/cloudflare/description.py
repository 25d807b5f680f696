"""What OpenAPI says of Browser Run's routes."""

import re
from http import HTTPStatus
from typing import Any

from poster_service.render.json_schema import Json, plain_schema
from poster_service.web.compat.cloudflare.rendering import MAX_TTL, Kind
from poster_service.web.openapi_requests import parameter

JSON_TYPE = "application/json"
#: Statuses of all that may go wrong; each has the envelope.
REFUSALS = (400, 401, 403, 404, 408, 413, 415, 421, 422, 429, 431, 500, 501, 502, 503, 504)
ERROR: Json = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
}


def envelope(**properties: Any) -> Json:
    """The schema of an answer in JSON."""
    return {
        "type": "object",
        "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": {"type": "boolean"},
            "errors": {"type": "array", "items": ERROR},
            "messages": {"type": "array"},
            **properties,
        },
    }


def rendering(path: str, kind: Kind) -> Json:
    """A route that renders."""
    ttl = parameter(
        "cacheTTL", f"Seconds to cache the answer for, up to {MAX_TTL}; 0 is never.", required=False
    )
    content: Json = {media: {} for media in kind.content}
    if not content:
        content = {JSON_TYPE: {"schema": envelope(success={"const": True})}}
    return {
        "summary": kind.summary,
        "parameters": [
            *_of_path(path),
            ttl | {"schema": {"type": "string", "pattern": "^[0-9]+$"}},
        ],
        "requestBody": {
            "required": True,
            "content": {JSON_TYPE: {"schema": plain_schema(kind.body)}},
        },
        "responses": {"200": _response(200, content), **_refusals()},
    }


def absent(path: str) -> Json:
    """A route that is not there and says so."""
    return {
        "summary": "Is not there, and says why.",
        "parameters": _of_path(path),
        "responses": _refusals(),
    }


def _of_path(path: str) -> list[Json]:
    names = re.findall(r"{(\w+)}", path)
    return [{**parameter(name, "Any."), "in": "path"} for name in names]


def _response(status: int, content: Json) -> Json:
    return {"description": HTTPStatus(status).phrase, "content": content}


def _refusals() -> Json:
    schema = envelope(success={"const": False})
    return {str(one): _response(one, {JSON_TYPE: {"schema": schema}}) for one in REFUSALS}
