"""What the tests of the load test share."""

import ctypes
from collections.abc import Iterator

import pytest

from poster_service.loadtest.command_target import PR_SET_CHILD_SUBREAPER


@pytest.fixture(autouse=True)
def no_subreaper_afterwards() -> Iterator[None]:
    """A load test makes its process a subreaper; in this one that must end with the test.

    Else the orphans of every later test would become pytest's, which waits for no child it does not
    know.
    """
    yield
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0
