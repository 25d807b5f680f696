"""How long a response stays fresh: what its server states, no heuristics."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.browser.types import Reply
from poster_service.fetch.http_cache import (
    MAX_DELTA_SECONDS,
    CacheLifetime,
    directives,
    freshness,
    is_animated,
)

NOW = 1_800_000_000.0


def reply(status: int = 200, body: bytes = b"x", **headers: str) -> Reply:
    """An answer; `cache_control` is the header Cache-Control."""
    return Reply(status, tuple((k.replace("_", "-"), v) for k, v in headers.items()), body)


def date(offset: float) -> str:
    """So many seconds from NOW."""
    return formatdate(NOW + offset, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({}, 0),
        ({"last_modified": date(-1e6)}, 0),  # no guess
        ({"cache_control": "max-age=60"}, 60),
        ({"cache_control": "public, MAX-AGE=60"}, 60),
        ({"cache_control": 'max-age="60"'}, 60),
        ({"cache_control": "max-age=60, s-maxage=10"}, 10),
        ({"cache_control": "s-maxage=0, max-age=60"}, 0),
        ({"cache_control": "max-age=60, max-age=999"}, 60),
        ({"cache_control": "max-age=60", "age": "50"}, 10),
        ({"cache_control": "max-age=60", "age": "70"}, 0),
        ({"cache_control": "max-age=60", "date": date(-20)}, 40),
        ({"cache_control": "max-age=60", "date": date(20)}, 60),
        ({"cache_control": "max-age=60", "expires": "0"}, 60),
        ({"expires": date(30), "date": date(0)}, 30),
        ({"expires": date(30), "date": date(-10)}, 30),
        ({"expires": date(-30)}, 0),
        ({"expires": "0"}, 0),
        ({"expires": "tomorrow"}, 0),
        ({"cache_control": "max-age=-1"}, 0),
        ({"cache_control": "max-age=soon", "expires": date(30)}, 0),
        ({"cache_control": "max-age=99999999999999999999"}, MAX_DELTA_SECONDS),
        ({"cache_control": "max-age=60, no-store"}, 0),
        ({"cache_control": "max-age=60, no-cache"}, 0),
        ({"cache_control": 'max-age=60, no-cache="x, y"'}, 0),
        ({"cache_control": "private, max-age=60"}, 0),
        ({"cache_control": 'private="set-cookie", max-age=60'}, 0),
        ({"cache_control": "max-age=60", "vary": "*"}, 0),
        ({"cache_control": "max-age=60", "vary": "Accept"}, 60),
        ({"cache_control": "max-age=60", "set_cookie": "a=b"}, 0),
    ],
)
def test_the_time_left_is_what_the_server_says(headers: dict[str, str], left: float) -> None:
    """RFC 9111, section 4.2, for a shared cache."""
    answer = Reply(200, tuple((k.replace("_", "-"), v) for k, v in headers.items()), b"x")
    assert freshness(answer, NOW, NOW).left == left


def test_the_time_that_the_answer_took_counts() -> None:
    """It may have been made at the beginning of that."""
    assert freshness(reply(cache_control="max-age=60"), NOW - 5, NOW).left == 55


@pytest.mark.parametrize(("status", "left"), [(200, 60), (301, 60), (404, 60), (206, 0), (500, 0)])
def test_only_whole_answers_and_those_for_all_callers_are_kept(status: int, left: float) -> None:
    """The max-age of a server error has no effect."""
    assert freshness(reply(status, cache_control="max-age=60"), NOW, NOW).left == left


TEXT = st.text(st.characters(max_codepoint=0x17F), max_size=60)


@given(TEXT, TEXT, TEXT, TEXT)
def test_no_header_breaks_it(control: str, expires: str, made: str, age: str) -> None:
    """For all headers of an untrusted server the lifetime is a number in bounds."""
    found = freshness(
        reply(cache_control=control, expires=expires, date=made, age=age), NOW, NOW
    )  # fmt: skip
    assert 0 <= found.left <= MAX_DELTA_SECONDS
    assert found.age >= 0


@given(st.dictionaries(st.from_regex(r"[a-z-]{1,9}", fullmatch=True), st.integers(0, 9)))
def test_directives_are_read_as_they_were_written(given_: dict[str, int]) -> None:
    """In any order, any case."""
    line = " ,".join(f"{name.upper()}={value}" for name, value in given_.items())
    assert directives(line) == {name: str(value) for name, value in given_.items()}


def test_a_lifetime_is_as_short_as_the_shortest_of_what_was_fetched() -> None:
    """Infinite with nothing, nothing with one that does not say."""
    lifetime, begin = CacheLifetime(), time.monotonic()
    assert lifetime.until == float("inf")
    lifetime.add_fetched("Image", "GET", reply(cache_control="max-age=1000"))
    lifetime.add_fetched("Image", "GET", reply(cache_control="max-age=100"))
    assert begin + 90 < lifetime.until <= time.monotonic() + 100
    lifetime.add_fetched("Image", "GET", reply())
    assert lifetime.until <= time.monotonic()


@pytest.mark.parametrize(
    ("status", "broken"), [(200, False), (301, False), (404, True), (503, True)]
)
def test_an_error_of_a_server_is_seen(status: int, broken: bool) -> None:
    """Its picture lacks something that may be there tomorrow."""
    lifetime = CacheLifetime()
    lifetime.add_fetched("Image", "GET", Reply(status, (), b""))
    lifetime.add_fetched("Image", "GET", reply(cache_control="max-age=1000"))
    assert lifetime.is_broken is broken


def test_what_was_sent_is_never_the_same_again() -> None:
    """Each POST is sent to the server, even if the response may be cached."""
    lifetime = CacheLifetime()
    lifetime.add_fetched("Fetch", "POST", reply(cache_control="max-age=1000"))
    assert lifetime.until <= time.monotonic()


@pytest.mark.parametrize(
    ("kind", "body", "media", "expected"),
    [
        ("Stylesheet", b"p { color: red }", "text/css", False),
        ("Stylesheet", b"p { ANIMATION: x 1s }", "text/css", True),
        ("Image", b"<svg><animate/></svg>", "image/svg+xml", True),
        ("Image", b"<svg><path/></svg>", "image/svg+xml", False),
        ("Image", b"GIF89a....NETSCAPE2.0", "image/gif", True),
        ("Image", b"GIF89a....", "image/gif", False),
        ("Font", b"NETSCAPE2.0", "font/woff2", False),
    ],
)
def test_what_moves_is_seen(kind: str, body: bytes, media: str, expected: bool) -> None:
    """In style sheets, drawings and picture files."""
    answer = reply(body=body, Content_Type=media)
    assert is_animated(kind, answer) is expected
    lifetime = CacheLifetime()
    lifetime.add_part(kind, answer)
    assert (lifetime.until == 0) is expected
