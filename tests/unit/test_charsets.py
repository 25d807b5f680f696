"""What the bytes of a page mean, as browsers take it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import BadRequest
from poster_service.web import charsets
from poster_service.web.charsets import codec_of, declared, text_of

PAGE = "<p>你好 é"


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        (b"<meta charset=gbk>", "gbk"),
        (b'<!doctype html><html><head><META CharSet = "Big5" />', "Big5"),
        (b"<meta charset='koi8-r'>", "koi8-r"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=shift_jis">', "shift_jis"),
        (b"<meta content='text/html;charset = \"euc-kr\"' http-equiv=CONTENT-TYPE>", "euc-kr"),
        (b"<!-- <meta charset=big5> --><meta charset=gbk>", "gbk"),
        (b'<title a="<meta charset=big5>">x</title><meta charset=gbk>', "gbk"),
        (b"<meta charset=x-no-such><meta charset=gbk>", "gbk"),
        (b'<meta name=x content="charset=big5"><meta charset=gbk>', "gbk"),
        (b"<meta charset=utf-16le>", "utf-8"),
        (b'<?xml version="1.0" encoding="iso-8859-2"?><html>', "iso-8859-2"),
        (b" " * 1000 + b"<meta charset=gbk>", "gbk"),
        (b" " * 1010 + b"<meta charset=gbk>", None),
        (b"<metacharset=gbk>", None),
        (b"<meta http-equiv=refresh content='1; charset=gbk'>", None),
        (b"<!meta charset=gbk>", None),
        (b"<!-- <meta charset=gbk>", None),
        (b"", None),
    ],
)
def test_the_first_kilobyte_names_its_charset(raw: bytes, label: str | None) -> None:
    """As the prescan of WHATWG HTML finds it."""
    assert declared(raw) == label


def test_a_label_that_is_cut_off_is_none() -> None:
    """iso-8859-15 is not to be taken for iso-8859-1."""
    tag = b"<meta charset=iso-8859-15>"
    assert [declared(b" " * (1024 - cut) + tag) for cut in range(len(tag))] == [None] * len(tag)


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("gb2312", "gb18030"), ("GBK", "gb18030"), ("x-gbk", "gb18030"), ("sjis", "cp932"),
        ("big5", "big5hkscs"), ("ks_c_5601-1987", "cp949"), ("latin1", "cp1252"),
        ("ascii", "cp1252"), ("iso-8859-1", "cp1252"), ("iso-8859-9", "cp1254"),
        (" UTF8 ", "utf-8"), ("unicode", "utf-16-le"), ("tis-620", "cp874"),
        *((name, None) for name in (
            "punycode", "idna", "hex", "uu", "rot13", "undefined", "unicode_escape", "utf-7",
            "utf-32", "mbcs", "klingon", "", "x-user-defined", "iso-2022-kr", "\u212aoi8-r",
        )),
    ],
)  # fmt: skip
def test_labels_mean_what_they_do_on_the_web(label: str, codec: str | None) -> None:
    """And no other codec of Python's can be reached."""
    assert codec_of(label) == codec


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        (PAGE.encode(), None, PAGE),
        (PAGE.encode("gb18030"), "gb2312", PAGE),
        (b"<meta charset=gbk>" + PAGE.encode("gbk", "ignore"), None, "<meta charset=gbk><p>你好 é"),
        (b"<meta charset=gbk>" + PAGE.encode(), "utf-8", "<meta charset=gbk>" + PAGE),
        (b"\xef\xbb\xbf<meta charset=gbk>" + PAGE.encode(), "gbk", "<meta charset=gbk>" + PAGE),
        (b"\xff\xfe" + PAGE.encode("utf-16-le"), None, PAGE),
        (b"\xfe\xff" + PAGE.encode("utf-16-be"), "utf-8", PAGE),
        (b"caf\xe9 \x80\x81", "latin1", "café €\x81"),
        ("日本".encode("shift_jis"), "sjis", "日本"),
    ],
)
def test_a_mark_wins_then_the_header_then_the_page_itself(
    raw: bytes, charset: str | None, text: str
) -> None:
    """UTF-8 where nothing says anything."""
    assert text_of(raw, charset) == text


@pytest.mark.parametrize(
    ("raw", "charset"),
    [(b"\xff", None), (b"\xff", "utf-8"), (b"x", "punycode"), (b"<meta charset=big5>\xff", None),
     (b"\xff\xfe\x00\xd8", None), (b"\xff", "windows-1253"), (b"\xe4" + b"x" * 600_000, None)],
)  # fmt: skip
def test_bytes_that_are_none_of_it_are_refused(raw: bytes, charset: str | None) -> None:
    """And not painted as question marks."""
    with pytest.raises(BadRequest):
        text_of(raw, charset)


@given(st.text(alphabet="a中é🗼", min_size=1, max_size=9), st.integers(0, 4))
def test_a_large_page_is_decoded_as_a_small_one_is(text: str, shift: int) -> None:
    """Its pieces may be cut at any byte."""
    whole = "x" * shift + text * (charsets.CHUNK // len(text) + 1)
    assert text_of(whole.encode("gb18030"), "gb18030") == whole


@given(st.binary(max_size=1100))
def test_any_bytes_have_a_declaration_or_none(raw: bytes) -> None:
    """And never another error."""
    label = declared(b"<meta " + raw)
    assert label is None or isinstance(label, str)
