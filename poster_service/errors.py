"""Every error of the service, drawn as a tree; whose fault it is decides the branch.

    PosterError
    ├── CallerError                 the request is at fault
    │   ├── BadRequest              not JSON, not a form, not text
    │   ├── InvalidField            a field is unknown, missing, of the wrong type or out of range
    │   ├── UnknownTemplate
    │   ├── InvalidData             the data does not fit the template's schema
    │   ├── HeadersTooLarge
    │   ├── JsonTooComplex
    │   ├── NotAcceptable           several outputs, and Accept has no type that they can come in
    │   ├── BodyRefused             the body is not read to its end
    │   │   ├── BodyTooLarge
    │   │   ├── BodyTooSlow
    │   │   ├── UnsupportedMediaType
    │   │   └── FormRefused         a form, where one may be sent
    │   │       ├── FormTooComplex
    │   │       └── CrossOriginForm     a page of another origin sent it
    │   ├── PageUnfit               known only when the page is there
    │   │   ├── PictureTooLarge     by its layout
    │   │   ├── ContentTooLarge     the text of a page is longer than an answer may be
    │   │   ├── PagesOutOfRange     the document has none of the pages asked for
    │   │   ├── SelectorNotFound    no element of the page matches
    │   │   ├── SelectorEmpty       the element has no size
    │   │   ├── ClipOutside         of the document
    │   │   ├── WaitFailed          what the page was to be waited for cannot be asked
    │   │   ├── ScriptFailed        `fail_on`, and a script of the page failed
    │   │   ├── MissingGlyph        `fail_on`, and no font has a character of the page
    │   │   ├── FetchDenied         the policy denied the page's `url`, or, with strict, a fetch
    │   │   ├── UrlStatus           `url` answered with a status of 400 or more
    │   │   └── NotAPage            what `url` answered with is no page
    │   ├── DestinationDenied       the policy denied the `destination` of a result, or a webhook
    │   ├── Unauthorized            no token, or an unknown one
    │   ├── CrossOriginRequest      GET /render that a browser sends for a page of another origin
    │   ├── UnknownHost             a Host header with a name that is not in POSTER_SERVER_NAMES
    │   ├── Forbidden               a signed URL that is invalid or has expired
    │   │   ├── BadSignature
    │   │   ├── UnknownKey
    │   │   ├── UrlExpired
    │   │   └── ExpiryTooFar
    │   ├── JobRefused              a job or batch cannot be accepted
    │   │   ├── KeyReused           its Idempotency-Key came before, with another request
    │   │   ├── TooManyJobs         of this caller have not ended
    │   │   └── TooManyBatches      of this caller have not ended
    │   ├── RecordRefused           what an id names cannot be shown or changed
    │   │   ├── UnknownResult       no stored result has that name
    │   │   ├── UnknownJob          no job of this caller has that id
    │   │   ├── UnknownBatch        no batch of this caller has that id
    │   │   ├── UnknownDeadLetter   no webhook of this caller that failed has that id
    │   │   ├── JobEnded            it cannot be cancelled any more
    │   │   └── BatchEnded          it cannot be cancelled or tried again
    │   └── OverQuota               the caller has used up its quota
    │       ├── RateLimited
    │       └── ConcurrencyLimited
    ├── LoadError                   the service has no room now
    │   ├── Overloaded
    │   └── Stopping
    ├── RenderFailed                the page or its Chrome is at fault
    │   ├── PageCrashed
    │   ├── PageFailed
    │   ├── ChromeDied
    │   ├── FetchFailed             strict, and a fetch of the page failed
    │   ├── ResourceStatus          fail_on_status, and something had such a status
    │   ├── UrlUnreachable          `url` cannot be fetched
    │   ├── StorageFailed           the result cannot be stored
    │   ├── DestinationFailed       the result cannot be sent to its `destination`
    │   └── RenderTimeout
    ├── JobFailed                   the queue of jobs is at fault
    │   ├── QueueUnavailable        it does not answer
    │   ├── JobLost                 the workers of a job died again and again
    │   └── JobsMissing             the service is installed without what jobs need
    └── OperatorError               the service cannot run; one line on stderr
        ├── InvalidSettings
        ├── ChromeNotFound
        ├── ChromeNotStarted
        ├── TemplatesBroken
        ├── AddressInUse
        └── UnauthenticatedBind

An error has a short public sentence: what is wrong, the value seen, what is allowed. Its cause is
for the log only. `problems.py` has the one table that gives each error its HTTP status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from poster_service.quoting import quoted

#: Most faults that one error lists, and longest message of a fault, in characters; a caller's text
#: in it is shorter (`quoting.QUOTED`). A request of megabytes must not get a response of megabytes.
MOST_FAULTS, MOST_CHARACTERS = 20, 500


class PosterError(Exception):
    """Root of the tree. `str(error)` may be shown to the caller of the service.

    Attributes:
        code: Short and stable, for programs.
        server_timing: Value of `Server-Timing` until the failure; empty before a render began.
        warnings: Value of `X-Render-Warnings` until the failure.
        retry_after: Seconds after which to try again; None if that is not sensible.
    """

    code = "internal_error"
    server_timing = ""
    warnings = ""
    retry_after: int | None = None


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one field of a request.

    Attributes:
        field: Its name as the caller wrote it, dotted for nested data; empty for the whole.
        message: What is wrong, in a sentence fragment.
        allowed: The values or range allowed, where that can be said.
    """

    field: str
    message: str
    allowed: str | None = None

    def __post_init__(self) -> None:
        """Shorten and escape text that may be the caller's."""
        object.__setattr__(self, "field", quoted(self.field))
        object.__setattr__(self, "message", quoted(self.message, MOST_CHARACTERS))

    def __str__(self) -> str:
        text = f"{self.field}: {self.message}" if self.field else self.message
        return f"{text} (allowed: {self.allowed})" if self.allowed else text


class CallerError(PosterError):
    """The request cannot be served as it is; sending it again changes nothing."""

    code = "bad_request"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults[:MOST_FAULTS])

    @classmethod
    def of(cls, *faults: Fault, unlisted: int = 0) -> Self:
        """An error that lists the first `MOST_FAULTS` of `faults`.

        Its sentence is that of the first fault and the number of all others, including `unlisted`
        ones, which were only counted.
        """
        others = len(faults) - 1 + unlisted
        more = f" (and {others} more)" if others else ""
        return cls(f"{faults[0]}{more}", faults)


class BadRequest(CallerError):
    """The body is not what its content type says."""


class InvalidField(CallerError):
    """A field is unknown, missing, of the wrong type, out of range, or at odds with another."""

    code = "invalid_field"


class UnknownTemplate(CallerError):
    """There is no template of that name."""

    code = "unknown_template"


class InvalidData(CallerError):
    """The data does not fit the template's schema."""

    code = "invalid_data"


class HeadersTooLarge(CallerError):
    """Address, headers and cookies are larger than POSTER_MAX_HEADER_BYTES."""

    code = "headers_too_large"


class JsonTooComplex(CallerError):
    """JSON nested deeper, or with more values, than POSTER_MAX_JSON_DEPTH and _ITEMS."""

    code = "json_too_complex"


class NotAcceptable(CallerError):
    """A request with `outputs` whose `Accept` has no media type in which they can be answered."""

    code = "not_acceptable"


class BodyRefused(CallerError):
    """The body of the request is not read to its end."""


class BodyTooLarge(BodyRefused):
    """The request body is larger than POSTER_MAX_BODY_BYTES."""

    code = "body_too_large"


class BodyTooSlow(BodyRefused):
    """The request body did not come within POSTER_BODY_TIMEOUT_MS."""

    code = "body_timeout"


class UnsupportedMediaType(BodyRefused):
    """The content type is not one that /render reads."""

    code = "unsupported_media_type"


class FormRefused(BodyRefused):
    """A form is not read to its end."""


class FormTooComplex(FormRefused):
    """A form of more than POSTER_MAX_FORM_PARTS, or a part of more than _HEADER_BYTES allows."""

    code = "form_too_complex"


class CrossOriginForm(FormRefused):
    """A browser sends a form for a page of another origin, which is not in POSTER_CORS_ORIGINS."""

    code = "cross_origin_form"


class PageUnfit(CallerError):
    """The page, once it is there, is not what the options take it for."""


class PictureTooLarge(PageUnfit):
    """The page turned out to be larger than a picture may be."""

    code = "picture_too_large"


class ContentTooLarge(PageUnfit):
    """The document, or what selectors match in it, is longer than an answer may be."""

    code = "content_too_large"


class PagesOutOfRange(PageUnfit):
    """The document turned out to have none of the pages of a PDF that were asked for."""

    code = "pages_out_of_range"


class SelectorNotFound(PageUnfit):
    """The selector matches no element of the page."""

    code = "selector_not_found"


class SelectorEmpty(PageUnfit):
    """The first element that the selector matches has no size, or is outside of the document."""

    code = "selector_empty"


class ClipOutside(PageUnfit):
    """The clip reaches beyond the document."""

    code = "clip_outside"


class WaitFailed(PageUnfit):
    """The expression of `wait_for` threw, or its promise was rejected."""

    code = "wait_failed"


class ScriptFailed(PageUnfit):
    """A render with `fail_on: script_error` in which a script of the page failed."""

    code = "script_error"


class MissingGlyph(PageUnfit):
    """A render with `fail_on: missing_glyph` whose page shows characters that no font has."""

    code = "missing_glyph"


class FetchDenied(PageUnfit):
    """The network policy denies the page's `url`, or a request of the page of a strict render."""

    code = "fetch_denied"


class UrlStatus(PageUnfit):
    """The page's `url` answered with a status of 400 or more, or of `fail_on_status`.

    Attributes:
        status: The status; 0 if it is not known.
    """

    code = "url_status"
    status = 0


#: What Chrome displays, for the caller whose `url` is something else.
DISPLAYED = "an address with HTML, XML, text or a picture"


class NotAPage(PageUnfit):
    """What the page's `url` answered with is not displayed: a PDF, a download, nothing."""

    code = "not_a_page"


class DestinationDenied(CallerError):
    """The network policy forbids the `destination` of a result."""

    code = "destination_denied"


class Unauthorized(CallerError):
    """The path needs a token.

    Attributes:
        sent: Whether a token was sent, and is unknown.
    """

    code = "unauthorized"
    sent = False


class CrossOriginRequest(CallerError):
    """A browser sends a GET /render for a page of another origin, and it is not signed."""

    code = "cross_origin_request"


class UnknownHost(CallerError):
    """The Host header names neither loopback, where that is meant, nor POSTER_SERVER_NAMES."""

    code = "unknown_host"


class Forbidden(CallerError):
    """A signed URL that is not served."""

    code = "forbidden"


class BadSignature(Forbidden):
    """The URL is not signed, or was changed after it was signed."""

    code = "bad_signature"


class UnknownKey(Forbidden):
    """The URL names a signing key that does not exist, or no longer."""

    code = "unknown_key"


class UrlExpired(Forbidden):
    """The URL has expired."""

    code = "url_expired"


class ExpiryTooFar(Forbidden):
    """The URL expires later than POSTER_SIGNED_URL_MAX_SECONDS from now."""

    code = "expiry_too_far"


class JobRefused(CallerError):
    """A job or batch cannot be accepted."""

    code = "job_refused"


class KeyReused(JobRefused):
    """An Idempotency-Key that this caller has used for another request."""

    code = "idempotency_key_reused"


class TooManyJobs(JobRefused):
    """The caller has as many unfinished jobs as POSTER_JOBS_PER_CALLER allows."""

    code = "too_many_jobs"
    retry_after = 10


class TooManyBatches(JobRefused):
    """The caller has as many unfinished batches as POSTER_BATCHES_PER_CALLER allows."""

    code = "too_many_batches"
    retry_after = 10


class RecordRefused(CallerError):
    """What an id in the address names cannot be shown or changed."""


class UnknownResult(RecordRefused):
    """There is no stored result of that name."""

    code = "unknown_result"


class UnknownJob(RecordRefused):
    """No job of this caller has that id, or none any more."""

    code = "unknown_job"


class UnknownBatch(RecordRefused):
    """No batch of this caller has that id, or none any more."""

    code = "unknown_batch"


class UnknownDeadLetter(RecordRefused):
    """No webhook of this caller that could not be delivered has that id."""

    code = "unknown_dead_letter"


class JobEnded(RecordRefused):
    """A job that is done or has failed cannot be cancelled."""

    code = "job_ended"


class BatchEnded(RecordRefused):
    """A batch that is done cannot be cancelled, and one that was cancelled not be tried again."""

    code = "batch_ended"


class OverQuota(CallerError):
    """The caller has used up its quota."""

    code = "over_quota"
    retry_after: int

    def __init__(self, message: str, faults: Sequence[Fault] = (), *, retry_after: int = 1) -> None:
        super().__init__(message, faults)
        self.retry_after = retry_after


class RateLimited(OverQuota):
    """The caller has used up its POSTER_TOKEN_RENDERS_PER_MINUTE."""

    code = "rate_limited"


class ConcurrencyLimited(OverQuota):
    """The caller has as many renders under way as POSTER_TOKEN_CONCURRENCY allows."""

    code = "concurrency_limited"


class LoadError(PosterError):
    """There is no room now."""

    code = "overloaded"
    retry_after: int

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(LoadError):
    """As many renders run and wait as may."""


class Stopping(LoadError):
    """The service is shutting down."""

    code = "stopping"


class RenderFailed(PosterError):
    """The render began and failed."""

    code = "render_failed"


class PageCrashed(RenderFailed):
    """The page's renderer process died: out of memory, or killed."""

    code = "page_crashed"


class PageFailed(RenderFailed):
    """Chrome could not load or paint the page."""

    code = "page_failed"


class ChromeDied(RenderFailed):
    """The Chrome of this render died; it takes no other render with it."""

    code = "chrome_died"


class FetchFailed(RenderFailed):
    """A strict render in which a fetch of the page failed."""

    code = "fetch_failed"


class ResourceStatus(RenderFailed):
    """A render with `fail_on_status` whose page got such a status for something that it loads.

    Attributes:
        found: Addresses, as warnings show them, each with its status.
    """

    code = "resource_status"
    found: tuple[tuple[str, int], ...] = ()


class UrlUnreachable(RenderFailed):
    """The page's `url` cannot be fetched: no such host, no connection, no answer in time."""

    code = "url_unreachable"


class StorageFailed(RenderFailed):
    """The result could not be stored in the service's object storage.

    Attributes:
        may_pass: Whether the same may be stored later: the storage is away, and does not refuse it.
    """

    code = "storage_failed"
    may_pass = True


class DestinationFailed(RenderFailed):
    """The result could not be sent to its `destination`: no connection, or an error status."""

    code = "destination_failed"


class RenderTimeout(RenderFailed):
    """The render took longer than its timeout."""

    code = "render_timeout"


class JobFailed(PosterError):
    """The queue of jobs is at fault, or the workers are."""

    code = "job_failed"


class QueueUnavailable(JobFailed):
    """The Redis of the jobs does not answer."""

    code = "queue_unavailable"
    retry_after = 5


class JobLost(JobFailed):
    """Workers died again and again while they rendered this job, or none came to its end."""

    code = "job_lost"


class JobsMissing(JobFailed):
    """This service is installed without the package that jobs need."""

    code = "jobs_missing"


class OperatorError(PosterError):
    """The service cannot start or run; the message names what to change, and is for them only."""

    code = "cannot_render"


class InvalidSettings(OperatorError):
    """One or more settings are invalid; the message lists all of them."""


class ChromeNotFound(OperatorError):
    """No Chrome was found on this machine."""


class ChromeNotStarted(OperatorError):
    """Chrome was found and does not start.

    Attributes:
        sandbox: Whether it reported that its sandbox does not work here.
        user: Whether it could not be started as the other user.
    """

    def __init__(self, message: str, *, sandbox: bool = False, user: bool = False) -> None:
        super().__init__(message)
        self.sandbox = sandbox
        self.user = user


class TemplatesBroken(OperatorError):
    """The template folder is missing, or a template in it is incomplete."""


class AddressInUse(OperatorError):
    """The address to listen on is in use or cannot be bound."""


class UnauthenticatedBind(OperatorError):
    """The service would listen on an address other than loopback without any token."""
