"""What a client would rather have, by its `Accept` header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web

from poster_service.errors import Fault, NotAcceptable

#: A media range and what follows up to the next comma; possessive, so that no text is read twice.
_RANGE = re.compile(r"[ \t]*+([^\s,;]++)((?:[^,\"]++|\"(?:[^\"\\]++|\\.)*+\")*+)(?:,|\Z)")
_QUALITY = re.compile(r";[ \t]*+[qQ][ \t]*+=[ \t]*+([01](?:\.\d{0,3})?)[ \t]*+(?:;|\Z)")


def accepted(request: web.Request) -> dict[str, float]:
    """The media ranges that a request accepts, in lower case, each with its quality of 0 to 1.

    Empty where the header is missing; of a range that is given twice the first counts.
    """
    ranges: dict[str, float] = {}
    for found in _RANGE.finditer(",".join(request.headers.getall(hdrs.ACCEPT, ()))):
        quality = _QUALITY.search(found[2])
        ranges.setdefault(found[1].lower(), float(quality[1]) if quality else 1.0)
    return ranges


def quality_of(media_type: str, ranges: dict[str, float]) -> float:
    """How much a client wants a media type: by the most specific range that has it, else 0."""
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def best(request: web.Request, media_types: Sequence[str]) -> str:
    """The one of some media types that a client wants most; the first of equals, or of all.

    Raises:
        NotAcceptable: It wants none of them.
    """
    ranges = accepted(request) or {"*/*": 1.0}
    chosen = max(media_types, key=lambda one: quality_of(one, ranges))
    if not quality_of(chosen, ranges):
        allowed = ", ".join(media_types)
        raise NotAcceptable.of(Fault("Accept", "has no type that can be answered", allowed))
    return chosen


def preferred(request: web.Request, media_types: Iterable[str], default: str) -> str:
    """The one of some media types that a client names and wants more than the default.

    Only a type that is named counts, not one that `*/*` has; and where a client wants the default
    as much, it gets that: so do clients whose library sends a list that they never chose, such as
    `application/json, */*`.

    Args:
        request: Its `Accept` is read.
        media_types: Those that can be answered beside the default, the best of equals first.
        default: A media type.
    """
    ranges = accepted(request)
    most, chosen = quality_of(default, ranges), default
    for one in media_types:
        if ranges.get(one, 0.0) > most:
            most, chosen = ranges[one], one
    return chosen


def wants_html(request: web.Request) -> bool:
    """Whether a client prefers a page for people, as browsers do; `?format=` says it outright."""
    chosen = request.query.get("format")
    if chosen is not None:
        return chosen == "html"
    return "text/html" in request.headers.get(hdrs.ACCEPT, "")
