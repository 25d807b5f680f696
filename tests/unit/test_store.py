"""What is put into Redis is what comes out, and anything else is nothing."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import InvalidSettings
from poster_service.render.cache import CachedImage
from poster_service.render.formats import FORMATS
from poster_service.render.job import CacheControl, RenderContext
from poster_service.render.picture import Picture, Rendered
from poster_service.render.store import Entry
from poster_service.settings import Settings
from poster_service.stats import Phases
from tests.unit.jobs import build

TIMES = st.floats(min_value=0, max_value=1e11)


PICTURES = st.builds(Picture, st.sampled_from(FORMATS), st.binary(), st.text(), st.text())


@given(
    pictures=st.lists(PICTURES, min_size=1, max_size=4).map(tuple),
    since=TIMES,
    until=TIMES | st.just(math.inf),
)
def test_an_entry_survives(pictures: tuple[Picture, ...], since: float, until: float) -> None:
    """With any bytes, of one picture or several."""
    entry = Entry(pictures, since, until)
    assert Entry.unpacked(entry.packed()) == entry


@given(st.binary())
def test_anything_else_is_none(raw: bytes) -> None:
    """Never an error."""
    assert Entry.unpacked(raw) is None


def test_a_cut_off_picture_is_none() -> None:
    """Nor is one with something behind it."""
    packed = Entry((Picture("png", b"picture", "x"),), 1.0, 2.0).packed()
    for other in (packed[:-1], packed + b"x", packed[1:], b"{}\npicture", b"null\n"):
        assert Entry.unpacked(other) is None


def cached(*, ago: float, left: float) -> CachedImage:
    """A picture of some seconds ago, good for some more."""
    now = time.monotonic()
    rendered = Rendered((Picture("png", b"x", "e"),), Phases(), now + left)
    return CachedImage(rendered, now - ago, now + left)


def test_times_mean_the_same_elsewhere() -> None:
    """Within what the clocks of two machines differ by; here none."""
    for left in (50.0, math.inf):
        one = cached(ago=10, left=left)
        other = CachedImage.of(one.entry())
        assert other.since == pytest.approx(one.since, abs=0.5)
        assert other.until == pytest.approx(one.until, abs=0.5)
        assert (other.rendered.body, other.rendered.etag) == (b"x", "e")
        assert other.is_whole


def test_a_clock_that_is_ahead_makes_no_picture_of_the_future() -> None:
    """Its age is not negative."""
    entry = cached(ago=-100, left=500).entry()
    assert CachedImage.of(entry).since <= time.monotonic()


@pytest.mark.parametrize(
    ("ago", "left", "ttl", "max_age", "good"),
    [
        (10, 50, None, math.inf, True), (10, 50, None, 20, True), (10, 50, None, 5, False),
        (10, 0, None, math.inf, False), (10, 0, 20, math.inf, True), (10, 50, 5, math.inf, False),
    ],
)  # fmt: skip
def test_what_will_do(ago: float, left: float, ttl: int | None, max_age: float, good: bool) -> None:
    """By its own time, the job's and the caller's."""
    context = RenderContext(cache_control=CacheControl(max_age=max_age))
    job = build(context, html="x", cache_ttl=ttl)
    assert cached(ago=ago, left=left).is_good(job, time.monotonic()) is good


@pytest.mark.parametrize(
    "address",
    [
        "localhost:6379/",
        "http://x/",
        "redis://host:port/",
        "redis://host:99999/",
        "",
        "redis://host/?timeout=",
        "redis://host/?decode_responses=",
    ],
)
def test_an_address_of_something_else_is_refused(address: str) -> None:
    """Without telling it, since there may be a password in it."""
    with pytest.raises(InvalidSettings) as refused:
        Settings.load({"POSTER_REDIS_URL": address + "secret"}, {})
    assert "POSTER_REDIS_URL" in str(refused.value)
    assert "secret" not in str(refused.value)
