"""Every error of the service, drawn as a tree; whose fault it is decides the branch.

    PosterError
    ├── CallerError                 the request is at fault
    │   ├── BadRequest              not JSON, not a form, not text
    │   ├── InvalidField            a field is unknown, missing, of the wrong type or out of range
    │   ├── UnknownTemplate
    │   ├── InvalidData             the data does not fit the template's schema
    │   ├── BodyTooLarge
    │   ├── BodyTooSlow
    │   ├── HeadersTooLarge
    │   ├── JsonTooComplex
    │   ├── FormTooComplex
    │   ├── UnsupportedMediaType
    │   ├── PictureTooLarge         known only after the page was laid out
    │   ├── FetchDenied             strict, and a rule of ours kept something from the page
    │   ├── Unauthorized            no token, or none of ours
    │   ├── CrossOriginForm             a form that a page of another origin sent
    │   ├── ForeignHost             a Host header that names another service
    │   ├── Forbidden               a signed address that is not, or no longer, good
    │   │   ├── BadSignature
    │   │   ├── UnknownKey
    │   │   ├── UrlExpired
    │   │   └── ExpiryTooFar
    │   └── OverQuota               this caller has had its share, whatever room there is
    │       ├── RateLimited
    │       └── ConcurrencyLimited
    ├── LoadError                   we have no room for it now
    │   ├── Overloaded
    │   └── Stopping
    ├── RenderFailed                the page or its Chrome is at fault
    │   ├── PageCrashed
    │   ├── PageFailed
    │   ├── ChromeDied
    │   ├── FetchFailed             strict, and something that the page asked for did not come
    │   └── RenderTimeout
    └── OperatorError               the service cannot run; told in one line on stderr
        ├── InvalidSettings
        ├── ChromeNotFound
        ├── ChromeNotStarted
        ├── TemplatesBroken
        ├── AddressInUse
        └── UnauthenticatedBind

An error carries a short public sentence that names the remedy; what happened inside travels as
its cause, to the log only. `web/problems.py` holds the one table that turns a leaf into a status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from poster_service.quoting import quoted

#: Faults that one error lists, and characters of the sentence of each; what a caller wrote in it is
#: shorter (`quoting.QUOTED`). A request of megabytes must not be answered by as many.
MOST_FAULTS, MOST_CHARACTERS = 20, 500


class PosterError(Exception):
    """Root of the tree. `str(error)` is fit for the caller of the service to read.

    Attributes:
        code: Short and stable, for programs.
        server_timing: Where the time went before it failed; empty when nothing had begun.
        warnings: What the page went without until then, as a header's value.
        retry_after: Whole seconds after which trying again is sensible; None where it is not.
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
        """Bound and escape what may be the caller's own text."""
        object.__setattr__(self, "field", quoted(self.field))
        object.__setattr__(self, "message", quoted(self.message, MOST_CHARACTERS))

    def __str__(self) -> str:
        told = f"{self.field}: {self.message}" if self.field else self.message
        return f"{told} (allowed: {self.allowed})" if self.allowed else told


class CallerError(PosterError):
    """The request cannot be served as it is; sending it again changes nothing."""

    code = "bad_request"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults[:MOST_FAULTS])

    @classmethod
    def of(cls, *faults: Fault, unlisted: int = 0) -> Self:
        """An error that lists the first `MOST_FAULTS` of `faults`.

        Its sentence is that of the first and the number of all others, `unlisted` ones (counted by
        the caller of this and never made) among them.
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


class BodyTooLarge(CallerError):
    """The request body is larger than POSTER_MAX_BODY_BYTES."""

    code = "body_too_large"


class BodyTooSlow(CallerError):
    """The request body did not come within POSTER_BODY_TIMEOUT_MS."""

    code = "body_timeout"


class HeadersTooLarge(CallerError):
    """Address, headers and cookies are larger than POSTER_MAX_HEADER_BYTES."""

    code = "headers_too_large"


class JsonTooComplex(CallerError):
    """JSON nested deeper, or with more values, than POSTER_MAX_JSON_DEPTH and _ITEMS."""

    code = "json_too_complex"


class FormTooComplex(CallerError):
    """A form of more than POSTER_MAX_FORM_PARTS, or a part of more than _HEADER_BYTES allows."""

    code = "form_too_complex"


class UnsupportedMediaType(CallerError):
    """The content type is none that /render reads."""

    code = "unsupported_media_type"


class PictureTooLarge(CallerError):
    """The page turned out to be larger than a picture may be."""

    code = "picture_too_large"


class FetchDenied(CallerError):
    """A strict render whose page asked for something that it may not have."""

    code = "fetch_denied"


class Unauthorized(CallerError):
    """The address is for holders of a token.

    Attributes:
        sent: Whether one was sent, and is none of ours.
    """

    code = "unauthorized"
    sent = False


class CrossOriginForm(CallerError):
    """A browser sends a form for a page of another origin, which is none of POSTER_CORS_ORIGINS."""

    code = "foreign_page"


class ForeignHost(CallerError):
    """The Host header names neither loopback, where that is meant, nor POSTER_SERVER_NAMES."""

    code = "foreign_host"


class Forbidden(CallerError):
    """The address is signed, and not so that it would be served."""

    code = "forbidden"


class BadSignature(Forbidden):
    """It is not signed, or was changed after it was."""

    code = "bad_signature"


class UnknownKey(Forbidden):
    """The key that it names is not, or no longer, in force."""

    code = "unknown_key"


class UrlExpired(Forbidden):
    """Its time is over."""

    code = "url_expired"


class ExpiryTooFar(Forbidden):
    """It is good for longer than POSTER_SIGNED_URL_MAX_SECONDS from now."""

    code = "expiry_too_far"


class OverQuota(CallerError):
    """The caller has used up what one caller may."""

    code = "over_quota"
    retry_after: int

    def __init__(self, message: str, faults: Sequence[Fault] = (), *, retry_after: int = 1) -> None:
        super().__init__(message, faults)
        self.retry_after = retry_after


class RateLimited(OverQuota):
    """As many renders as POSTER_TOKEN_RENDERS_PER_MINUTE allows in a minute."""

    code = "rate_limited"


class ConcurrencyLimited(OverQuota):
    """As many renders at once as POSTER_TOKEN_CONCURRENCY allows."""

    code = "too_many"


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
    """The service is on its way out."""

    code = "stopping"


class RenderFailed(PosterError):
    """The render began and did not come to an end."""

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
    """A strict render whose page asked for something that did not come."""

    code = "fetch_failed"


class RenderTimeout(RenderFailed):
    """The time given ran out."""

    code = "render_timeout"


class OperatorError(PosterError):
    """The service cannot start or run; the message names what to change, and is for them only."""

    code = "cannot_render"


class InvalidSettings(OperatorError):
    """One or more settings are faulty; the message tells all of them."""


class ChromeNotFound(OperatorError):
    """No Chrome on this machine."""


class ChromeNotStarted(OperatorError):
    """Chrome is there and does not come up.

    Attributes:
        sandbox: Whether it said that its sandbox is what does not work here.
        user: Whether it could not be run as the other user that it was to run as.
    """

    def __init__(self, message: str, *, sandbox: bool = False, user: bool = False) -> None:
        super().__init__(message)
        self.sandbox = sandbox
        self.user = user


class TemplatesBroken(OperatorError):
    """The template folder is missing, or a template in it is not whole."""


class AddressInUse(OperatorError):
    """The address to listen on cannot be had."""


class UnauthenticatedBind(OperatorError):
    """The service would listen to others than this machine, and has no token to tell them apart."""
