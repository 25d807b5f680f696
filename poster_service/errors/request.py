"""Errors of a request that are known before anything is rendered."""

from collections.abc import Sequence

from poster_service.errors.base import CallerError, Fault


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
