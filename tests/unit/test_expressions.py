"""Regular expressions of callers: what is one, what is refused, and that none makes a loop wait."""

import asyncio

import pytest

from poster_service.fetch.expressions import (
    MAX_COMPARED,
    Expressions,
    check_all,
    check_expression,
    compared,
)

#: Expressions of which the largest that fits takes the most steps for each byte (measured).
WORST = ("(a|b)*a(a|b){%d}", "(.*a){%d}c", "([ab]?){%d}c")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("(", "missing )"),
        ("*", "no argument for repetition"),
        ("[z-a]", "invalid character class range"),
        ("(?=a)", "invalid perl operator"),
        (r"(a)\1", "invalid escape sequence"),
        ("a{2000}", "invalid repetition size"),
        ("(a{100}){100}", "invalid repetition size"),
        ("(.*a){500}", "is too large"),
        (r"\pL+", "class of Unicode characters"),
        (r"x\\\PN", "class of Unicode characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_reason(expression: str, reason: str) -> None:
    """RE2's own words, or the bound."""
    with pytest.raises(ValueError, match=r"RE2 expression|too large|Unicode") as caught:
        check_expression(expression)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "expression", [r"^https?://(www\.)?a\.test/", r"\.(png|jpe?g)(\?|$)", "(?i)ADS", r"\\p", ""]
)
def test_what_people_write_is_taken(expression: str) -> None:
    """As it is."""
    assert check_expression(expression) == expression


async def test_an_expression_may_match_anywhere() -> None:
    """All that match are listed, in order; a fragment is not part of an address."""
    found = Expressions(("b.test", "^https", "^b", "(?i)A.TEST", "part"))
    assert await found.matching("https://a.test/#part") == (1, 3)
    assert await Expressions(()).matching("https://a.test/") == ()
    assert not Expressions(())


def test_a_list_is_refused_that_is_too_large_together() -> None:
    """Though each of it would be taken; what is left out is the list's own fault."""
    one = "a{300}"
    check_all([one] * 6)
    with pytest.raises(ValueError, match=r"2\d\d\d instructions of 2000"):
        check_all([one] * 7)


def largest(template: str) -> str:
    """The largest expression of a form that is taken."""
    for size in range(1000, 0, -20):
        try:
            return check_expression(template % size)
        except ValueError:
            continue
    raise AssertionError(template)


async def test_the_loop_goes_on_while_the_worst_is_matched() -> None:
    """Two of the largest, as many as a list may have; the same in Python's `re` would not end."""
    address = "".join("ab"[number * number % 7 % 2] for number in range(100_000))
    turns, over = 0, False

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not over:
            loop.call_soon(turn)  # one for each turn of the loop, however long it takes

    loop = asyncio.get_running_loop()
    turn()
    for template in WORST:
        before = turns
        await Expressions([largest(template)] * 2).matching(address)
        assert turns > before, template
    over = True


def test_an_address_is_compared_by_both_its_ends() -> None:
    """With any characters."""
    assert compared("https://a.test/#x") == b"https://a.test/"
    assert len(compared("ä" * 100_000 + "z")) == MAX_COMPARED
    assert compared("ä" * 100_000 + "z").endswith(b"z")
    assert compared("\ud800") == b"?"
