"""What of Browser Run's answers is made here, and how its expressions are read."""

import json
from typing import Any

import pytest

from poster_service.errors import ContentTooLarge, Overloaded, RenderTimeout
from poster_service.web.compat.cloudflare import markdown, results
from poster_service.web.compat.cloudflare.bodies import Links
from poster_service.web.compat.cloudflare.translation import expression


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (r"\.css$", r"\.css$"), ("/^.*\\.(css)", "^.*\\.(css)"), ("/ads/", "ads"),
        ("/Ads/i", "(?i)Ads"), ("/a/gu", "a"), ("/path", "/path"), ("/a/b", "/a/b"),
        ("/a/smg", "(?ms)a"), ("", ""),
        ("https://a.test/x/", "https://a.test/x/"),
    ],
)  # fmt: skip
def test_an_expression_is_read_with_and_without_slashes(given: str, meant: str) -> None:
    """An address is none with slashes around it."""
    assert expression(given) == meant


@pytest.mark.parametrize(
    ("timing", "milliseconds"),
    [
        ("queue;dur=5.0, lease;dur=9.0, setup;dur=1.4, load;dur=20.2, wait;dur=1.0, "
         "capture;dur=3.0, encode;dur=7.0", 26),
        ("cache;dur=0.4", 0), ("", 0),
    ],
)  # fmt: skip
def test_the_time_of_a_browser_is_that_of_its_phases(timing: str, milliseconds: int) -> None:
    """Neither waiting nor encoding."""
    assert results.browser_ms(timing) == milliseconds


def link(href: str, **more: Any) -> dict[str, Any]:
    """A link as `elements` has it."""
    shown = {"text": "x", "html": "x", "width": 5, "height": 5, **more}
    return {"attributes": {"href": href}, **shown}


def links(anchors: list[dict[str, Any]], page: str, base: str = "", **body: Any) -> list[str]:
    """The links of a page."""
    bases = [link(base)] if base else []
    found = json.dumps({"selectors": [{"elements": anchors}, {"elements": bases}]})
    return results.links(found.encode(), Links.model_validate(body), page)


def test_links_that_cannot_be_read_stay_as_they_are() -> None:
    """An address that Python's parser refuses is no reason to fail; nor is it the page's own."""
    broken = "http://[::1/x"
    assert links([link(broken), link(" /a ")], "https://a.test/") == [broken, "https://a.test/a"]
    assert links([link(broken)], "https://a.test/", excludeExternalLinks=True) == []


def test_a_link_is_seen_if_it_has_a_size_and_shows_something() -> None:
    """An empty one is not; a picture is."""
    anchors = [link("a", width=0), link("b", text=" ", html=" "), link("c", text="", html="<img>")]
    assert links(anchors, "", visibleLinksOnly=True) == ["c"]
    assert links(anchors, "", "https://b.test/d/") == [
        "https://b.test/d/a", "https://b.test/d/b", "https://b.test/d/c",
    ]  # fmt: skip


def test_nesting_is_that_of_lists_and_quotations() -> None:
    """At its deepest; a closing tag too many does not count."""
    assert markdown.nesting(b"<p><b>x</b></p></ul><UL><li><ol></ol></li><blockquote>x") == 2


async def test_a_document_becomes_markdown_within_bounds() -> None:
    """Of size, depth, time, and how many wait."""
    converter = markdown.Converter()
    made = await converter.markdown_of(b"<h1>A</h1><a href=b>c</a>", "https://a.test/", 20)
    assert made.split() == ["#", "A", "[c](https://a.test/b)"]
    for html in (b"x" * (markdown.MAX_HTML + 1), b"<ul><li>" * (markdown.MAX_NESTED + 1) + b"x"):
        with pytest.raises(ContentTooLarge):
            await converter.markdown_of(html, "", 20)
    with pytest.raises(RenderTimeout):
        await converter.markdown_of(b"<b>x</b>" * 50_000, "", 0)
    converter._waiting = markdown.MAX_WAITING
    with pytest.raises(Overloaded):
        await converter.markdown_of(b"x", "", 20)
