"""What OpenAPI says of browserless' routes."""

import re
from http import HTTPStatus

from poster_service.render.json_schema import Json, plain_schema
from poster_service.web.compat.browserless.management import Management
from poster_service.web.compat.browserless.query import TRACKING_ID
from poster_service.web.compat.browserless.rendering import Kind
from poster_service.web.openapi_requests import TEXT, parameter

TEXT_TYPE, JSON_TYPE = "text/plain", "application/json"
#: Statuses of all that may go wrong; each has a text.
REFUSALS = (400, 401, 403, 404, 406, 408, 413, 415, 421, 429, 431, 500, 503)


def rendering(kind: Kind) -> Json:
    """A route that renders."""
    schema = plain_schema(kind.body)
    return {
        "summary": kind.summary,
        "parameters": [
            parameter("timeout", "Of the render, in ms.", False, pattern=r"^[0-9]{1,9}$"),
            parameter("launch", "Launch options of puppeteer: JSON, or base64 of it.", False),
            parameter("blockAds", "Is not supported.", False, enum=["false"]),
            parameter("trackingId", "Of the session.", False, pattern=TRACKING_ID),
        ],
        "requestBody": {"required": True, "content": {JSON_TYPE: {"schema": schema}}},
        "responses": {"200": _response(200, {media: {} for media in kind.content}), **_refusals()},
    }


def management(path: str, about: Management) -> Json:
    """A route for operators; its docstring says what it answers."""
    summary = (about.__doc__ or "").partition(": ")[2].partition("\n")[0]
    content: Json = {JSON_TYPE: {}, TEXT_TYPE: {"schema": TEXT}}
    status = 204 if path == "/active" else 200
    more = [parameter("trackingId", "Of the session.", required=False)]
    return {
        "summary": summary[:1].upper() + summary[1:],
        "parameters": more if path == "/sessions" else [],
        "responses": {
            str(status): _response(status, content if status == 200 else {}),
            **_refusals(),
        },
    }


def absent(path: str) -> Json:
    """A route that is not there and says so."""
    names = re.findall(r"{(\w+)}", path)
    return {
        "summary": "Is not there, and says why.",
        "parameters": [{**parameter(name, "Any."), "in": "path"} for name in names],
        "responses": _refusals(),
    }


def _response(status: int, content: Json) -> Json:
    described = {"description": HTTPStatus(status).phrase}
    return described | ({"content": content} if content else {})


def _refusals() -> Json:
    text: Json = {TEXT_TYPE: {"schema": TEXT}}
    return {str(status): _response(status, text) for status in REFUSALS}
