"""How long an answer from the web stays good, by its own word (RFC 9111), and no guessing.

A shared cache's view: what is `private` is not for us, `s-maxage` is. No lifetime is made up where
the server gives none (section 4.2.2 would allow it): a poster with last week's picture is wrong.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus
from urllib.request import parse_http_list

from poster_service.browser.types import Reply

#: What RFC 9111 (1.2.2) has for "longer than that".
LONGEST = 2**31
#: Statuses that may be kept; all with a body that is whole and for everybody.
KEEPABLE = frozenset((200, 203, 300, 301, 302, 307, 308, 404, 410))

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Freshness:
    """What may be done with an answer.

    Attributes:
        may_keep: Whether a shared cache may store it at all.
        age: Seconds since its server made it, when it came.
        left: Seconds for which it may be used unasked, from then on; 0 without an explicit word.
        has_validator: Whether its server can be asked if it is still good.
    """

    may_keep: bool
    age: float
    left: float
    has_validator: bool


def header(headers: Headers, name: str) -> str | None:
    """A header's value, of several lines together (RFC 9110, 5.3); None where there is none."""
    values = [value for one, value in headers if one.lower() == name]
    return ", ".join(values) if values else None


def directives(value: str | None) -> dict[str, str]:
    """A Cache-Control header: the first of each directive, in lower case, with its argument."""
    found: dict[str, str] = {}
    for part in parse_http_list(value or ""):
        name, _, argument = part.partition("=")
        found.setdefault(name.strip().lower(), argument.strip().strip('"'))
    return found


def seconds(argument: str) -> int:
    """A delta-seconds; what is none counts as 0, which is the safe side."""
    if not (argument.isascii() and argument.isdigit()):
        return 0
    return LONGEST if len(argument) > 10 else min(int(argument), LONGEST)


def freshness(reply: Reply, asked: float, received: float) -> Freshness:
    """Judge an answer.

    Args:
        reply: The answer.
        asked: When the request was sent, seconds since the epoch.
        received: When the answer came, likewise.
    """
    said = directives(header(reply.headers, "cache-control"))
    date = _instant(header(reply.headers, "date"))
    told = seconds(header(reply.headers, "age") or "0") + received - asked
    age = max(0.0, told, received - (received if date is None else date))  # section 4.2.3
    forbidden = "no-store" in said or "private" in said
    odd = header(reply.headers, "vary") == "*" or header(reply.headers, "set-cookie") is not None
    may_keep = reply.status in KEEPABLE and not forbidden and not odd
    lifetime = _lifetime(said, header(reply.headers, "expires"), date, received)
    has_validator = any(header(reply.headers, one) for one in ("etag", "last-modified"))
    return Freshness(may_keep, age, max(0.0, lifetime - age) if may_keep else 0.0, has_validator)


def _lifetime(
    said: dict[str, str], expires: str | None, date: float | None, received: float
) -> float:
    """Seconds from the making of an answer for which it is good (section 4.2.1)."""
    if "no-cache" in said:
        return 0
    for name in ("s-maxage", "max-age"):
        if name in said:
            return seconds(said[name])
    until = _instant(expires)
    if until is None:
        return 0
    return min(LONGEST, until - (received if date is None else date))


def _instant(value: str | None) -> float | None:
    """A date in seconds since the epoch, None if it is none ("0" and the like)."""
    try:
        parsed = parsedate_tz(value or "")
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


class CacheLifetime:
    """How long the picture of one page may be kept, by what the page was made of.

    Attributes:
        until: On the monotonic clock; infinite while nothing that may change was fetched.
        is_broken: Whether a server had an error instead of what the page asked for.
    """

    def __init__(self) -> None:
        self.until = float("inf")
        self.is_broken = False

    def fetched(self, kind: str, method: str, reply: Reply) -> None:
        """Note what the page got from the network."""
        now = time.time()
        self.is_broken |= reply.status >= HTTPStatus.BAD_REQUEST
        left = freshness(reply, now, now).left if method in ("GET", "HEAD") else 0.0
        self.until = min(self.until, time.monotonic() + left)
        self.seen(kind, reply)

    def seen(self, kind: str, reply: Reply) -> None:
        """Note a part that was there before, or came; one that moves looks different each time."""
        if moves(kind, reply):
            self.until = 0.0


#: By which a style sheet or a drawing moves.
MOVING_MARKUP = (b"animation", b"<animate", b"<set", b"@starting-style")
#: By which a picture file does: GIF's loop, APNG's and WebP's chunks, AVIF's brand; all near its
#: beginning.
MOVING_PICTURE = (b"NETSCAPE2.0", b"acTL", b"ANIM", b"avis")


def moves(kind: str, reply: Reply) -> bool:
    """Whether something moves by itself, as far as can be seen; rather once too often."""
    media = header(reply.headers, "content-type") or ""
    if kind == "Stylesheet" or "svg" in media:
        return any(mark in reply.body.lower() for mark in MOVING_MARKUP)
    return kind == "Image" and any(mark in reply.body[:65_536] for mark in MOVING_PICTURE)
