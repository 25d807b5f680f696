"""Errors as Gotenberg's clients know them: its statuses, and plain text in its words.

Values that a caller sent are shown to that caller alone: the log has the error itself, without.
"""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus

from aiohttp import web

from poster_service import errors, problems
from poster_service.errors import CallerError, Fault, PosterError
from poster_service.quoting import quoted
from poster_service.render.warnings import parsed
from poster_service.web.compat.gotenberg.downloads import NAME as DOWNLOADS
from poster_service.web.compat.gotenberg.engines import NotHere

#: The values of the fields of the request, once they were read.
VALUES = web.RequestKey("gotenberg_values", Mapping[str, str])
TEXT_TYPE = "text/plain; charset=UTF-8"
CHALLENGE = 'Basic realm="poster-service"'
#: Characters of a value that an error shows.
SHOWN = 200
TOO_LONG = (
    "The request exceeded the time limit. Increase it with POSTER_TIMEOUT_MS, or reduce the"
    " workload."
)
QUEUE_FULL = "The request queue is full. Retry shortly, or raise the limit with POSTER_QUEUE_SIZE."
#: Of what the network policy denies of the request itself.
FILTERED = 403
#: Statuses by class; those of the nearest ancestor apply, and without one those of `problems`.
STATUSES: Mapping[type[PosterError], int] = {
    NotHere: 501,
    errors.UrlStatus: 409,
    errors.ResourceStatus: 409,
    errors.ScriptFailed: 409,
    errors.FetchDenied: 409,
    errors.FetchFailed: 409,
    errors.UrlUnreachable: 400,
    errors.NotAPage: 400,
    errors.PictureTooLarge: 400,
    errors.PagesOutOfRange: 400,
    errors.SelectorNotFound: 400,
    errors.SelectorEmpty: 400,
    errors.ClipOutside: 400,
    errors.WaitFailed: 400,
    errors.PageCrashed: 500,
    errors.PageFailed: 500,
    errors.ChromeDied: 500,
    errors.Overloaded: 429,
    errors.RenderTimeout: 503,
}
#: Chrome's names of what keeps an address from being loaded, by our reasons.
NET_ERRORS = {
    "unknown_host": "net::ERR_NAME_NOT_RESOLVED",
    "unreachable": "net::ERR_CONNECTION_FAILED",
    "timeout": "net::ERR_TIMED_OUT",
    "certificate": "net::ERR_CERT_INVALID",
    "not_found": "net::ERR_FILE_NOT_FOUND",
    "too_large": "net::ERR_FILE_TOO_BIG",
}
REFUSED = "net::ERR_CONNECTION_REFUSED"
_FAILED = "net::ERR_FAILED"
#: Whole sentences for the fields that have one, for any fault of theirs.
SENTENCES = {
    "waitForExpression": "The expression '{}' (waitForExpression) returned an exception or"
    " undefined",
    "waitForSelector": "The selector '{}' (waitForSelector) returned an exception or undefined",
    "selector": "The selector '{}' (selector) matched no element with a visible box",
    "nativePageRanges": "Chromium does not handle the page ranges '{}' (nativePageRanges) syntax",
}


def text(status: int, body: str) -> web.Response:
    """An answer in plain text."""
    return web.Response(status=status, body=body.encode(), headers={"Content-Type": TEXT_TYPE})


def answer(request: web.Request, error: PosterError) -> web.Response:
    """The response for an error."""
    response = text(status_of(error), body_of(request, error))
    headers = response.headers
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = CHALLENGE
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif response.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    if error.server_timing:
        headers["Server-Timing"] = error.server_timing
    if error.warnings:
        headers["X-Render-Warnings"] = error.warnings
    return response


def status_of(error: PosterError) -> int:
    """Gotenberg's status for an error."""
    if _is_filtered(error):
        return FILTERED
    found = (STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    return next(found, problems.status_of(error)[0])


def body_of(request: web.Request, error: PosterError) -> str:
    """The sentence of an error, or several lines of them."""
    if isinstance(error, errors.Unauthorized) or _is_filtered(error):
        return HTTPStatus(status_of(error)).phrase
    if isinstance(error, errors.OperatorError):
        return problems.status_of(error)[1]
    if isinstance(error, errors.RenderTimeout):
        return TOO_LONG
    if isinstance(error, errors.Overloaded) and "queue" in str(error):
        return QUEUE_FULL
    if isinstance(error, errors.UrlUnreachable):
        return f"Chromium returned {_net_error(error)}"
    if (found := _of_conditions(error)) is not None:
        return found
    if isinstance(error, CallerError):
        return _of_caller(error, request.get(VALUES, {}))
    return str(error)


def _is_filtered(error: PosterError) -> bool:
    """Whether the network policy denies the page itself, a file to fetch, or a webhook."""
    if isinstance(error, errors.DestinationDenied):
        return True
    faults = error.faults if isinstance(error, CallerError) else ()
    fields = {one.field for one in faults}
    return isinstance(error, errors.FetchDenied) and bool(fields & {"url", DOWNLOADS})


def _of_conditions(error: PosterError) -> str | None:
    """The text of an error of one of the `failOn` fields; None for another."""
    if isinstance(error, errors.UrlStatus):
        return f"Invalid HTTP status code from the main page: {_status(error.status, ': ')}"
    if isinstance(error, errors.ResourceStatus):
        lines = [f"{url} - {_status(status, ': ')}" for url, status in error.found]
        return "\n".join(["Invalid HTTP status code from resources:", *lines])
    if isinstance(error, errors.ScriptFailed):
        failed = str(error).partition("a script of the page failed: ")[2] or str(error)
        return "\n".join(["Chromium console exceptions:", *failed.split(", ")])
    if isinstance(error, errors.FetchDenied | errors.FetchFailed):
        lines = [_lost(one) for one in parsed(error.warnings) if "url" in one]
        return "\n".join(["Chromium failed to load resources:", *lines])
    return None


def _lost(one: Mapping[str, str | int]) -> str:
    reason = str(one.get("reason", ""))
    if one["warning"] == "denied":
        return f"resource {one['url']}: net::ERR_ACCESS_DENIED"
    known = NET_ERRORS.get(reason, _FAILED)
    return f"resource {one['url']}: {known}" + ("" if known != _FAILED else f" ({reason})")


def _status(status: int, between: str) -> str:
    try:
        return f"{status}{between}{HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status}{between}".strip()


def _net_error(error: PosterError) -> str:
    """Chrome's name for what kept a page from being loaded."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError) or "Connect call failed" in str(cause):
            return REFUSED
        cause = cause.__cause__
    reason = str(error).rpartition(": ")[2]
    return NET_ERRORS.get(reason, _FAILED)


def _of_caller(error: CallerError, values: Mapping[str, str]) -> str:
    """A form that is wrong: a line for each field, as Gotenberg has them."""
    if len(error.faults) == 1:
        fault = error.faults[0]
        value = quoted(values.get(fault.field, ""), SHOWN)
        if isinstance(error, errors.PagesOutOfRange):
            return f"The page ranges '{value}' (nativePageRanges) exceeds the page count"
        if fault.field in SENTENCES:
            return SENTENCES[fault.field].format(value)
        if not fault.field and not fault.message.startswith(("form f", "no form f")):
            return str(fault)
    is_of_form = isinstance(error, errors.InvalidField | errors.BadRequest)
    if isinstance(error, NotHere) or not is_of_form or not error.faults:
        return str(error)
    return "Invalid form data: " + "\n".join(_lines(error.faults, values))


def in_inches(fault: Fault) -> Fault:
    """The fault of a length in the unit of the form, where it is in CSS pixels."""
    least = {"paper": "0.1", "margin": "0"}.get(re.sub("[A-Z].*", "", fault.field))
    if least is None or not fault.message.endswith("is out of range"):
        return fault
    return Fault(fault.field, "it is out of range", f"{least} to 200 inches")


def _lines(faults: tuple[Fault, ...], values: Mapping[str, str]) -> Iterator[str]:
    for one in map(in_inches, faults):
        if not one.field:
            yield str(one)
            continue
        allowed = f"; allowed: {one.allowed}" if one.allowed else ""
        if one.field.endswith(".html"):
            yield f"form file '{one.field}' is invalid ({one.message}{allowed})"
            continue
        name, _, place = one.field.partition(".")
        value = quoted(values.get(name, ""), SHOWN)
        at = f"{place} " if place else ""
        got = f"got '{value}', resulting to {at}{one.message}{allowed}"
        yield f"form field '{name}' is invalid ({got})"
