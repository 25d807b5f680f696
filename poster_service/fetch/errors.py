"""Why a page does not get what it requested. These errors stay inside: callers see warnings."""

from typing import Literal

from poster_service.browser.types import Reply


class FetchError(Exception):
    """A request of a page was not answered; the message is for the log.

    Attributes:
        verb: "denied" or "failed", as in `X-Render-Warnings`.
        reason: Short and stable, for programs, e.g. "timeout".
        url: The address, where it is not that of the request; else None.
        head: Status and headers of the response whose body was not usable; else None.
    """

    verb: Literal["denied", "failed"] = "failed"

    def __init__(self, reason: str, message: str = "", url: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.url = url
        self.head: Reply | None = None


class RequestDenied(FetchError):
    """A rule of this service forbids the request."""

    verb = "denied"


class RequestFailed(FetchError):
    """The request was allowed, but no usable response came."""
