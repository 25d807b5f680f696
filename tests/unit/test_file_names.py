"""Names of files that come with a page, as clients write them and as pages mean them."""

from dataclasses import dataclass
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.render.file_names import FileNames
from poster_service.web import forms
from poster_service.web.part_names import extended

CAFE = "img/café.png"


@dataclass(frozen=True)
class File:
    """A file by its name."""

    name: str


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        (CAFE, CAFE),
        (normalize("NFD", CAFE), CAFE),
        (CAFE, normalize("NFD", CAFE)),
        (normalize("NFD", CAFE), normalize("NFD", CAFE)),
        ("img/caf%C3%A9.png", CAFE),
        ("img/cafe%CC%81.png", CAFE),
        ("a%20b.png", "a b.png"),
        ("a%20b.png", "a%20b.png"),
        ("100%.png", "100%.png"),
        ("%FF.png", "%FF.png"),
        ("パ.png", normalize("NFD", "パ.png")),
    ],
)
def test_a_page_and_a_client_need_not_write_a_name_alike(sent: str, asked: str) -> None:
    """Composed and decomposed letters, percent-encoding."""
    assert FileNames([File(sent)]).find(asked) == File(sent)


def test_a_files_own_name_comes_first() -> None:
    """Two of one spelling are distinguished where that can be, and no other is made up."""
    composed, decomposed = File(CAFE), File(normalize("NFD", CAFE))
    files = FileNames([File("a%20b"), File("a b"), decomposed, composed])
    assert files.find("a b") == File("a b")
    assert files.find(composed.name) == composed
    assert files.find(decomposed.name) == decomposed
    assert files.find("img/cafe.png") is None
    assert files.find("A B") is None


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("form-data; name=files; filename*=UTF-8''caf%C3%A9.png", {"filename": "café.png"}),
        ("form-data; name=files; filename=\"x\"; filename*=utf-8'en'%e2%82%ac", {"filename": "€"}),
        ("form-data; filename*=\"UTF-8''a%20b\"", {"filename": "a b"}),
        ("form-data; FileName* = iso-8859-1''caf%E9", {"filename": "café"}),
        ("form-data; name*=UTF-8''%E5%9B%BE", {"name": "图"}),
        ("form-data; filename*=punycode''x", {}),
        ("form-data; filename*=UTF-8''%FF", {}),
        ("form-data; filename*=x", {}),
        ("form-data; name=\"a; filename*=UTF-8''evil\"", {}),
        ("form-data; name=a; filename=b", {}),
    ],
)
def test_extended_names_are_read(header: str, found: dict[str, str]) -> None:
    """RFC 8187; what cannot be decoded leaves the plain one."""
    assert extended(header) == found


@given(st.text(max_size=300))
def test_no_header_is_an_error(header: str) -> None:
    """For any text."""
    assert isinstance(extended("form-data; filename*=" + header), dict)


def test_a_part_is_called_by_its_extended_name() -> None:
    """And is a file by that alone."""
    head = b"Content-Disposition: form-data; name=files; filename*=UTF-8''img%2F%E5%9B%BE.png"
    raw = b"--b\r\n" + head + b"\r\n\r\nx\r\n--b--\r\n"
    [part] = forms.parse(raw, "b", 5, 256)
    assert (part.name, part.is_file, part.body) == ("img/图.png", True, b"x")
    assert part.asset().content_type == "image/png"
