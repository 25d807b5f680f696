"""How many Chromes are kept ready, for any history of leases."""

from hypothesis import given
from hypothesis import strategies as st

from poster_service.browser.demand import IDLE_SECONDS, MEMORY_SECONDS, Demand

GAPS = st.lists(st.floats(0, 20), max_size=60)


def after(demand: Demand, rate: float, seconds: float) -> int:
    """Leases at an even rate for so long, from time 0; what is to be ready then."""
    for number in range(int(rate * seconds)):
        demand.leased(number / rate)
    return demand.ready(seconds)


@given(GAPS, st.integers(1, 4), st.integers(4, 9), st.floats(0, 10))
def test_it_stays_within_its_bounds(gaps: list[float], least: int, most: int, start: float) -> None:
    """For every arrival, however slow the starts; and an idle service keeps the least."""
    demand, now = Demand(least, most), 0.0
    demand.started(start)
    for gap in gaps:
        now += gap
        demand.leased(now)
        assert least <= demand.ready(now) <= most
    assert demand.ready(now + 1_000) == least


def test_a_rate_asks_for_as_many_as_a_start_takes_and_some() -> None:
    """At 10 a second and 0.3 s a start there are 3 on their way at any time."""
    assert after(Demand(1, 64), 10, 60) == 4
    assert after(Demand(1, 64), 0.1, 600) == 1
    assert after(Demand(1, 3), 10, 60) == 3


def test_slow_starts_ask_for_more() -> None:
    """What a start takes is a running mean."""
    demand = Demand(1, 64)
    for _ in range(50):
        demand.started(2.0)
    assert 20 <= after(demand, 10, 60) <= 21


def test_the_rate_is_forgotten() -> None:
    """Idle, one after another is let go."""
    demand = Demand(1, 64)
    after(demand, 10, 60)
    kept = [demand.ready(60 + seconds) for seconds in range(60)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > kept[3]
    assert set(kept[4:]) == {1}


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 9)), min_size=1, max_size=40))
def test_the_busiest_moment_of_late_is_remembered(history: list[tuple[float, int]]) -> None:
    """The most of the last while, as a slow look at all of it finds it."""
    demand, now, reported = Demand(1, 1), 0.0, list[tuple[float, int]]()
    for gap, leased in history:
        now += gap
        reported.append((now, leased))
        recent = [count for when, count in reported if when >= now - MEMORY_SECONDS]
        assert demand.busy(leased, now) == max(recent)


def test_leases_that_would_wait_for_a_chrome_on_its_way_back_have_a_spare_one() -> None:
    """At 10 a second half of them would where the way back takes 50 ms; at one in 5 s none does."""
    demand = Demand(0, 4)
    after(demand, 10, 60)
    assert demand.spare(1, 60) == 1
    assert after(slow := Demand(0, 4), 0.2, 600) >= 0
    assert slow.spare(1, 600) == 0


def test_a_way_back_that_takes_longer_needs_a_spare_one_sooner() -> None:
    """What it takes is a running mean; so the same leases ask for one, or for none."""
    demand = Demand(0, 4)
    after(demand, 1, 60)
    assert demand.spare(1, 60) == 0
    for _ in range(50):
        demand.renewed(0.5)
    assert demand.spare(1, 60) == 1


def test_the_spare_one_is_let_go_when_no_lease_comes() -> None:
    """And at every rate it is kept within the bounds."""
    demand = Demand(0, 4)
    after(demand, 10, 60)
    assert demand.spare(1, 60) == 1
    assert demand.spare(1, 60 + IDLE_SECONDS + 0.1) == 0
    assert after(bound := Demand(0, 0), 10, 60) == 0
    assert bound.spare(1, 60) == 0
    assert Demand(2, 4).spare(1, 0) == 2


def test_a_rate_near_the_edge_does_not_start_and_end_one_again_and_again() -> None:
    """It is kept at a rate at which none would be started."""
    demand, fresh = Demand(0, 4), Demand(0, 4)
    after(demand, 3, 60)
    assert demand.spare(1, 60) == 1
    after(fresh, 1, 60)
    assert fresh.spare(1, 60) == 0
    for number in range(30):
        demand.leased(60 + number)
    assert demand.spare(1, 90) == 1


def test_none_is_spare_beside_as_many_as_there_are_leases() -> None:
    """The next lease begins when one of them is back, so that another would wait for ever."""
    demand = Demand(0, 4, leases=2)
    after(demand, 10, 60)
    assert [demand.spare(busy, 60) for busy in (1, 2, 1, 3)] == [1, 0, 1, 0]
    bound = Demand(1, 4, leases=2)
    after(bound, 10, 60)
    assert bound.spare(2, 60) == 1
