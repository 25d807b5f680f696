"""What one caller may use up: a bucket of renders, and a number at once."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import ConcurrencyLimited, RateLimited
from poster_service.web.quotas import Quotas


class Clock:
    """Seconds that pass when a test adds them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_the_burst_is_had_at_once_and_then_one_by_one() -> None:
    """30 a minute, 3 saved up: a fourth comes after two seconds, which the refusal names."""
    clock = Clock()
    quotas = Quotas(30, 3, None, clock)
    for _ in range(3):
        async with quotas.charge("web"):
            pass
    with pytest.raises(RateLimited) as caught:
        async with quotas.charge("web"):
            pass
    assert caught.value.retry_after == 2
    assert "allowed: 30 per minute" in str(caught.value)
    clock.now += 2
    async with quotas.charge("web"):
        pass
    with pytest.raises(RateLimited):
        async with quotas.charge("web"):
            pass
    async with quotas.charge("app"):  # another caller has its own
        pass


async def test_the_time_to_come_back_is_the_time_that_is_enough() -> None:
    """Exactly after it there is one, for any rate."""
    for rate in (0.5, 1, 7, 59, 60, 1000):
        clock = Clock()
        quotas = Quotas(rate, 1, None, clock)
        async with quotas.charge("web"):
            pass
        with pytest.raises(RateLimited) as caught:
            async with quotas.charge("web"):
                pass
        assert caught.value.retry_after == max(1, math.ceil(60 / rate))
        clock.now += 60 / rate
        async with quotas.charge("web"):
            pass


async def test_so_many_at_once_and_no_more_and_a_failed_one_counts_out() -> None:
    """However a render ends it is no longer under way; who is refused spends nothing."""
    clock = Clock()
    quotas = Quotas(60, 4, 2, clock)
    async with quotas.charge("web"), quotas.charge("web"):
        for _ in range(10):
            with pytest.raises(ConcurrencyLimited) as caught:
                async with quotas.charge("web", 2.5):
                    pass
            assert caught.value.retry_after == 3
        async with quotas.charge("app"):
            pass
    with pytest.raises(ZeroDivisionError):
        async with quotas.charge("web"):
            raise ZeroDivisionError
    async with quotas.charge("web"):
        pass


async def test_a_caller_without_a_name_is_not_limited() -> None:
    """Where there are no tokens, there are no callers to tell apart."""
    quotas = Quotas(1, 1, 1)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(quotas.charge(""))


@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=200), st.floats(0.1, 600), st.integers(1, 20)
)
async def test_never_more_than_burst_and_rate_together(
    pauses: list[float], rate: float, burst: int
) -> None:
    """Over any time from the start, with any pauses."""
    clock = Clock()
    quotas = Quotas(rate, burst, None, clock)
    had = 0
    for pause in pauses:
        clock.now += pause
        with contextlib.suppress(RateLimited):
            async with quotas.charge("web"):
                had += 1
        assert had <= burst + (clock.now - 1000) * rate / 60 + 1e-6
