"""Signed addresses: what is signed, and that nothing else passes."""

import base64
import contextlib
import hashlib
import hmac
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from poster_service.credentials import SigningKey, signing_key
from poster_service.errors import (
    BadRequest,
    BadSignature,
    CallerError,
    ExpiryTooFar,
    InvalidField,
    JsonTooComplex,
    UnknownKey,
    UrlExpired,
)
from poster_service.web import signed
from poster_service.web.bodies import BodyLimits

OLD, NEW = signing_key("old", "0123456789abcdef"), signing_key("new", "fedcba9876543210")
LIMITS = BodyLimits(max_bytes=10_000, seconds=1, max_depth=5, max_items=100)
OPTIONS = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name not in (*signed.ABOUT, "template")),
    st.text(max_size=12),
    max_size=5,
)


def pairs_of(address: str) -> signed.Pairs:
    """The decoded query."""
    return parse_qsl(urlsplit(address).query, keep_blank_values=True, errors="strict")


def test_the_canonical_text_is_the_one_that_is_written_down() -> None:
    """By hand, with the standard library only: a program in another language signs like this."""
    pairs = [("width", "300"), ("data.title", "你 & ~ü+/"), ("key", "old"), ("expires", "1")]
    text = (
        "GET\n/render/card\ndata.title=%E4%BD%A0%20%26%20~%C3%BC%2B%2F&expires=1&key=old&width=300"
    )
    assert signed.canonical("card", pairs) == text
    by_hand = hmac.new(b"0123456789abcdef", text.encode(), hashlib.sha256).hexdigest()
    assert signed.signature(OLD, "card", pairs) == by_hand
    assert by_hand == "7f5086d1a7204a1e62718776c522dc2dd34aedf27d4a1dd49768c2d75e9fcd2b"


@given(OPTIONS)
def test_the_page_says_how_to_sign(options: dict[str, str]) -> None:
    """Its two lines, as they stand there."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    found = re.search(r"^ +query = (.*)\n +(hmac\.new.*)$", page, re.MULTILINE)
    assert found
    known: dict[str, Any] = {"quote": quote, "hmac": hmac, "pairs": options.items()}
    known |= {"key": OLD.secret, "template": "card"}
    known["query"] = eval(found[1], known)
    assert eval(found[2], known) == signed.signature(OLD, "card", list(options.items()))


@given(OPTIONS)
def test_a_signed_address_is_accepted_however_its_query_is_written(options: dict[str, str]) -> None:
    """In another order, in another encoding: the pairs are what is signed."""
    address = signed.address(NEW, "http://x/p/", {"template": "card", **options}, 77)
    assert address.startswith("http://x/p/render/card?")
    pairs = pairs_of(address)
    assert signed.verified([OLD, NEW], "card", pairs) == (NEW, 77)
    assert signed.verified([OLD, NEW], "card", pairs[::-1]) == (NEW, 77)
    otherwise = "&".join(
        "=".join("".join(f"%{byte:02x}" for byte in part.encode()) for part in pair)
        for pair in pairs
    )
    assert signed.verified([NEW], "card", pairs_of(f"?{otherwise}")) == (NEW, 77)


@given(OPTIONS, st.data())
def test_every_change_breaks_the_signature(options: dict[str, str], data: Any) -> None:
    """A value, a name, one more, one less, another template; the key's name is another key's."""
    pairs = pairs_of(signed.address(OLD, "http://x", {"template": "card", **options}, 77))
    at = data.draw(st.integers(0, len(pairs) - 1))
    text = st.text(max_size=6)
    what = data.draw(st.sampled_from(["value", "name", "more", "less", "template", "cut"]))
    changed, template = list(pairs), "card"
    if what == "value":
        changed[at] = (pairs[at][0], data.draw(text))
    elif what == "name":
        changed[at] = (data.draw(text), pairs[at][1])
    elif what == "more":
        changed.insert(at, (data.draw(text), data.draw(text)))
    elif what == "less":
        del changed[at]
    elif what == "cut":
        changed[at] = (pairs[at][0], pairs[at][1][:-1])
    else:
        template = "car"
    assume(sorted(changed) != sorted(pairs) or template != "card")
    with pytest.raises((BadSignature, UnknownKey)):
        signed.verified([OLD, NEW], template, changed)


def test_a_key_that_is_not_in_force_is_reported_as_such() -> None:
    """Taken away, or never there; with another's name it is a bad signature."""
    pairs = pairs_of(signed.address(OLD, "http://x", {"template": "card"}, 77))
    with pytest.raises(UnknownKey):
        signed.verified([NEW], "card", pairs)
    imposter = SigningKey("old", NEW.secret)
    with pytest.raises(BadSignature):
        signed.verified([imposter], "card", pairs)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the function that is made for it."""
    asked: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        asked.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    pairs = pairs_of(signed.address(OLD, "http://x", {"template": "card"}, 77))
    with pytest.raises(BadSignature):
        signed.verified([OLD], "card", pairs)
    assert len(asked) == 1


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e9", "٣", "1" * 13, " 1", "0x1"])
def test_an_expiry_that_is_no_number_is_refused_even_when_signed(text: str) -> None:
    """And is no crash."""
    pairs = [("key", "old"), ("expires", text)]
    whole = [*pairs, ("signature", signed.signature(OLD, "card", pairs))]
    with pytest.raises(BadSignature):
        signed.verified([OLD], "card", whole)


def test_its_time_is_over_or_too_far_away() -> None:
    """To the second."""
    signed.check_time(101, 100.0, 10)
    signed.check_time(110, 100.0, 10)
    for over in (100, 99, 0):
        with pytest.raises(UrlExpired):
            signed.check_time(over, 100.0, 10)
    with pytest.raises(ExpiryTooFar):
        signed.check_time(111, 100.0, 10)


@given(
    st.dictionaries(
        st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=4
    )
)
def test_data_comes_back_as_it_was(data: dict[str, Any]) -> None:
    """Base64url without padding, and with it."""
    text = signed.text_of(data)
    assert "=" not in text
    for given_ in (text, text + "=" * (-len(text) % 4)):
        assert signed.options_of("card", [("data", given_)], LIMITS)["data"] == data


def test_flat_data_is_nested_by_its_dots() -> None:
    """Strings all of it."""
    pairs = [
        ("data.title", "5"),
        ("data.author.name", "Lin"),
        ("data.author.x.y", ""),
        ("width", "9"),
    ]
    assert signed.options_of(
        "card", [*pairs, ("key", "k"), ("expires", "1"), ("signature", "s")], LIMITS
    ) == {
        "template": "card",
        "width": "9",
        "data": {"title": "5", "author": {"name": "Lin", "x": {"y": ""}}},
    }


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        ([("width", "1"), ("width", "1")], InvalidField),
        ([("html", "x")], InvalidField),
        ([("template", "x")], InvalidField),
        ([("data", "e30"), ("data.a", "1")], InvalidField),
        ([("data.a", "1"), ("data.a", "1")], InvalidField),
        ([("data.a", "1"), ("data.a.b", "1")], InvalidField),
        ([("data.a.b", "1"), ("data.a", "1")], InvalidField),
        ([("data.a.b", "1"), ("data.a.b.c", "1")], InvalidField),
        ([("data.", "1")], InvalidField),
        ([("data..a", "1")], InvalidField),
        ([("data.a.b.c.d.e.f", "1")], InvalidField),
        ([("data." + "a." * 3000 + "b", "1")], InvalidField),
        ([("data", "!")], BadRequest),
        ([("data", "e30 e30")], BadRequest),
        ([("data", "é")], BadRequest),
        ([("data", "e")], BadRequest),
        ([("data", base64.urlsafe_b64encode(b"{").decode())], BadRequest),
        ([("data", base64.urlsafe_b64encode(b"[" * 50).decode())], JsonTooComplex),
    ],
)
def test_a_query_that_makes_no_sense_is_reported(
    pairs: signed.Pairs, kind: type[CallerError]
) -> None:
    """After its signature was found right: by the caller who signed it."""
    with pytest.raises(kind):
        signed.options_of("card", pairs, LIMITS)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6), st.text())
def test_no_query_is_a_crash(pairs: signed.Pairs, more: str) -> None:
    """Signed or not: a CallerError, or a job."""
    with contextlib.suppress(CallerError):
        signed.verified(
            [OLD], "card", [*pairs, ("key", "old"), ("expires", "1"), ("signature", more)]
        )
    with contextlib.suppress(CallerError):
        signed.options_of("card", [*pairs, (f"data.{more}", more)], LIMITS)
