"""Finds the resources that a page requested and did not get, or cannot use, for its warnings.

There are two sources. The page's route sees every request that reaches this service and each reply
(`check_reply`); Chrome and the page itself know what was never requested here, or was rejected
afterwards (`add_findings`). What the first has reported, the second does not report again.
"""

import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from poster_service.browser.types import ADDRESS, Reply, Request
from poster_service.fetch.http_cache import header
from poster_service.render.observations import Observations
from poster_service.render.warnings import Verb, Warnings

#: The first bytes of an image that Chrome decodes, whatever its media type (MIME Sniffing, section
#: 6.1; AVIF and JPEG XL by their own specifications).
IMAGE_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"\0\0\1\0", b"\0\0\2\0",
    b"\xff\x0a", b"\0\0\0\x0cJXL ",
)  # fmt: skip
#: The first bytes of a font: WOFF, WOFF 2, TrueType, OpenType, a collection.
FONT_SIGNATURES = (b"wOF2", b"wOFF", b"\0\1\0\0", b"OTTO", b"true", b"ttcf")
#: Reasons that the script in the page gives, which does not know why an element failed.
UNEXPLAINED = frozenset(("broken_image", "unusable"))
#: Schemes that Chrome loads without a request.
INLINE_SCHEMES = ("data:", "blob:")
#: A larger PNG is not checked chunk by chunk in the event loop, in bytes.
MAX_CHECKED_BYTES = 1 << 20
#: Resource types (CDP) that are not a part of the image.
BACKGROUND_KINDS = frozenset(("Ping", "CSPViolationReport", "Preflight"))


def check_reply(warnings: Warnings, request: Request, reply: Reply) -> str | None:
    """The reason for a warning where a page cannot use a reply; None where it can.

    Notes in `warnings` that the request was made and, where all is known of it, settles it.
    """
    warnings.requested.update(_urls(request))
    if is_background(request):
        settle(warnings, request)
        return None
    if (reason := fault_of(request, reply)) is not None:
        settle(warnings, request)
    return reason


def is_background(request: Request) -> bool:
    """Whether a request is not for the image: a beacon, a prefetch, a report, the page's icon."""
    purpose = _header(request, "sec-purpose")
    return request.kind in BACKGROUND_KINDS or purpose.startswith("prefetch") or is_icon(request)


def is_icon(request: Request) -> bool:
    """Whether it is for the page's icon, which full Chromium requests at times."""
    return request.kind == "Other" and _header(request, "accept").startswith("image/")


def _header(request: Request, name: str) -> str:
    return next((value for key, value in request.headers.items() if key.lower() == name), "")


def settle(warnings: Warnings, request: Request) -> None:
    """Note that the route knows all of this request: what Chrome reports of it is a repetition."""
    warnings.settled.update(_urls(request))


def _urls(request: Request) -> Iterator[str]:
    """The addresses by which Chrome may report it: its own, and where its redirects began."""
    return (_without_fragment(url) for url in (request.url, request.first) if url)


def fault_of(request: Request, reply: Reply) -> str | None:
    """Why a page cannot use a reply, by its status and its first bytes; None if it may."""
    if reply.status == HTTPStatus.NOT_FOUND and request.url.startswith(ADDRESS):
        return "not_found"  # among the files that came with the page, or its template's
    if reply.status >= HTTPStatus.BAD_REQUEST:
        return f"http_{reply.status}"
    if reply.status != HTTPStatus.OK or request.method != "GET":
        return None
    if request.kind == "Image" and not is_complete_image(reply):
        return "broken_image"
    if request.kind == "Font" and not reply.body.startswith(FONT_SIGNATURES):
        return "broken_font"
    return None


def is_complete_image(reply: Reply) -> bool:
    """Whether it looks like an image with its end; only Chrome, in its sandbox, decodes it."""
    body, media_type = reply.body, header(reply.headers, "content-type") or ""
    if "svg" in media_type:
        return b"<svg" in body or b":svg" in body
    if body.startswith(b"\x89PNG"):
        return _is_whole_png(body) if len(body) <= MAX_CHECKED_BYTES else b"IEND" in body
    if body.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in body
    if body.startswith(b"RIFF"):
        return body[8:12] == b"WEBP" and len(body) >= int.from_bytes(body[4:8], "little")
    return body.startswith(IMAGE_SIGNATURES) or body[4:8] == b"ftyp"


def _is_whole_png(body: bytes) -> bool:
    """Whether each chunk of a PNG is there and its CRC is right, to the last (PNG, section 5.3)."""
    at = 8
    while at + 12 <= len(body):
        end = at + 8 + int.from_bytes(body[at : at + 4])
        name = body[at + 4 : at + 8]
        if zlib.crc32(body[at + 4 : end]) != int.from_bytes(body[end : end + 4]):
            return False
        if name == b"IEND":
            return True
        at = end + 4
    return False


def add_findings(warnings: Warnings, observations: Observations) -> None:
    """Add what Chrome and the page itself report, errors of its scripts, and other notes."""
    for verb, url, reason in _new_findings(warnings, observations.findings):
        warnings.add(verb, url, reason)
    for error in observations.script_errors:
        kind, _, place = error.partition(" ")
        at = "promise" if place == "in a promise" else place.removeprefix("at ")
        warnings.note("script_error", kind=kind, at=at)
    for kind, parameters in observations.notes:
        warnings.note(kind, **parameters)


def similar_name(name: str, names: Iterable[str]) -> str:
    """A file whose name differs only in case or in Unicode normalisation; "" without one."""
    wanted = _case_folded(name)
    return next((other for other in names if other != name and _case_folded(other) == wanted), "")


def _case_folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _new_findings(
    warnings: Warnings, findings: Iterable[tuple[Verb, str, str]]
) -> Iterator[tuple[Verb, str, str]]:
    """The findings that are not settled yet; settles them."""
    for verb, url, reason in findings:
        plain = _without_fragment(url)
        if plain in warnings.settled:
            continue
        warnings.settled.add(plain)
        is_inline = url.startswith(INLINE_SCHEMES)
        if reason in UNEXPLAINED and plain not in warnings.requested and not is_inline:
            yield "denied", url, "blocked"  # Chrome never requested it, and does not say why
        else:
            yield verb, url, reason


def _without_fragment(url: str) -> str:
    """An address without its fragment, which no request has."""
    return url.partition("#")[0]
