"""What a suite leaves out is not collected: a third of all parameters is for `make endurance`.

pytest makes an object of each test, sorts them and then drops what `-m` leaves out, and each worker
of pytest-xdist does so.
"""

from collections.abc import Iterable

import pytest


def leaves_out_endurance(config: pytest.Config) -> bool:
    """Whether `-m` is a list of what not to run, with `endurance` in it."""
    words = config.getoption("markexpr").split(" and ")
    return "not endurance" in words and all(one.startswith("not ") for one in words)


def is_for_endurance(marks: Iterable[pytest.Mark]) -> bool:
    """Whether one of the marks says so."""
    return any(mark.name == "endurance" for mark in marks)


def drop_parameters(metafunc: pytest.Metafunc) -> None:
    """Keep only those parameters that may run, or one for `-m` to leave out.

    Without any, pytest would call the test without parameters.
    """
    every = metafunc._calls
    some = [call for call in every if not is_for_endurance(call.marks)]
    metafunc._calls = some or every[:1]
