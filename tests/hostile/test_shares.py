"""No page takes the network from another: names, connections and descriptors are shared."""

import pytest

from tests.hostile.conftest import World, in_both_chromes

#: A page that a hostile server serves at once, by a name that must be looked up.
GOOD = "<img src='https://hostile.test/green'><img src='https://other.test/green'>"


def pictures(address: str, count: int) -> str:
    """A page with so many pictures; N is a number."""
    return "".join(f"<img src='{address.replace('N', str(i))}'>" for i in range(count))


@in_both_chromes
def test_names_that_are_never_answered_hold_up_no_other_page(any_world: World) -> None:
    """300 of them: other pages get theirs, and with the page its look-ups are gone."""
    crowd = [pictures("https://nN.silent.test/", 300)] * 2
    settings = {"fetch_timeout_ms": 10_000}
    seen = any_world.render_beside(crowd, GOOD, settings=settings, after=16)
    assert seen.status == 200
    assert seen.warnings == ""
    assert len([hit for hit in seen.hits if "/green" in hit]) == 2
    assert seen.open[1] <= 2 * 8 + 8


@pytest.mark.slow
def test_a_name_that_is_never_answered_costs_its_own_time_only(world: World) -> None:
    """It ends with the time of a fetch, and so does its look-up."""
    page = pictures("https://nN.silent.test/", 8) + GOOD
    seen = world.render(page, hold=0, settings={"fetch_timeout_ms": 3_000})
    assert seen.status == 200
    assert "reason=timeout" in seen.warnings
    assert len([hit for hit in seen.hits if "/green" in hit]) == 2


def test_servers_that_never_answer_hold_no_more_than_their_share(any_world: World) -> None:
    """Two pages that ask for 1,000 things, each of another host: few sockets, and none for ever."""
    crowd = [pictures(f"https://n{name}N.many.test/silent", 1_000) for name in "ab"]
    settings = {"fetch_timeout_ms": 10_000, "fetch_connections": 32}
    seen = any_world.render_beside(crowd, GOOD, settings=settings, after=40)
    assert seen.status == 200
    assert seen.warnings == ""
    assert 8 < seen.open[0] <= 2 * 8 + 4


@pytest.mark.slow
def test_connections_that_are_kept_open_are_bounded(world: World) -> None:
    """100 hosts that answer at once: every picture comes, and few connections stay."""
    crowd = [pictures(f"https://n{name}N.many.test/green", 50) for name in "ab"]
    settings = {"fetch_connections": 20, "fetch_timeout_ms": 20_000}
    seen = world.render_beside(crowd, GOOD, settings=settings, after=0, to_the_end=True)
    assert list(seen.reported) == ["", ""]
    assert len([hit for hit in seen.hits if "many.test/green" in hit]) == 100
    assert 16 <= seen.open[0] <= 20 + 16  # one that is being closed is counted until it is


@pytest.mark.slow
def test_a_page_waits_for_its_turn_without_losing_its_time(world: World) -> None:
    """Eight at a time through four places: none is late, since its time begins with its turn.

    All together take 10 s, and a busy machine may take 7 s for one that takes 1 s.
    """
    page = pictures("https://nN.many.test/slow?ms=1100", 36)
    settings = {"fetch_connections": 4, "fetch_timeout_ms": 8_000}
    seen = world.render(page, hold=0, settings=settings)
    assert seen.status == 200
    assert seen.warnings == ""
    assert len(seen.hits) == 36
