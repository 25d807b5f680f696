"""How long each phase took, as the Server-Timing header tells it."""

import re

import pytest

from poster_service.stats import Phases


def test_phases_are_reported_in_the_order_they_came() -> None:
    """In milliseconds with one decimal."""
    phases = Phases()
    for name in ("queue", "lease", "load"):
        with phases.phase(name):
            pass
    assert re.fullmatch(
        r"queue;dur=\d+\.\d, lease;dur=\d+\.\d, load;dur=\d+\.\d", phases.server_timing()
    )


def test_a_phase_that_fails_is_timed_all_the_same() -> None:
    """The error goes on its way."""
    phases = Phases()
    with pytest.raises(ValueError, match="x"), phases.phase("load"):
        raise ValueError("x")
    assert phases.milliseconds["load"] >= 0


def test_a_phase_that_comes_twice_adds_up() -> None:
    """And keeps its first place."""
    phases = Phases()
    phases.milliseconds = {"load": 1000.0, "capture": 1.0}
    with phases.phase("load"):
        pass
    assert list(phases.milliseconds) == ["load", "capture"]
    assert phases.milliseconds["load"] >= 1000.0


def test_without_phases_there_is_nothing_to_tell() -> None:
    """An empty header value."""
    assert Phases().server_timing() == ""
