"""The name under which an answer is saved: what is allowed, and the header that says it."""

import re
from urllib.parse import unquote

import pytest
from aiohttp.multipart import content_disposition_filename, parse_content_disposition
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import InvalidField
from poster_service.render.disposition import attachment
from poster_service.render.request import Limits, RenderRequest


def accepted(name: object) -> str | None:
    """The name as it is in the options."""
    return RenderRequest.parse({"html": "x", "filename": name}, Limits()).options.filename


@pytest.mark.parametrize(
    "name", ["a", "report.png", "Jahresbericht 2025 – Übersicht.pdf", "林晚 👩‍🚀.webp", "x" * 255,
             "ü" * 127, ".png", "a\u200cb.png", "50%.png", 'a "b".png']
)  # fmt: skip
def test_names_that_a_file_may_have_are_taken_as_they_are(name: str) -> None:
    """In any script."""
    assert accepted(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a/b.png", "..\\a.png", "a\nb", "a\r\nX: y", "a\0", "a\x7f", "a\x85b", "x" * 256,
     "ü" * 128, "..", " . ", "photo\u202egnp.exe", "\u2066a", "a\u2028b", "a\ud800", 5],
    ids=ascii,
)  # fmt: skip
def test_others_are_refused(name: object) -> None:
    """As the caller's fault, naming the field."""
    with pytest.raises(InvalidField) as caught:
        accepted(name)
    assert [fault.field for fault in caught.value.faults] == ["filename"]
    assert "bytes" in (caught.value.faults[0].allowed or "")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("report.png", 'attachment; filename="report.png"'),
        ("Übersicht é.pdf", 'attachment; filename="Ubersicht e.pdf";'
                            " filename*=UTF-8''%C3%9Cbersicht%20%C3%A9.pdf"),
        ("林.png", "attachment; filename=\"_.png\"; filename*=UTF-8''%E6%9E%97.png"),
        ('a"b%41.png', "attachment; filename=\"a_b_41.png\"; filename*=UTF-8''a%22b%2541.png"),
    ],
)  # fmt: skip
def test_the_header_has_the_name_in_ascii_and_in_full(name: str, header: str) -> None:
    """The second only where the first is another."""
    assert attachment(name) == header


@given(st.text(min_size=1, max_size=60).filter(lambda text: "\ud800" not in ascii(text)))
def test_any_name_that_is_accepted_is_read_back(name: str) -> None:
    """By a parser that is not ours; the header is one line of printable ASCII."""
    try:
        accepted(name)
    except InvalidField:
        return
    header = attachment(name)
    assert re.fullmatch(r"[ -~]+", header)
    kind, parameters = parse_content_disposition(header)
    assert kind == "attachment"
    found = content_disposition_filename(parameters)
    assert found is not None
    assert unquote(found) == name or found == name
