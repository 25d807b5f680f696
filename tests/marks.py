"""Which parameters of a test are for which suite: some of a kind are enough until a release."""

from collections.abc import Sequence
from typing import Any

import pytest


def some_in_make_test(values: Sequence[Any], step: int, *marks: pytest.MarkDecorator) -> list[Any]:
    """Parameters, of which every `step`th has the marks; the rest are for `make endurance`."""
    return [
        pytest.param(one, marks=pytest.mark.endurance if place % step else marks)
        for place, one in enumerate(values)
    ]


def some_in_quick(values: Sequence[Any], step: int) -> list[Any]:
    """Parameters, of which every `step`th is in the quick suite too; the rest are slow."""
    return [
        pytest.param(one, marks=[pytest.mark.slow] * (place % step > 0))
        for place, one in enumerate(values)
    ]


def steps_through_a_table(step: int) -> pytest.MarkDecorator:
    """The argument `step` of a test that goes through a table itself, `TABLE[::step]`.

    `make test` takes every `step`th line, `make endurance` all of them.
    """
    return pytest.mark.parametrize(
        "step",
        [
            pytest.param(step, id="some", marks=pytest.mark.slow),
            pytest.param(1, id="all", marks=pytest.mark.endurance),
        ],
    )
