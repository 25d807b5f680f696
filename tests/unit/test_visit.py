"""A visit of a page on the web: what is reported of it, and whether it may be cached."""

import pytest

from poster_service.browser.types import Reply, Request
from poster_service.errors import NotAPage
from poster_service.fetch.http_cache import CacheLifetime
from poster_service.fetch.own import Secrets
from poster_service.render.font_display import with_blocking_fonts
from poster_service.render.visit import PageInfo, Visit, displayable, media_type

MAIN = Request("https://a.test/", "GET", {}, None, "Document", is_main=True)


def visit(address: str = "https://a.test/") -> Visit:
    """One that has begun."""
    return Visit(address, Secrets(), allows_errors=False, runs_scripts=True)


def reply(body: bytes, kind: str = "text/html") -> Reply:
    """A document with a lifetime."""
    return Reply(200, (("Content-Type", kind),) if kind else (), body)


@pytest.mark.parametrize(
    ("sent", "final", "reported"),
    [
        ("https://a.test/x?q=1#p", "https://a.test/x?q=1", "https://a.test/x?q=1#p"),
        ("https://a.test/x?q=1", "https://b.test/y?q=1", "https://b.test/y?q=1"),
        ("https://a.test/x", "https://b.test/y?ticket=1", "https://b.test/y"),
        ("https://a.test/", "https://user:word@b.test/", "https://b.test/"),
        ("https://a.test/", "https://b.test/ä%20\r\n", "https://b.test/%C3%A4%20"),
    ],
)
async def test_the_final_address_is_reported_without_secrets(
    sent: str, final: str, reported: str
) -> None:
    """Of the site's, that is; and safe in a header, however long it is."""
    found = visit(sent)
    request = Request(final, "GET", {}, None, "Document", is_main=True)
    await found.take(request, reply(b"x"), CacheLifetime())
    assert found.page is not None
    assert found.page.url == reported
    long = PageInfo("", 200).titled("漢" * 1000).title
    assert len(long) <= 900
    assert long.endswith("%E6%BC%A2") or long[-3] == "%"


@pytest.mark.parametrize(
    ("body", "kind", "is_static"),
    [
        (b"<p>still", "text/html", True),
        (b"<script>1</script>", "text/html; charset=utf-8", False),
        ("<script>1</script>".encode("utf-16"), "text/html", False),
        ("still".encode("utf-16"), "text/html; charset=utf-16", False),
        (b"x" * 100_000 + b"<script>", "text/html", False),
        (b"\x89PNG\0\0", "image/png", True),
        (b"<svg onload=x()>", "image/svg+xml", False),
        (b"<x/>", "application/xhtml+xml", False),
        (b"text", "text/plain", True),
    ],
)
async def test_only_a_document_that_is_sure_not_to_move_may_be_cached(
    body: bytes, kind: str, is_static: bool
) -> None:
    """What cannot be examined is not."""
    lifetime = CacheLifetime()
    await visit().take(MAIN, reply(body, kind), lifetime)
    assert (lifetime.until > 0) == is_static


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b" \n<!DOCTYPE html>", "text/html"), (b"<h1>x", "text/html"), (b"text", "text/plain")],
)
def test_a_document_without_a_type_gets_one(body: bytes, kind: str) -> None:
    """By its first bytes; a PDF is none."""
    assert media_type(displayable(reply(body, ""))) == kind
    for other in (b"%PDF-1.7", b"a\0b"):
        with pytest.raises(NotAPage):
            displayable(reply(other, ""))


@pytest.mark.parametrize("mark", [b"", b"<link integrity='sha256-x'>"])
async def test_optional_fonts_are_waited_for_unless_the_page_has_digests(mark: bytes) -> None:
    """Which is known once the document has come."""
    css = b"@font-face{font-display:optional}"

    async def route(request: Request) -> Reply:
        return reply(mark) if request.is_main else reply(css, "text/css")

    patched = with_blocking_fonts(route, None)
    await patched(MAIN)
    found = await patched(Request("https://a.test/s.css", "GET", {}, None, "Stylesheet"))
    assert found is not None
    assert (found.body == css) == bool(mark)
