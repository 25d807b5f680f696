"""Tokens and keys as their owner writes them; no fault and no `repr` tells a secret."""

import contextlib
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.credentials import from_lines, from_pairs, owner_of, signing_key, token

SECRET = "0123456789abcdef"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


def test_a_token_is_known_by_itself_or_by_its_digest() -> None:
    """Both forms are the same token; only the first holds the secret."""
    plain, hashed = token("web", SECRET), token("web", f"sha256:{DIGEST.upper()}")
    assert plain.digest == hashed.digest
    assert (plain.in_clear, hashed.in_clear) == (True, False)
    for one in (plain, hashed, signing_key("web", SECRET)):
        assert SECRET not in repr(one)
        assert DIGEST not in repr(one)


def test_pairs_and_lines_are_the_same_list() -> None:
    """Blanks, comments and `=` at the end of a secret are as one expects."""
    pairs = from_pairs(f"web={SECRET}==, app = {SECRET}x ,", token)
    lines = from_lines(f"# ours\n\nweb {SECRET}==\n  app\t{SECRET}x  \n", token)
    assert pairs == lines
    assert [one.name for one in pairs] == ["web", "app"]


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("web", "entry 1: must be name=secret"),
        (f"web={SECRET},app", "entry 2: must be name=secret"),
        ("web=0123456789abcde", "entry 1: web: must have at least 16 characters"),
        ("web=sha256:0123", "entry 1: web: must have 64 hexadecimal digits after sha256:"),
        (f"web={SECRET} {SECRET}", "entry 1: web: must consist of"),
        (f"we b={SECRET}", "entry 1: the name must be"),
        (f"={SECRET}", "entry 1: the name must be"),
        (f"{'x' * 65}={SECRET}", "entry 1: the name must be"),
    ],
)
def test_a_fault_names_the_entry(text: str, reported: str) -> None:
    """And what would be right."""
    with pytest.raises(ValueError, match=r"entry \d") as caught:
        from_pairs(text, token)
    assert str(caught.value).startswith(reported)


@given(st.text(max_size=60))
def test_no_fault_tells_what_was_written(text: str) -> None:
    """In any form: the secret may be where the name belongs."""
    for read in (from_pairs, from_lines):
        with contextlib.suppress(ValueError):
            read(f"{text}{SECRET}\u00e9", token)
            continue
        with pytest.raises(ValueError, match=r"^(?!.*0123456789abcdef)"):
            read(f"{text}{SECRET}\u00e9", token)


def test_the_owner_is_found_among_many_and_no_other() -> None:
    """The last of equals; text that no token could be is nobody's."""
    tokens = from_pairs(",".join(f"n{at}={SECRET}{at}" for at in range(50)), token)
    assert owner_of(tokens, f"{SECRET}17") == "n17"
    for other in (SECRET, "", f"{SECRET}50", f"{SECRET}17 ", "\udcff", "é" * 20):
        assert owner_of(tokens, other) is None


def test_every_token_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """In constant time: as many comparisons for the first as for the last, and for none."""
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = from_pairs(",".join(f"n{at}={SECRET}{at}" for at in range(5)), token)
    for given_ in (f"{SECRET}0", f"{SECRET}4", "nobody"):
        compared.clear()
        owner_of(tokens, given_)
        assert len(compared) == 5
