"""How long a response stays fresh by its server's explicit headers (RFC 9111); no heuristics.

This is the view of a shared cache: it does not store `private` responses, and it obeys `s-maxage`.
Where the server gives no lifetime it assumes none (section 4.2.2 would allow a heuristic one): a
poster with last week's picture is wrong.

hishel 2.0.0 was tried in place of this module. Its core needs no transport, but it gives another
lifetime on 21 of the 35 inputs of `tests/unit/test_http_cache.py`, and still on 12 of them where
every response without a Date is given one. Nearly all of these are less strict:

- Without a Date the age is always 0, so the response never becomes stale.
- Age and the duration of the request are ignored: `max-age=60` with `Age: 50` counts 60 seconds,
  not 10. With a Date 20 seconds ahead `max-age=60` counts 80 seconds.
- Without an explicit lifetime it takes one from Last-Modified, and has no option against that:
  111,111 seconds for a file that changed 1,000,000 seconds ago.
- It stores 500 and 503 with `max-age`, and responses with Set-Cookie (without that header).
- It reuses responses with `no-cache="x, y"` and `private="set-cookie"` as if they had neither.
- After an invalid `max-age=soon` it obeys Expires; of a repeated max-age the last one counts; `+5`,
  `1_000` and digits other than ASCII are numbers to it.

Code that corrects all of this would be as long as this module. Storing and reusing one response
took hishel 216 us of CPU; reading its headers here, a part of that work, takes 27 us.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus
from urllib.request import parse_http_list

from poster_service.browser.types import Reply

#: The delta-seconds that a larger number becomes (RFC 9111, 1.2.2).
MAX_DELTA_SECONDS = 2**31
#: Statuses that may be stored: their bodies are complete and the same for every client.
STORABLE_STATUSES = frozenset((200, 203, 300, 301, 302, 307, 308, 404, 410))
#: Hop-by-hop headers (RFC 9110, 7.6.1), and those that no longer fit a body that was decoded.
HOP_BY_HOP = frozenset(
    ("connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate",
     "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Freshness:
    """How a shared cache may use a response.

    Attributes:
        may_store: Whether a shared cache may store it at all.
        age: Its age when it was received, in seconds.
        left: Seconds from then on in which it may be used without validation; 0 where the server
            states no lifetime.
        has_validator: Whether it has an ETag or Last-Modified, by which its server can validate it.
    """

    may_store: bool
    age: float
    left: float
    has_validator: bool


def header(headers: Headers, name: str) -> str | None:
    """A header's value, several lines joined by commas (RFC 9110, 5.3); None without the header.

    `name` is in lower case.
    """
    values = [value for field, value in headers if field.lower() == name]
    return ", ".join(values) if values else None


def directives(value: str | None) -> dict[str, str]:
    """The directives of a Cache-Control header by name, in lower case, with their arguments.

    Of a repeated directive the first one counts; a directive without an argument has "".
    """
    found: dict[str, str] = {}
    for part in parse_http_list(value or ""):
        name, _, argument = part.partition("=")
        found.setdefault(name.strip().lower(), argument.strip().strip('"'))
    return found


def seconds(argument: str) -> int:
    """A delta-seconds argument (RFC 9111, 1.2.2); 0 for an invalid one, the safe side."""
    if not (argument.isascii() and argument.isdigit()):
        return 0
    return MAX_DELTA_SECONDS if len(argument) > 10 else min(int(argument), MAX_DELTA_SECONDS)


def freshness(reply: Reply, sent: float, received: float) -> Freshness:
    """Read a response's headers as RFC 9111 has it for a shared cache.

    Args:
        reply: The response.
        sent: When the request was sent, in seconds since the epoch.
        received: When the response came, likewise.
    """
    control = directives(header(reply.headers, "cache-control"))
    date = _timestamp(header(reply.headers, "date"))
    apparent = received - (received if date is None else date)
    corrected = seconds(header(reply.headers, "age") or "0") + received - sent
    age = max(0.0, corrected, apparent)  # section 4.2.3
    is_forbidden = "no-store" in control or "private" in control
    varies = header(reply.headers, "vary") == "*"
    has_cookie = header(reply.headers, "set-cookie") is not None
    is_storable = reply.status in STORABLE_STATUSES
    may_store = is_storable and not (is_forbidden or varies or has_cookie)
    lifetime = _lifetime(control, header(reply.headers, "expires"), date, received)
    has_validator = any(header(reply.headers, name) for name in ("etag", "last-modified"))
    return Freshness(may_store, age, max(0.0, lifetime - age) if may_store else 0.0, has_validator)


def _lifetime(
    control: dict[str, str], expires: str | None, date: float | None, received: float
) -> float:
    """Seconds that a response is fresh for, counted from its Date (section 4.2.1)."""
    if "no-cache" in control:
        return 0
    for name in ("s-maxage", "max-age"):
        if name in control:
            return seconds(control[name])
    until = _timestamp(expires)
    if until is None:
        return 0
    return min(MAX_DELTA_SECONDS, until - (received if date is None else date))


def _timestamp(value: str | None) -> float | None:
    """An HTTP date in seconds since the epoch; None for anything else, such as "0"."""
    try:
        parsed = parsedate_tz(value or "")
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


class CacheLifetime:
    """How long the image of one page may be cached, by what the page was composed of.

    Attributes:
        until: On the monotonic clock; infinite as long as the page fetched nothing.
        is_broken: Whether a server returned an error instead of what the page requested.
    """

    def __init__(self) -> None:
        self.until = float("inf")
        self.is_broken = False

    def add_fetched(self, kind: str, method: str, reply: Reply) -> None:
        """Take a response from the network into account; `kind` is a CDP resource type."""
        now = time.time()
        self.is_broken |= reply.status >= HTTPStatus.BAD_REQUEST
        left = freshness(reply, now, now).left if method in ("GET", "HEAD") else 0.0
        self.until = min(self.until, time.monotonic() + left)
        self.add_part(kind, reply)

    def add_part(self, kind: str, reply: Reply) -> None:
        """Take any part of the page into account: an animated one looks different each time."""
        if is_animated(kind, reply):
            self.until = 0.0


#: Markup by which a style sheet or an SVG is animated.
ANIMATED_MARKUP = (b"animation", b"<animate", b"<set", b"@starting-style")
#: The same for image files: GIF's loop, APNG's and WebP's chunks, AVIF's brand; all of them stand
#: near the beginning.
ANIMATED_IMAGE = (b"NETSCAPE2.0", b"acTL", b"ANIM", b"avis")


def is_animated(kind: str, reply: Reply) -> bool:
    """Whether a part of a page may be animated; in doubt it is, and the image is not cached."""
    media_type = header(reply.headers, "content-type") or ""
    if kind == "Stylesheet" or "svg" in media_type:
        return any(mark in reply.body.lower() for mark in ANIMATED_MARKUP)
    return kind == "Image" and any(mark in reply.body[:65_536] for mark in ANIMATED_IMAGE)
