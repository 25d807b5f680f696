"""What a caller blocks, allows and answers itself: kinds, patterns and expressions."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.browser.types import Request
from poster_service.render.request_options import Allow, Block, CannedResponse
from poster_service.render.request_rules import RequestRules, matches

WORDS = st.text(alphabet="ab*", max_size=12)


@given(WORDS, st.text(alphabet="ab", max_size=12))
def test_a_pattern_is_what_a_regular_expression_would_be(pattern: str, text: str) -> None:
    """With `.*` for each star; the real one takes no regular expression."""
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
    assert matches(text, tuple(pattern.split("*"))) == expected


async def is_blocked(
    kind: str, url: str, block: dict[str, Any] | None = None, allow: dict[str, Any] | None = None
) -> bool:
    """Whether rules block an address."""
    rules = RequestRules(Block(**block) if block else None, Allow(**allow) if allow else None)
    return await rules.blocks_address(kind, url)


@pytest.mark.timeout(20)
async def test_no_pattern_and_no_address_makes_it_slow() -> None:
    """Fifty of the worst against the longest: a regular expression of Python would not end."""
    patterns = ["*" + "a*" * 400 + "b" * (1 + number) for number in range(50)]
    rules = RequestRules(Block(patterns=tuple(patterns)))
    begin = time.process_time()
    assert not await rules.blocks_address("Image", "a" * 2_000_000)
    assert time.process_time() - begin < 1


async def test_a_long_address_is_compared_by_both_its_ends() -> None:
    """And never its fragment."""
    url = "https://a.test/" + "x" * 100_000 + ".svg"
    assert await is_blocked("Image", url + "#part", {"patterns": ("https://a.test/*.svg",)})
    assert await is_blocked("Image", url + "#part", {"expressions": (r"^https://a\..*\.svg$",)})
    assert not await is_blocked("Image", url, {"patterns": ("*.png",), "expressions": ("png$",)})


async def test_the_page_itself_is_never_blocked_nor_answered() -> None:
    """By no rule; a frame is."""
    canned = CannedResponse(expression=".")
    rules = RequestRules(Block(types=("document",), patterns=("*",)), None, (canned,))
    main = Request("https://a.test/", "GET", {}, None, "Document", is_main=True)
    frame = Request("https://a.test/", "GET", {}, None, "Document")
    assert (await rules.blocks(main), await rules.blocks(frame)) == (False, True)
    assert (await rules.answer(main), await rules.answer(frame) is None) == (None, False)
    assert not await RequestRules().blocks(frame)
    assert await is_blocked("XHR", "x", {"types": ("fetch",)})
    only = RequestRules(None, Allow(types=("image",)))
    assert (await only.blocks(main), await only.blocks(frame)) == (False, True)


@pytest.mark.parametrize(
    ("allow", "is_allowed"),
    [
        ({"types": ("image",)}, True),
        ({"types": ("font", "script")}, False),
        ({"patterns": ("https://a.test/*",)}, True),
        ({"patterns": ("https://b.test/*",)}, False),
        ({"expressions": (r"\.svg$",)}, True),
        ({"expressions": (r"\.SVG$", "(?i)none")}, False),
        ({"patterns": ("https://b.test/*",), "expressions": ("a.test",)}, True),
        ({"types": ("image",), "expressions": ("b.test",)}, False),
        ({"types": ("font",), "expressions": ("a.test",)}, False),
    ],
)
async def test_what_is_allowed_is_of_a_kind_and_at_an_address_that_are(
    allow: dict[str, Any], is_allowed: bool
) -> None:
    """Both, where both are given; patterns and expressions are alternatives."""
    assert await is_blocked("Image", "https://a.test/x.svg", None, allow) != is_allowed


async def test_what_is_blocked_is_blocked_although_it_is_allowed() -> None:
    """The stricter rule counts."""
    block, allow = {"expressions": ("x",)}, {"types": ("image",)}
    assert await is_blocked("Image", "https://a.test/x.svg", block, allow)
    assert not await is_blocked("Image", "https://a.test/y.svg", block, allow)


async def test_the_first_response_that_fits_is_given() -> None:
    """With its media type instead of a header of that name."""
    rules = RequestRules(
        respond=(
            CannedResponse(expression="none"),
            CannedResponse(
                expression="a.test", status=404, content_type="text/plain", body="ä",
                headers={"content-type": "text/html", "X-A": "1"},
            ),
            CannedResponse(expression="."),
        )
    )  # fmt: skip
    found = await rules.answer(Request("https://a.test/", "GET", {}, None, "Image"))
    assert found is not None
    assert (found.status, found.body) == (404, "ä".encode())
    assert found.headers == (("X-A", "1"), ("Content-Type", "text/plain"))


async def test_a_body_in_base64_is_sent_as_its_bytes() -> None:
    """A picture, for instance."""
    canned = CannedResponse(expression=".", body="AAECAw==", encoding="base64")
    found = await RequestRules(respond=(canned,)).answer(
        Request("https://a.test/", "GET", {}, None, "Image")
    )
    assert found is not None
    assert found.body == bytes(range(4))
