"""The one table that turns an error into an HTTP answer: problem+json (RFC 9457).

A test walks the tree in `errors.py` and finds no leaf without a line here. Nothing internal leaves
through here: only the public sentence, the stable code, the faults.
"""

import json
from collections.abc import Iterable
from typing import Any, NotRequired

from aiohttp import web
from typing_extensions import TypedDict

from poster_service import errors
from poster_service.quoting import quoted

#: Characters of `detail`; whatever it quotes of a caller or a page is shorter.
MOST_DETAIL = 1000

#: Status and title by class; the nearest ancestor decides.
TABLE: dict[type[errors.PosterError], tuple[int, str]] = {
    errors.BadRequest: (400, "The request cannot be read"),
    errors.InvalidField: (400, "An option is not as it must be"),
    errors.UnknownTemplate: (404, "There is no such template"),
    errors.InvalidData: (422, "The data does not fit the template's schema"),
    errors.BodyTooLarge: (413, "The body is too large"),
    errors.BodyTooSlow: (408, "The body did not come in time"),
    errors.HeadersTooLarge: (431, "The head of the request is too large"),
    errors.JsonTooComplex: (400, "The JSON is too complex"),
    errors.FormTooComplex: (400, "The form is too complex"),
    errors.UnsupportedMediaType: (415, "The content type is not supported"),
    errors.PictureTooLarge: (422, "The picture would be too large"),
    errors.FetchDenied: (422, "The page asked for something it may not have"),
    errors.Unauthorized: (401, "A token is needed"),
    errors.CrossOriginForm: (403, "Pages of that origin may not send forms"),
    errors.ForeignHost: (421, "That is no name of this service"),
    errors.Forbidden: (403, "The address is not signed as it must be"),
    errors.OverQuota: (429, "This caller has had its share for now"),
    errors.Overloaded: (503, "There is no room at the moment"),
    errors.Stopping: (503, "The service is stopping"),
    errors.PageCrashed: (502, "The page crashed"),
    errors.PageFailed: (502, "The page could not be rendered"),
    errors.ChromeDied: (502, "Chrome died"),
    errors.FetchFailed: (502, "Something the page needs did not come"),
    errors.RenderTimeout: (504, "Time ran out"),
    errors.OperatorError: (503, "The service cannot render at the moment"),
}
CHALLENGE = 'Bearer realm="poster-service"'
INTERNAL = (500, "Something went wrong here")


class FaultTold(TypedDict):
    """One thing that is wrong with one field, and the values allowed."""

    field: str
    message: str
    allowed: str | None


class Problem(TypedDict):
    """What every error is told as (RFC 9457); `code` is the one to write programs against."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    field: NotRequired[str]
    allowed: NotRequired[str | None]
    errors: NotRequired[list[FaultTold]]


def status_of(error: errors.PosterError) -> tuple[int, str]:
    """Status and title of an error."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return INTERNAL


def answer(error: errors.PosterError, request_id: str) -> web.Response:
    """The response for an error of ours."""
    status, title = status_of(error)
    detail = str(error) if not isinstance(error, errors.OperatorError) else title
    body: dict[str, Any] = {"code": error.code, "detail": quoted(detail, MOST_DETAIL)}
    headers = {}
    if isinstance(error, errors.CallerError) and error.faults:
        first = error.faults[0]
        body |= {"field": first.field, "allowed": first.allowed}
        body["errors"] = [
            {"field": one.field, "message": one.message, "allowed": one.allowed}
            for one in error.faults
        ]
    if isinstance(error, errors.Unauthorized):  # RFC 6750, section 3
        headers["WWW-Authenticate"] = CHALLENGE + (', error="invalid_token"' if error.sent else "")
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif status == 503:
        headers["Retry-After"] = "5"
    if isinstance(error, errors.Forbidden):  # tomorrow's answer may be another
        headers["Cache-Control"] = "no-store"
    if error.server_timing:
        headers["Server-Timing"] = error.server_timing
    if error.warnings:
        headers["X-Render-Warnings"] = error.warnings
    return problem(status, title, body, request_id, headers)


ADDRESSES = (
    "the addresses of this service are POST /render, GET /templates, /openapi.json, /status,"
    " /metrics, /healthz, /readyz and /"
)
UNSIGNED = (
    "this service has no signing key, so there are no signed addresses (GET /render/TEMPLATE): set"
    " POSTER_SIGNING_KEYS or POSTER_SIGNING_KEYS_FILE, or send the template and its data as JSON to"
    " POST /render"
)
SIGNED = (
    "a signed address is GET /render/TEMPLATE, and the name of a template has only a-z, 0-9 and -"
)


def not_found(path: str, *, signs: bool) -> str:
    """What to do instead of asking for an address that there is not.

    Args:
        path: Of the request, decoded.
        signs: Whether the service has signing keys, and so the addresses that they sign.
    """
    if path.startswith("/render/"):
        return SIGNED if signs else UNSIGNED
    return ADDRESSES


def wrong_method(allowed: Iterable[str]) -> str:
    """What to do instead of using a method that an address does not have."""
    return f"this address does not take that method; it takes {', '.join(sorted(allowed))}"


def problem(
    status: int, title: str, more: dict[str, Any], request_id: str, headers: dict[str, str]
) -> web.Response:
    """A problem+json response."""
    body = {"type": "about:blank", "title": title, "status": status, **more}
    body["request_id"] = request_id
    return web.Response(
        status=status,
        text=json.dumps(body, ensure_ascii=False),
        content_type="application/problem+json",
        headers=headers,
    )
