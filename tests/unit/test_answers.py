"""Which answer a client prefers, and what JSON of pieces is made of."""

import base64
import io
import json

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfWriter

from poster_service.buffers import STEP
from poster_service.render.dimensions import Dimensions, dimensions
from poster_service.render.warnings import item, parsed
from poster_service.web.accept import accepted, preferred
from poster_service.web.pieces import Base64, PiecesResponse, large, slices

JSON, PNG = "application/json", "image/png"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, PNG), ("*/*", PNG), ("image/*", PNG), ("image/avif,image/webp,*/*;q=0.8", PNG),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", PNG),
        (JSON, JSON), ("APPLICATION/JSON", JSON), ("application/json; charset=utf-8", JSON),
        ("application/json, image/*;q=0.9", JSON),
        ("image/png;q=0.3, application/json;q=0.5", JSON),
        ("application/json, */*;q=0.1", JSON), ("image/png;q=0, application/json;q=0.1", JSON),
        ("application/json;q=0", PNG), ("application/json;q=0, */*", PNG),
        # As much as the picture: the default. axios sends the last of these with every request.
        ("application/json, image/png", PNG), ("application/json, */*", PNG),
        ("application/json, text/plain, */*", PNG),
        ("application/*", PNG), ("application/json;q=0.5, image/*", PNG),
        ('text/x;a=",application/json", image/*', PNG),
        (", ,;q=1,application/json;;;q=1,", JSON), ("", PNG),
    ],
)  # fmt: skip
def test_json_is_answered_to_a_client_that_names_it_and_wants_it_more(
    accept: str | None, kind: str
) -> None:
    """More than the picture, by the quality of each."""
    headers = {} if accept is None else {"Accept": accept}
    request = make_mocked_request("POST", "/render", headers)
    assert preferred(request, (JSON,), PNG) == kind


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_any_header_is_read(text: str) -> None:
    """Each range has a quality from 0 to 1."""
    found = accepted(make_mocked_request("GET", "/", {"Accept": text}))
    assert all(0 <= quality < 2 and name == name.lower() for name, quality in found.items())


def test_a_long_header_is_read_in_linear_time() -> None:
    """A caller can send some 16 kB of it."""
    for text in ('a;b="' * 5_000, ";" * 20_000, "a," * 10_000, "a ;q=" * 5_000):
        accepted(make_mocked_request("GET", "/", {"Accept": text}))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3 * STEP + 5)), max_size=4))
def test_pieces_are_sent_as_they_are_long(sizes: list[tuple[bool, int]]) -> None:
    """In slices that are small; their sum is the length of the response."""
    bodies = [bytes(range(256)) * (size // 256 + 1) for _, size in sizes]
    raw = [body[:size] for body, (_, size) in zip(bodies, sizes, strict=True)]
    pieces = [
        Base64(body) if packed else body for body, (packed, _) in zip(raw, sizes, strict=True)
    ]
    made = [bytes(one) for one in slices(pieces)]
    expected = b"".join(
        base64.b64encode(body) if packed else body
        for body, (packed, _) in zip(raw, sizes, strict=True)
    )
    assert b"".join(made) == expected
    assert all(len(one) <= STEP for one in made)
    assert PiecesResponse(pieces, JSON, {}).content_length == len(expected)
    assert [len(one) for one in large(pieces)] == [len(one) for one in raw if len(one) > STEP]


def test_warnings_are_read_back() -> None:
    """Kind and parameters of each, with any characters in an address."""
    odd = {"url": 'https://a.test/"x\\y;reason=z, more', "reason": "http_404"}
    script = {"kind": "TypeError", "at": "1:2"}
    header = f"{item('failed', odd)}, {item('script_error', script)}"
    assert parsed(f"{header}, more;count=12") == [
        {"warning": "failed", **odd},
        {"warning": "script_error", **script},
        {"warning": "more", "count": 12},
    ]
    assert parsed("") == []
    assert json.dumps(parsed(header))


@pytest.mark.parametrize("encoding", ["png", "jpeg", "webp"])
def test_dimensions_of_a_picture(encoding: str) -> None:
    """From its head."""
    out = io.BytesIO()
    Image.new("RGB", (37, 21)).save(out, encoding)
    assert dimensions(out.getvalue(), encoding) == Dimensions(37, 21)
    with pytest.raises(ValueError, match=encoding):
        dimensions(b"nothing", encoding)


def test_pages_of_a_pdf() -> None:
    """All of them."""
    writer, out = PdfWriter(), io.BytesIO()
    for _ in range(3):
        writer.add_blank_page(100, 100)
    writer.write(out)
    assert dimensions(out.getvalue(), "pdf").known() == {"pages": 3}
    with pytest.raises(ValueError, match="PDF"):
        dimensions(b"nothing", "pdf")
