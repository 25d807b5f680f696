"""A form with a page and its files: what is read of it, and within which bounds."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import BadRequest, CallerError, FormTooComplex, InvalidField
from poster_service.web import forms
from poster_service.web.forms import Part

KIND = "b"


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts given as their headers and their bytes."""
    made = [b"--b\r\n%s\r\n\r\n%s\r\n" % (head.encode(), body) for head, body in parts]
    return b"".join(made) + b"--b--\r\n"


def named(parameters: str, *headers: str) -> str:
    """The headers of a part."""
    return "\r\n".join((f"Content-Disposition: form-data; {parameters}", *headers))


def parse(raw: bytes, kind: str = KIND, parts: int = 5, header: int = 256) -> list[Part]:
    """With small bounds."""
    return forms.parse(raw, kind, parts, header)


def part(name: str, kind: str = "", charset: str | None = None) -> Part:
    """A field with a body of `5`."""
    return Part(name, False, kind, charset, b"5", name)


def file(name: str, field: str, filename: str, kind: str = "") -> Part:
    """The same as a file."""
    return Part(name, True, kind, None, b"5", field, filename)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (named('name="width"'), part("width")),
        (named("name=width"), part("width")),
        (named('name="a.png"; filename="z.png"', "Content-Type: image/png"),
         file("a.png", "a.png", "z.png", "image/png")),
        (named('name="files"; filename="img/图.png"'), file("img/图.png", "files", "img/图.png")),
        (named('name="files"'), part("files")),
        (named('name="a%22b"; filename="a"'), file('a"b', 'a"b', "a")),
        (named('name="a"; filename=""'), file("a", "a", "")),
        (named('name="a"', "Content-Type: text/html; charset=GBK", "Content-Length: 1"),
         part("a", "text/html", "GBK")),
        (named('name="a"', "Content-Transfer-Encoding: Binary"), part("a")),
    ],
)  # fmt: skip
def test_a_part_is_what_its_headers_say(head: str, expected: Part) -> None:
    """A name, perhaps a file's; `files` are called by their file names."""
    assert parse(form((head, b"5"))) == [expected]


def test_all_bytes_come_through() -> None:
    """Also those that look nearly like a boundary."""
    bodies = [b"", b"\r\n", b"\r\n--", b"\r\n--a", bytes(range(256))]
    found = parse(form(*((named('name="a"; filename="a"'), body) for body in bodies)))
    assert [part.body for part in found] == bodies


def test_a_file_that_was_not_chosen_is_none() -> None:
    """A browser sends an empty part for a file input that was left alone."""
    assert parse(form((named('name="files"; filename=""'), b""))) == []


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", KIND),
        (b"--b--", "multipart/form-data"),
        (b"--b--", "multipart/form-data; boundary=c"),
        (b"--b--", 'multipart/form-data; boundary=""'),
        (b"--b--", "multipart/form-data; boundary=\udcff"),
        (b"--b\r\n", KIND),
        (form((named('name="a"'), b"x"))[:-6], KIND),
        (form(("Content-Disposition: attachment", b"x")), KIND),
        (form((named("filename=a"), b"x")), KIND),
        (form(("Content-Type: text/html", b"x")), KIND),
        (form((named('name="a"', "nonsense"), b"x")), KIND),
        (form((named('name="a"', "Content-Length: 9"), b"x")), KIND),
        (form((named('name="a"', "Content-Transfer-Encoding: base64"), b"eA==")), KIND),
        (b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--', KIND),
    ],
)
def test_what_is_no_form_is_reported(raw: bytes, kind: str) -> None:
    """Cut off, without a boundary or a name, encoded once more."""
    with pytest.raises(BadRequest):
        parse(raw, kind)


def test_a_form_has_so_many_parts_and_no_more() -> None:
    """To the part; empty ones count."""
    part = (named('name="a"; filename=""'), b"")
    assert parse(form(*[part] * 5)) == []
    with pytest.raises(FormTooComplex, match="up to 5 parts"):
        parse(form(*[part] * 6))


@pytest.mark.parametrize("more", [["X: " + "y" * 300], ["X: y"] * 8, ["Y" * 1000]])
def test_a_part_has_so_much_head_and_no_more(more: list[str]) -> None:
    """In the length of one header and in their number."""
    assert parse(form((named('name="a"', "X: " + "y" * 253, *["X: y"] * 6), b"")))
    with pytest.raises(FormTooComplex, match="headers of 256 bytes"):
        parse(form((named('name="a"', *more), b"")))


@pytest.mark.parametrize("name", ["a.png", "img/a.png", "图 片.svg", ".x", "a..b", "a?b#c", "%2e"])
def test_a_file_may_be_anywhere_below_the_page(name: str) -> None:
    """With any letters."""
    forms.check_path(name)


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "..", "../a", "a/../b", "./a", "a\\b", "a\nb", "a\0b", "a\x7f"]
)
def test_a_file_is_nowhere_else(name: str) -> None:
    """And the path is said in one way."""
    with pytest.raises(InvalidField, match="below the page"):
        Part(name, True, "", None, b"").asset()


@pytest.mark.parametrize(
    ("name", "shown", "kind"),
    [
        ("a.css", "application/octet-stream", "text/css"),
        ("a.css", "", "text/css"),
        ("a", "font/woff2", "font/woff2"),
        ("a", "", "application/octet-stream"),
        ("a", "x/y\r\nZ: 1", "application/octet-stream"),
        ("a", "图/y", "application/octet-stream"),
    ],
)
def test_a_file_is_what_its_name_says_else_what_its_sender_does(
    name: str, shown: str, kind: str
) -> None:
    """Curl knows few types, and calls the others octets."""
    assert Part(name, True, shown, None, b"").asset().content_type == kind


@pytest.mark.parametrize(
    ("name", "body", "own", "page", "kind"),
    [
        ("a.css", b"p {}", None, "gbk", "text/css; charset=gbk"),
        ("a.js", b"x", None, "shift_jis", "text/javascript; charset=shift_jis"),
        ("a.css", b"p {}", "big5", "gbk", "text/css; charset=big5"),
        ("a.css", b'@charset "utf-8"; p {}', None, "gbk", "text/css"),
        ("a.css", b"\xef\xbb\xbfp {}", None, "gbk", "text/css"),
        ("a.css", b"p {}", None, "utf-8", "text/css"),
        ("a.css", b"p {}", "punycode", "utf-8", "text/css"),
        ("a.css", b"p {}", "gbk\r\nX: 1", "utf-8", "text/css"),
        ("a.html", b"<p>", None, "gbk", "text/html"),
        ("a.png", b"x", None, "gbk", "image/png"),
    ],
)
def test_a_style_sheet_is_in_the_encoding_of_its_page(
    name: str, body: bytes, own: str | None, page: str, kind: str
) -> None:
    """As for a browser, where it says nothing itself; the page comes to Chrome as UTF-8."""
    made = Part(name, True, "", own, body).asset(page)
    assert (made.content_type, made.body) == (kind, body)


@given(st.binary() | st.binary().map(lambda raw: form((named('name="a"'), raw))), st.text())
def test_nothing_but_the_callers_errors_ever_comes_out(raw: bytes, boundary: str) -> None:
    """For any bytes."""
    for kind in (KIND, f"multipart/form-data; boundary={boundary}", boundary):
        with contextlib.suppress(CallerError):
            assert all(isinstance(part, Part) for part in parse(raw, kind))
