"""Errors of the service itself: no room now, or it cannot run."""

from poster_service.errors.base import PosterError


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
