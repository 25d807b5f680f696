"""The judgement of the scaling bench, on costs that are known."""

import pytest

from bench.scaling.fit import growth, load_knee

SIZES = (1, 2, 5, 10, 20, 50, 100)


def test_fixed_and_growing_parts_are_distinguished() -> None:
    """The line is found where there is one, and the knee is where both parts are equal."""
    how = growth(SIZES, [80 + 4 * size for size in SIZES])
    assert (how.fixed, how.each, how.knee) == pytest.approx((80, 4, 20))
    assert how.is_linear


def test_worse_than_linear_is_reported() -> None:
    """A square is seen by its exponents."""
    how = growth(SIZES, [size**2 for size in SIZES])
    assert how.exponents == pytest.approx([2] * 6)
    assert not how.is_linear


def test_the_knee_of_a_load_is_where_more_callers_bring_nothing() -> None:
    """It is the least load that is nearly the best, not the best itself."""
    assert load_knee([1, 2, 4, 8], [4.0, 7.8, 8.1, 8.2]) == 2
