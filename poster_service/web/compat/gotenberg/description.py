"""What OpenAPI says of Gotenberg's routes, from the tables of their fields."""

import re
from collections.abc import Mapping

from poster_service.render.json_schema import Json
from poster_service.web.compat.gotenberg import fields
from poster_service.web.compat.gotenberg.downloads import NAME as DOWNLOADS
from poster_service.web.openapi_requests import Described

TEXT: Json = {"type": "string"}
FILE: Json = {"type": "string", "format": "binary"}
#: Where all is well, and what may be refused, by status.
PICTURES = ("image/png", "image/jpeg", "image/webp")
REFUSALS: Mapping[int, str] = {
    400: "The form, or a value in it, is wrong; or the page cannot be rendered as asked",
    403: "The page, a file or a webhook is denied by the network policy, or the form is of another"
    " origin",
    408: "The body came too slowly",
    409: "One of the failOn fields applies",
    413: "The body is too large",
    415: "The body is not multipart/form-data",
    421: "The Host header is not a name of this service",
    429: "The queue is full, or the caller's quota is used up",
    431: "The headers are too large",
    500: "The render failed",
    501: "PDF engines are not here",
    503: "The time is over, or the service is stopping",
}
ID = {"Gotenberg-Trace": {"$ref": "#/components/headers/X-Request-Id"}}


def operation(path: str, about: str, described: Described) -> Json:
    """The Operation Object of a route.

    Args:
        path: Of the route.
        about: The docstring of its handler.
        described: The service.
    """
    summary = " ".join(about.split()).partition(": POST")[0].rstrip(".")
    found: Json = {
        "tags": ["gotenberg"],
        "summary": f"Gotenberg: {summary[:1].lower()}{summary[1:]}",
        "responses": {"200": _answered(path), **_refusals(path, described)},
        "security": _security(path, described),
    }
    if path.startswith("/forms/chromium/"):
        found["requestBody"] = _body(path)
    elif path.startswith("/forms/"):
        del found["responses"]["200"]
        parameter = {"name": "path", "in": "path", "required": True, "schema": TEXT}
        found["parameters"] = [parameter]
    return found


def _answered(path: str) -> Json:
    kinds: tuple[str, ...] = ("text/plain",)
    if path.startswith("/forms/"):
        kinds = ("application/pdf",) if "/convert/" in path else PICTURES
    if path == "/health":
        kinds = ("application/json",)
    return {"description": "OK", "headers": ID, "content": {kind: {} for kind in kinds}}


def _refusals(path: str, described: Described) -> Json:
    statuses: dict[int, str] = {400: "Malformed request", 421: REFUSALS[421], 431: REFUSALS[431],
                                500: "Internal error", 503: REFUSALS[503]}  # fmt: skip
    if path.startswith("/forms/"):
        statuses = {**REFUSALS}
    if path.startswith("/forms/{"):
        statuses[404] = "Not one of the routes that are here"
    if _security(path, described):
        statuses[401] = "User or password is wrong"
    kinds = ("text/plain", "application/problem+json", "application/json")
    return {
        str(status): {"description": text, "content": {kind: {} for kind in kinds}}
        for status, text in sorted(statuses.items())
    }


def _security(path: str, described: Described) -> list[Json]:
    service = described.service
    is_open = path == "/health" or (
        path == "/prometheus/metrics" and service.settings.metrics_unauthenticated
    )
    return [{"basic": []}] if service.tokens.entries and not is_open else []


def _body(path: str) -> Json:
    kind = path.rpartition("/")[2]
    table = fields.PDF if "/convert/" in path else fields.SCREENSHOT
    properties: Json = {
        name: {**one.schema, "description": one.about + _default(one.shown)}
        for name, one in {**fields.COMMON, **table}.items()
    }
    properties[DOWNLOADS] = {
        **fields.JSON,
        "description": "Files that the service fetches: a list of `url` and `extraHttpHeaders`.",
    }
    if kind == "url":
        properties["url"] = {**TEXT, "description": "Address of the page."}
        required = ["url"]
    else:
        more = ", `header.html` and `footer.html`" if "/convert/" in path else ""
        properties["files"] = {
            "type": "array",
            "items": FILE,
            "description": f"`index.html`{more} and files of the page, known by their file names.",
        }
        required = ["files"]
    schema = {"type": "object", "required": required, "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _default(shown: str) -> str:
    plain = re.sub(r"\.$", "", shown)
    return f" Default: {plain}." if plain else ""
