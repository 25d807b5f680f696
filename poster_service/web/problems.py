"""Errors as HTTP responses: one table of statuses and titles, and problem+json (RFC 9457).

A test walks the tree in `errors.py` and fails for an error without a row here. A response has only
the public sentence, the stable code and the faults, nothing internal.
"""

import json
from collections.abc import Iterable
from typing import Any, NotRequired

from aiohttp import web
from typing_extensions import TypedDict

from poster_service import errors
from poster_service.quoting import quoted

#: Longest `detail`, in characters; what it quotes of a caller or a page is shorter.
MOST_DETAIL = 1000

#: Status and title by class; those of the nearest ancestor apply.
TABLE: dict[type[errors.PosterError], tuple[int, str]] = {
    errors.BadRequest: (400, "Unreadable request"),
    errors.InvalidField: (400, "Invalid option"),
    errors.UnknownTemplate: (404, "Unknown template"),
    errors.InvalidData: (422, "Invalid template data"),
    errors.BodyTooLarge: (413, "Request body too large"),
    errors.BodyTooSlow: (408, "Request body too slow"),
    errors.HeadersTooLarge: (431, "Request headers too large"),
    errors.JsonTooComplex: (400, "JSON too complex"),
    errors.FormTooComplex: (400, "Form too complex"),
    errors.UnsupportedMediaType: (415, "Unsupported media type"),
    errors.PictureTooLarge: (422, "Picture too large"),
    errors.FetchDenied: (422, "Fetch denied"),
    errors.Unauthorized: (401, "Authentication required"),
    errors.CrossOriginForm: (403, "Cross-origin form refused"),
    errors.UnknownHost: (421, "Unknown host name"),
    errors.Forbidden: (403, "Signed URL refused"),
    errors.OverQuota: (429, "Quota exceeded"),
    errors.RateLimited: (429, "Rate limit exceeded"),
    errors.ConcurrencyLimited: (429, "Concurrency limit exceeded"),
    errors.Overloaded: (503, "Service overloaded"),
    errors.Stopping: (503, "Service stopping"),
    errors.PageCrashed: (502, "Page crashed"),
    errors.PageFailed: (502, "Page failed"),
    errors.ChromeDied: (502, "Chrome died"),
    errors.FetchFailed: (502, "Fetch failed"),
    errors.RenderTimeout: (504, "Render timed out"),
    errors.OperatorError: (503, "Rendering unavailable"),
}
CHALLENGE = 'Bearer realm="poster-service"'
INTERNAL = (500, "Internal error")


class FaultEntry(TypedDict):
    """One field of the request that is at fault, and the values allowed."""

    field: str
    message: str
    allowed: str | None


class Problem(TypedDict):
    """Every error response (RFC 9457); `code` is stable and meant for programs."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    field: NotRequired[str]
    allowed: NotRequired[str | None]
    errors: NotRequired[list[FaultEntry]]


def status_of(error: errors.PosterError) -> tuple[int, str]:
    """Status and title of an error; 500 for one without a row in `TABLE`."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return INTERNAL


def answer(error: errors.PosterError, request_id: str) -> web.Response:
    """The problem+json response for an error, with its Retry-After and other headers."""
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
    if isinstance(error, errors.Forbidden):  # a new key would make it valid
        headers["Cache-Control"] = "no-store"
    if error.server_timing:
        headers["Server-Timing"] = error.server_timing
    if error.warnings:
        headers["X-Render-Warnings"] = error.warnings
    return problem(status, title, body, request_id, headers)


ADDRESSES = (
    "no such path; this service has POST /render, GET /templates, /openapi.json, /status,"
    " /metrics, /healthz, /readyz and /"
)
UNSIGNED = (
    "this service has no signing key and so no GET /render/TEMPLATE: set"
    " POSTER_SIGNING_KEYS or POSTER_SIGNING_KEYS_FILE, or send the template and its data as JSON to"
    " POST /render"
)
SIGNED = (
    "no such path; a signed URL is GET /render/TEMPLATE, where TEMPLATE has only a-z, 0-9 and -"
)


def not_found(path: str, *, signs: bool) -> str:
    """The `detail` of a 404: which paths there are.

    Args:
        path: The request's path, decoded.
        signs: Whether the service has signing keys, and so serves signed URLs.
    """
    if path.startswith("/render/"):
        return SIGNED if signs else UNSIGNED
    return ADDRESSES


def wrong_method(allowed: Iterable[str]) -> str:
    """The `detail` of a 405: which methods are allowed."""
    return f"method not allowed; allowed: {', '.join(sorted(allowed))}"


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
