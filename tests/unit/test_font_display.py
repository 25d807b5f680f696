"""`optional` fonts are waited for: the declaration is changed where it is one, and nothing else."""

import pytest

from poster_service.browser.types import Reply, Request
from poster_service.render.font_display import in_css, in_html, with_blocking_fonts

FACE = b"@font-face{font-family:W;font-display:optional;src:url(w)}"
BLOCK = FACE.replace(b"optional", b"block   ")


@pytest.mark.parametrize(
    ("css", "changed"),
    [
        (FACE, BLOCK),
        (b"FONT-DISPLAY : Optional }", b"FONT-DISPLAY : block    }"),
        (b"font-display:optionally", b"font-display:optionally"),
        (b"font-display:swap", b"font-display:swap"),
        (b"a{content:'optional'}", b"a{content:'optional'}"),
    ],
)
def test_a_style_sheet_keeps_its_length_and_all_else(css: bytes, changed: bytes) -> None:
    """In any charset of which ASCII is a part."""
    assert in_css(css) == changed
    assert len(in_css(css)) == len(css)


def test_a_document_is_changed_in_its_styles_only() -> None:
    """What a page shows of CSS stays what it was."""
    page = b"<p>font-display:optional</p><STYLE media=all>" + FACE + b"</STYLE><pre>" + FACE
    assert in_html(page) == page.replace(FACE + b"</STYLE>", BLOCK + b"</STYLE>")
    assert in_html(b"<style>" + FACE) == b"<style>" + BLOCK
    same = b"<p>nothing of it</p>"
    assert in_html(same) is same


@pytest.mark.timeout(20)
def test_no_document_makes_it_slow() -> None:
    """Linear in what a hostile page may send; by squares it would take minutes."""
    page = b"<style" * 1_000_000 + FACE + b"font-display:" + b" " * 1_000_000
    assert len(in_html(page)) == len(page)


@pytest.mark.parametrize(
    ("kind", "html", "is_changed"),
    [
        ("Stylesheet", "", True), ("Document", "", False), ("Script", "", False),
        ("Stylesheet", "<link integrity='sha256-x'>", False),
        ("Stylesheet", "<meta content=\"style-src 'sha256-x'\">", False),
    ],
)  # fmt: skip
async def test_only_what_has_no_digest_is_changed(kind: str, html: str, is_changed: bool) -> None:
    """A style sheet that is checked against one would be refused by Chrome."""
    reply = Reply(200, (), FACE)

    async def route(_: Request) -> Reply | None:
        return reply

    answer = await with_blocking_fonts(route, html)(Request("u", "GET", {}, None, kind))
    assert answer is not None
    assert answer.body == (BLOCK if is_changed else FACE)
