"""`X-Render-Warnings`: bounded, fit for a header, without what an address should keep secret."""

import pytest

from poster_service.render.warnings import MAX_ENTRIES, Warnings, displayed


def test_warnings_are_bounded_and_fit_for_a_header() -> None:
    """Plain characters, one line, at most 20 entries, for all addresses that a page makes up."""
    warnings = Warnings()
    for number in range(1000):
        warnings.add(
            "denied", f'https://x{number}"\r\nSet-Cookie: a=1\u4f60' + "y" * 500, "address"
        )
        warnings.add("failed", "https://same.example/", "timeout")
        warnings.note("script_error", kind='"\\\r\n\u4f60' * 200, at=str(number))
    header = warnings.header()
    assert header.isascii()
    assert header.isprintable()
    assert len(warnings.missing()) == MAX_ENTRIES
    assert "more;count=" in header
    assert len(header) < 4096
    assert 0 < header.count("script_error") <= 6
    assert len(header.split(", ")) <= MAX_ENTRIES + 1
    assert len(warnings) >= 1000


def test_each_warning_is_listed_once_and_in_its_own_form() -> None:
    """The forms that programs read."""
    warnings = Warnings()
    assert not warnings
    for _ in range(2):
        warnings.add("failed", "https://cdn.example.com/logo.png", "http_404")
        warnings.add("denied", "https://10.0.0.1/", "address")
        warnings.add("failed", "https://poster.invalid/a/b.png", "not_found", "a/B.png")
        warnings.note("script_error", kind="TypeError", at="3:12")
        warnings.note("webgl", reason="unavailable")
    assert warnings.header() == (
        'failed;url="https://cdn.example.com/logo.png";reason=http_404, '
        'denied;url="https://10.0.0.1/";reason=address, '
        'failed;url="a/b.png";reason=not_found;similar="a/B.png", '
        'script_error;kind="TypeError";at="3:12", webgl;reason=unavailable'
    )
    assert len(warnings) == 5
    assert [one.verb for one in warnings.missing()] == ["failed", "denied", "failed"]


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://a.example/x.png?token=secret#secret", "https://a.example/x.png"),
        ("https://user:secret@a.example:8443/x", "https://a.example:8443/x"),
        ("data:image/png;base64,c2VjcmV0", "data:image/png"),
        ("data:,secret", "data:"),
        ("DATA:text/html;secret", "data:text/html"),
        ("blob:https://poster.invalid/secret", "blob:https://poster.invalid"),
        ("https://poster.invalid/img/logo.png?v=secret", "img/logo.png"),
        ("https://poster.invalid/?secret", "./"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("inline", "inline"),
        ("http://[::1", "http://[::1"),
        ("http://[::1?secret", "http://[::1"),
        ("https://a.example/" + "p/" * 500 + "logo.png", "https://a.example/"),
        ('"\\\n', "??"),
    ],
)
def test_an_address_is_displayed_without_its_secrets(url: str, seen: str) -> None:
    """Short, and with what tells it from others: its host and its file's name."""
    assert displayed(url).startswith(seen)
    assert len(displayed(url)) <= 133
    assert "secret" not in displayed(url)
    if url.endswith("logo.png"):
        assert displayed(url).endswith("logo.png")
