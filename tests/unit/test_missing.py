"""What of an answer shows that a page cannot use it, and what Chrome's messages say."""

import zlib
from typing import Any

import pytest

from poster_service.browser.types import ADDRESS, Reply, Request
from poster_service.browser.witness import (
    MAX_LOST_ELEMENTS,
    Finding,
    Witness,
    finding_of,
    parse_lost_elements,
)
from poster_service.render.missing import add_findings, check_reply, similar_name
from poster_service.render.observations import Observations
from poster_service.render.warnings import Warnings


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    whole = name + data
    return len(data).to_bytes(4, "big") + whole + zlib.crc32(whole).to_bytes(4, "big")


PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


def judged(body: bytes, kind: str = "Image", media: str = "", **more: Any) -> str | None:
    """The reason for which an answer cannot be used."""
    given: dict[str, Any] = {"method": "GET", "headers": {}, "status": 200, **more}
    request = Request("https://a.test/x", given["method"], given["headers"], None, kind, first="")
    reply = Reply(given["status"], (("Content-Type", media),), body)
    return check_reply(Warnings(), request, reply)


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (PNG, "image/png"), (PNG + b"more", "image/jpeg"), (b"GIF89a", ""), (b"GIF87a", ""),
        (b"\xff\xd8\xff\xe0..\xff\xd9", ""), (b"BM....", ""), (b"\0\0\1\0", "image/x-icon"),
        (b"RIFF\x04\0\0\0WEBP", "text/plain"), (b"\0\0\0\x20ftypavif", ""),
        (b"<?xml?><svg>", "image/svg+xml"), (b"<a:svg>", "image/svg+xml;charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2 << 20) + b"IEND", ""),
    ],
)  # fmt: skip
def test_a_picture_is_one_by_its_bytes(body: bytes, media: str) -> None:
    """Chrome displays it with any media type, but for SVG."""
    assert judged(body, media=media) is None


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"", "image/png"), (b"<html>", "image/png"), (PNG[:-1], ""), (PNG[:-12], ""),
        (PNG[:40] + b"!" + PNG[41:], ""), (b"\x89PNG\r\n\x1a\n", ""), (b"\xff\xd8\xff\xe0...", ""),
        (b"RIFF\xff\0\0\0WEBP", ""), (b"RIFF\0\0\0\0WAVE", ""), (b"<svg>", "text/plain"),
        (b"<html>", "image/svg+xml"), (b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT", ""),
    ],
)  # fmt: skip
def test_what_is_no_picture_or_not_all_of_one_is_broken(body: bytes, media: str) -> None:
    """Also where only the end is missing, which Chrome paints in part and never reports."""
    assert judged(body, media=media) == "broken_image"


def test_only_what_is_wanted_for_the_picture_is_judged() -> None:
    """By what it is asked for as; beacons and prefetches are not, if they fail or not."""
    assert judged(b"x", "Font") == "broken_font"
    assert judged(b"wOF2", "Font") is None
    assert judged(b"x", "XHR") is None
    assert judged(b"x", "Stylesheet", status=404) == "http_404"
    assert judged(b"x", status=503) == "http_503"
    assert judged(b"", status=302) == judged(b"", status=304) == judged(b"", status=204) is None
    assert judged(b"", method="HEAD") is None
    assert judged(b"", "Ping", status=404) is None
    assert judged(b"", "Fetch", status=404, headers={"Sec-Purpose": "prefetch"}) is None
    assert judged(b"", "Other", status=404, headers={"Accept": "image/avif,*/*"}) is None
    assert judged(b"", "Other", status=404, headers={"Accept": "*/*"}) == "http_404"


def test_what_the_route_has_reported_is_not_reported_again() -> None:
    """By where a redirect began, too, and with any fragment."""
    warnings, observations = Warnings(), Observations()
    request = Request("https://b.test/x", "GET", {}, None, "Image", 1, "https://a.test/x")
    assert check_reply(warnings, request, Reply(404, (), b"")) == "http_404"
    observations.findings = [
        Finding("failed", "https://a.test/x#a", "broken_image"),
        Finding("failed", "https://b.test/x", "failed"),
        Finding("denied", "file:///a", "scheme"),
        Finding("failed", "file:///a", "broken_image"),
        Finding("failed", "https://never-asked.test/", "broken_image"),
        Finding("failed", "data:image/png,x", "broken_image"),
    ]
    observations.script_errors = ("TypeError at 1:2", "RangeError in a promise")
    add_findings(warnings, observations)
    assert warnings.header() == (
        'denied;url="file:///a";reason=scheme, '
        'denied;url="https://never-asked.test/";reason=blocked, '
        'failed;url="data:image/png";reason=broken_image, '
        'script_error;kind="TypeError";at="1:2", script_error;kind="RangeError";at="promise"'
    )


def test_a_file_of_almost_that_name_is_named() -> None:
    """In upper or lower case, or with accents written otherwise."""
    names = ["img/Logo.png", "caf\u00e9.png"]
    assert similar_name("img/logo.png", names) == "img/Logo.png"
    assert similar_name("cafe\u0301.png", names) == "caf\u00e9.png"
    assert similar_name("other.png", names) == ""
    assert similar_name("img/Logo.png", names) == ""


def test_a_file_of_the_pages_own_is_not_found() -> None:
    """The reason is not that of a server."""
    request = Request(f"{ADDRESS}x", "GET", {}, None, "Image")
    assert check_reply(Warnings(), request, Reply(404, (), b"")) == "not_found"


@pytest.mark.parametrize(
    "entry",
    [
        {}, {"text": ""}, {"text": "Failed to load resource: the server responded with 404"},
        {"text": "x" * 100_000}, {"text": "Mixed Content: " * 5_000 + "'" * 5_000},
        {"text": "Refused to load " * 500 + "'" * 500},
        {"text": "Mixed Content: The page at 'https://a/' was loaded over HTTPS, but requested an"
         " insecure element 'http://a.test/'. This request was automatically upgraded"},
    ],
)  # fmt: skip
def test_other_messages_are_no_findings(entry: dict[str, Any]) -> None:
    """And no text makes reading it slow: the suite's own limit would end it."""
    assert finding_of(entry) is None


def test_a_page_cannot_say_much_in_its_own_script() -> None:
    """Only what has its form is believed, and only so many."""
    assert (
        parse_lost_elements(None)
        == parse_lost_elements({"lost": "img x"})
        == parse_lost_elements({"lost": [1, None, "x"]})
    )
    many = parse_lost_elements({"lost": ["img https://a.test/" + "x" * 10_000] * 1_000})
    assert len(many) == 2 * MAX_LOST_ELEMENTS
    assert max(len(one.url) for one in many) <= 2_000
    witness = Witness()
    for _ in range(1_000):
        witness.note_navigation("https://a.test/")
    assert len(witness.findings) == 100
