"""Markdown becomes a page: CommonMark and tables, bounded in what it costs and what it becomes."""

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import InvalidField
from poster_service.render.markdown_page import MAX_HTML, MAX_MARKDOWN, page_of
from poster_service.render.request import Limits, RenderRequest
from poster_service.render.static_page import is_static


def body_of(text: str) -> str:
    """What a text becomes inside of the page."""
    return page_of(text).partition("<body>\n")[2].removesuffix("</body></html>\n")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# a *b*", "<h1>a <em>b</em></h1>\n"),
        ("a ~~b~~", "<p>a <s>b</s></p>\n"),
        ("```py\n<x>\n```", '<pre><code class="language-py">&lt;x&gt;\n</code></pre>\n'),
        ("<b>x</b>", "<p><b>x</b></p>\n"),
        ("![x](img/a.png)", '<p><img src="img/a.png" alt="x" /></p>\n'),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("1. a\n2. b", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n"),
    ],
)
def test_it_is_commonmark_with_strikethrough(text: str, html: str) -> None:
    """HTML inside stays HTML."""
    assert body_of(text) == html


def test_it_has_tables() -> None:
    """With alignment."""
    found = body_of("|a|b|\n|-|-:|\n|1|2|")
    assert found.startswith("<table>\n<thead>\n<tr>\n<th>a</th>\n<th style=")
    assert found.count("<td") == 2


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("x\n\n## The *first* `one` & <b>more</b>\n\n# other", "The first one &amp; more"),
        ("no heading", ""),
        ("# </title><script>", "&lt;/title&gt;"),
        ("# " + "x" * 1000, "x" * 200),
    ],
)
def test_the_first_heading_is_the_title(text: str, title: str) -> None:
    """As text."""
    found = page_of(text).partition("<title>")[2].partition("</title>")[0]
    assert found == title or (title.startswith("&lt;/title") and found == "")


def test_the_page_is_static_unless_its_text_moves() -> None:
    """The style sheet has nothing that moves, so that such pages are cached."""
    assert is_static(page_of("# Hello\n\n|a|\n|-|\n|b|\n\n```\nx\n```\n"))
    assert not is_static(page_of("<script>1</script>"))


@pytest.mark.parametrize(
    "text",
    [
        "[a]: /" + "u" * 100_000 + "\n\n" + "[a]" * 30_000,
        '[a]: /u "' + "t" * 100_000 + '"\n\n' + "[a]" * 30_000,
    ],
    ids=["address", "title"],
)
def test_a_small_text_does_not_become_gigabytes(text: str) -> None:
    """A reference repeats its address each time it is used."""
    assert len(text) <= MAX_MARKDOWN
    with pytest.raises(InvalidField, match=str(MAX_HTML)):
        page_of(text)


@pytest.mark.parametrize(
    "parts",
    [pytest.param(4, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.endurance)],
)
@pytest.mark.parametrize(
    "piece", ["[", "![", "*a **b ", "a|b\n-|-\n", "x\n\n", "> ", "- ", "`", "<a ", "a\n-\n", "_a_ ",
              "[a](b ", "&#1", "~~a ", "<!-- ", "|"],
)  # fmt: skip
def test_no_text_takes_long(piece: str, parts: int) -> None:
    """The longest text that is hard to parse takes seconds, not minutes; a part of it, its part."""
    text = (piece * MAX_MARKDOWN)[: MAX_MARKDOWN // parts]
    begin = time.process_time()
    found = page_of(text)
    assert time.process_time() - begin < 30 / parts
    assert len(found) < 2 * MAX_HTML


@given(st.text(max_size=200))
def test_any_text_is_a_page(text: str) -> None:
    """No text makes the parser fail."""
    assert page_of(text).endswith("</body></html>\n")


def test_its_length_is_bounded() -> None:
    """And it is not empty; no error shows it."""
    for text in ("", "secret" * MAX_MARKDOWN, 5):
        with pytest.raises(InvalidField) as caught:
            RenderRequest.parse({"markdown": text}, Limits())
        assert caught.value.faults[0].field == "markdown"
        assert "secret" not in str(caught.value)


def test_the_library_is_imported_with_the_first_text_only() -> None:
    """Who sends none does not pay for it."""
    code = (
        "import sys, poster_service.engine, poster_service.web.app;"
        "sys.exit('markdown_it' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
