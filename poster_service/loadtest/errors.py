"""Why a load test cannot run; reported in one line, with exit status 2."""

from poster_service.errors import OperatorError


class CannotTest(OperatorError):
    """Wrong usage, or a service that cannot be reached or inspected."""
