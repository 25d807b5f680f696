"""Errors as HTTP responses: problem+json (RFC 9457)."""

import json
from collections.abc import Iterable
from typing import Any, NotRequired

from aiohttp import web
from typing_extensions import TypedDict

from poster_service import errors
from poster_service.problems import problem_of

CHALLENGE = 'Bearer realm="poster-service"'


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


def answer(error: errors.PosterError, request_id: str) -> web.Response:
    """The problem+json response for an error, with its Retry-After and other headers."""
    body, headers = problem_of(error), {}
    if isinstance(error, errors.Unauthorized):  # RFC 6750, section 3
        headers["WWW-Authenticate"] = CHALLENGE + (', error="invalid_token"' if error.sent else "")
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif body["status"] == 503:
        headers["Retry-After"] = "5"
    if isinstance(error, errors.Forbidden):  # a new key would make it valid
        headers["Cache-Control"] = "no-store"
    if error.server_timing:
        headers["Server-Timing"] = error.server_timing
    if error.warnings:
        headers["X-Render-Warnings"] = error.warnings
    return _response(body, request_id, headers)


ADDRESSES = (
    "no such path; this service has POST /render, /jobs and /batches, GET /templates, /fonts,"
    " /openapi.json, /docs, /status, /metrics, /healthz, /readyz and /"
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
    return _response(body, request_id, headers)


def _response(body: dict[str, Any], request_id: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=body["status"],
        text=json.dumps({**body, "request_id": request_id}, ensure_ascii=False),
        content_type="application/problem+json",
        headers=headers,
    )
