"""Errors as problems of RFC 9457: one table of statuses and titles, and the object itself.

A test walks the tree of `errors/` and fails for an error without a row here. A problem has only
the public sentence, the stable code and the faults, nothing internal. `web/problems.py` answers
with it; a job that has failed stores it.
"""

from typing import Any

from poster_service import errors
from poster_service.quoting import quoted

#: Longest `detail`, in characters; what it quotes of a caller or a page is shorter.
MOST_DETAIL = 1000

#: Status and title by class; those of the nearest ancestor apply.
TABLE: dict[type[errors.PosterError], tuple[int, str]] = {
    errors.BadRequest: (400, "Unreadable request"),
    errors.InvalidField: (400, "Invalid option"),
    errors.UnknownTemplate: (404, "Unknown template"),
    errors.UnknownResult: (404, "Unknown result"),
    errors.JobRefused: (409, "Job refused"),
    errors.UnknownJob: (404, "Unknown job"),
    errors.UnknownDeadLetter: (404, "Unknown dead letter"),
    errors.JobEnded: (409, "Job has ended"),
    errors.KeyReused: (422, "Idempotency key reused"),
    errors.InvalidData: (422, "Invalid template data"),
    errors.BodyTooLarge: (413, "Request body too large"),
    errors.BodyTooSlow: (408, "Request body too slow"),
    errors.HeadersTooLarge: (431, "Request headers too large"),
    errors.JsonTooComplex: (400, "JSON too complex"),
    errors.FormTooComplex: (400, "Form too complex"),
    errors.UnsupportedMediaType: (415, "Unsupported media type"),
    errors.NotAcceptable: (406, "Not acceptable"),
    errors.PictureTooLarge: (422, "Picture too large"),
    errors.ContentTooLarge: (422, "Content too large"),
    errors.PagesOutOfRange: (422, "Pages out of range"),
    errors.SelectorNotFound: (422, "Selector matches nothing"),
    errors.SelectorEmpty: (422, "Selected element is empty"),
    errors.ClipOutside: (422, "Clip outside of the document"),
    errors.WaitFailed: (422, "Wait failed"),
    errors.FetchDenied: (422, "Fetch denied"),
    errors.ScriptFailed: (422, "Script error on the page"),
    errors.MissingGlyph: (422, "Missing glyphs"),
    errors.UrlStatus: (422, "Error status at the url"),
    errors.DestinationDenied: (422, "Destination denied"),
    errors.NotAPage: (422, "No page at the url"),
    errors.Unauthorized: (401, "Authentication required"),
    errors.CrossOriginForm: (403, "Cross-origin form refused"),
    errors.CrossOriginRequest: (403, "Cross-origin request refused"),
    errors.UnknownHost: (421, "Unknown host name"),
    errors.Forbidden: (403, "Signed URL refused"),
    errors.OverQuota: (429, "Quota exceeded"),
    errors.RateLimited: (429, "Rate limit exceeded"),
    errors.ConcurrencyLimited: (429, "Concurrency limit exceeded"),
    errors.TooManyJobs: (429, "Too many jobs"),
    errors.UnknownBatch: (404, "Unknown batch"),
    errors.BatchEnded: (409, "Batch has ended"),
    errors.TooManyBatches: (429, "Too many batches"),
    errors.JobFailed: (502, "Job failed"),
    errors.QueueUnavailable: (503, "Queue unavailable"),
    errors.JobsMissing: (501, "Jobs not installed"),
    errors.Overloaded: (503, "Service overloaded"),
    errors.Stopping: (503, "Service stopping"),
    errors.PageCrashed: (502, "Page crashed"),
    errors.PageFailed: (502, "Page failed"),
    errors.ChromeDied: (502, "Chrome died"),
    errors.FetchFailed: (502, "Fetch failed"),
    errors.ResourceStatus: (502, "Error status of a resource"),
    errors.UrlUnreachable: (502, "Url unreachable"),
    errors.StorageFailed: (502, "Storage failed"),
    errors.DestinationFailed: (502, "Destination failed"),
    errors.JobLost: (502, "Job lost"),
    errors.RenderTimeout: (504, "Render timed out"),
    errors.OperatorError: (503, "Rendering unavailable"),
}
INTERNAL = (500, "Internal error")


def status_of(error: errors.PosterError) -> tuple[int, str]:
    """Status and title of an error; 500 for one without a row in `TABLE`."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return INTERNAL


def problem_of(error: errors.PosterError) -> dict[str, Any]:
    """The problem of an error: type, title, status, code, detail, and the faults if it has any."""
    status, title = status_of(error)
    detail = str(error) if not isinstance(error, errors.OperatorError) else title
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": error.code,
        "detail": quoted(detail, MOST_DETAIL),
    }
    if isinstance(error, errors.CallerError) and error.faults:
        first = error.faults[0]
        body |= {"field": first.field, "allowed": first.allowed}
        body["errors"] = [
            {"field": one.field, "message": one.message, "allowed": one.allowed}
            for one in error.faults
        ]
    return body
