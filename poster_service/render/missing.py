"""What a page asked for and did not get, or cannot use: judged, and added to its warnings.

Two sources. Its route knows every request that came here and each answer (`judge`); Chrome and the
page know what never came here or was rejected afterwards (`add_findings`). What the first has
judged, the second does not tell again.
"""

import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from poster_service.browser.types import ADDRESS, Reply, Request
from poster_service.fetch.http_cache import header
from poster_service.render.warnings import Verb, Warnings
from poster_service.stats import Phases

#: How a picture that Chrome decodes begins, whatever its media type (MIME Sniffing, section 6.1;
#: AVIF and JPEG XL by their own specifications).
PICTURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"\0\0\1\0", b"\0\0\2\0",
    b"\xff\x0a", b"\0\0\0\x0cJXL ",
)  # fmt: skip
#: How a font begins: WOFF, WOFF 2, TrueType, OpenType, a collection.
FONTS = (b"wOF2", b"wOFF", b"\0\1\0\0", b"OTTO", b"true", b"ttcf")
#: Reasons of which the page's own script knows nothing better.
FROM_PAGE = frozenset(("broken_image", "unusable"))
#: What Chrome asks nobody for.
OWN = ("data:", "blob:")
#: A larger PNG is not checked chunk by chunk in the event loop.
MAX_CHECKED = 1 << 20
#: What is asked for without being a part of the picture, whatever becomes of it.
ASIDE = frozenset(("Ping", "CSPViolationReport", "Preflight"))


def judge(warnings: Warnings, request: Request, reply: Reply) -> str | None:
    """The reason for a warning where a page cannot use an answer; None where it can."""
    warnings.asked.update(_urls(request))
    if is_aside(request):
        settle(warnings, request)
        return None
    if (reason := fault_of(request, reply)) is not None:
        settle(warnings, request)
    return reason


def is_aside(request: Request) -> bool:
    """Whether a request is for later, or for somebody else: a beacon, a prefetch, a report."""
    purpose = _header(request, "sec-purpose")
    return request.kind in ASIDE or purpose.startswith("prefetch") or is_icon(request)


def is_icon(request: Request) -> bool:
    """Whether it is the page's icon, for which full Chromium asks at times."""
    return request.kind == "Other" and _header(request, "accept").startswith("image/")


def _header(request: Request, name: str) -> str:
    return next((value for one, value in request.headers.items() if one.lower() == name), "")


def settle(warnings: Warnings, request: Request) -> None:
    """Its route has judged it: what Chrome says of it is no news."""
    warnings.settled.update(_urls(request))


def _urls(request: Request) -> Iterator[str]:
    """What the page may call it: by where it is, or by where its redirects began."""
    return (_bare(url) for url in (request.url, request.first) if url)


def fault_of(request: Request, reply: Reply) -> str | None:
    """Why an answer cannot be used, as far as its status and its first bytes tell."""
    if reply.status == HTTPStatus.NOT_FOUND and request.url.startswith(ADDRESS):
        return "not_found"  # among the files that came with the page, or its template's
    if reply.status >= HTTPStatus.BAD_REQUEST:
        return f"http_{reply.status}"
    if reply.status != HTTPStatus.OK or request.method != "GET":
        return None
    if request.kind == "Image" and not is_picture(reply):
        return "broken_image"
    if request.kind == "Font" and not reply.body.startswith(FONTS):
        return "broken_font"
    return None


def is_picture(reply: Reply) -> bool:
    """Whether it is a picture, and all of it; Chrome, in its sandbox, is the one to decode it."""
    body, media = reply.body, header(reply.headers, "content-type") or ""
    if "svg" in media:
        return b"<svg" in body or b":svg" in body
    if body.startswith(b"\x89PNG"):
        return _is_whole_png(body) if len(body) <= MAX_CHECKED else b"IEND" in body
    if body.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in body
    if body.startswith(b"RIFF"):
        return body[8:12] == b"WEBP" and len(body) >= int.from_bytes(body[4:8], "little")
    return body.startswith(PICTURES) or body[4:8] == b"ftyp"


def _is_whole_png(body: bytes) -> bool:
    """Whether each chunk of a PNG is there and sound, up to the last (PNG, section 5.3)."""
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


def add_findings(warnings: Warnings, phases: Phases) -> None:
    """Add what Chrome and the page itself know, errors of its scripts, and other notes."""
    for verb, url, reason in _news(warnings, phases.findings):
        warnings.add(verb, url, reason)
    for complaint in phases.script_errors:
        kind, _, place = complaint.partition(" ")
        at = "promise" if place == "in a promise" else place.removeprefix("at ")
        warnings.note("script_error", kind=kind, at=at)
    for kind, parameters in phases.notes:
        warnings.note(kind, **parameters)


def similar_name(name: str, names: Iterable[str]) -> str:
    """A file whose name differs only in case, or in how its accents are written; "" without one."""
    wanted = _folded(name)
    return next((one for one in names if one != name and _folded(one) == wanted), "")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _news(
    warnings: Warnings, findings: Iterable[tuple[Verb, str, str]]
) -> Iterable[tuple[Verb, str, str]]:
    for verb, url, reason in findings:
        if (bare := _bare(url)) not in warnings.settled:
            warnings.settled.add(bare)
            if reason in FROM_PAGE and bare not in warnings.asked and not url.startswith(OWN):
                yield "denied", url, "blocked"  # Chrome never asked for it, and does not say why
            else:
                yield verb, url, reason


def _bare(url: str) -> str:
    """An address without its fragment, which no request has."""
    return url.partition("#")[0]
