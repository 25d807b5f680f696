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
    │   ├── FetchDenied             strict, and the network policy denied a fetch
    │   ├── Unauthorized            no token, or an unknown one
    │   ├── CrossOriginForm         a form that a page of another origin sent
    │   ├── UnknownHost             a Host header with a name that is not in POSTER_SERVER_NAMES
    │   ├── Forbidden               a signed URL that is invalid or has expired
    │   │   ├── BadSignature
    │   │   ├── UnknownKey
    │   │   ├── UrlExpired
    │   │   └── ExpiryTooFar
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
    │   └── RenderTimeout
    └── OperatorError               the service cannot run; one line on stderr
        ├── InvalidSettings
        ├── ChromeNotFound
        ├── ChromeNotStarted
        ├── TemplatesBroken
        ├── AddressInUse
        └── UnauthenticatedBind

An error has a short public sentence: what is wrong, the value seen, what is allowed. Its cause is
for the log only. `web/problems.py` has the one table that gives each error its HTTP status.
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
    """The content type is not one that /render reads."""

    code = "unsupported_media_type"


class PictureTooLarge(CallerError):
    """The page turned out to be larger than a picture may be."""

    code = "picture_too_large"


class FetchDenied(CallerError):
    """A strict render whose page made a request that the network policy denies."""

    code = "fetch_denied"


class Unauthorized(CallerError):
    """The path needs a token.

    Attributes:
        sent: Whether a token was sent, and is unknown.
    """

    code = "unauthorized"
    sent = False


class CrossOriginForm(CallerError):
    """A browser sends a form for a page of another origin, which is not in POSTER_CORS_ORIGINS."""

    code = "cross_origin_form"


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


class RenderTimeout(RenderFailed):
    """The render took longer than its timeout."""

    code = "render_timeout"


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
