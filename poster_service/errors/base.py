"""The roots of the errors, and what an error says of one field."""

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
