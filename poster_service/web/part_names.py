"""The names in a part's Content-Disposition that are written in the extended way.

Browsers percent-encode `"`, CR and LF of a name and nothing else (WHATWG HTML, 4.10.21.8). Others
write `filename*` (RFC 8187) for a name that is not ASCII, which wins where it is there (RFC 6266,
4.3), although RFC 7578 asks them not to.
"""

import re
from urllib.parse import unquote_to_bytes

from poster_service.web import charsets

_EXTENDED = re.compile(
    r";[ \t]*+(name|filename)\*[ \t]*+=[ \t]*+\"?([^'\s;\"]++)'([^'\s;\"]*+)'([^\s;\"]*+)\"?",
    re.IGNORECASE,
)
#: A quoted value, in which `filename*=` is text and not a parameter.
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+"')


def extended(header: str) -> dict[str, str]:
    """`name` and `filename` as RFC 8187 has them; those that are there and can be decoded."""
    if "*" not in header:
        return {}
    found: dict[str, str] = {}
    for one in _EXTENDED.finditer(_QUOTED.sub(_emptied, header)):
        codec = charsets.codec_of(one[2])
        try:
            if codec is not None:
                found.setdefault(one[1].lower(), unquote_to_bytes(one[4]).decode(codec))
        except UnicodeError:  # the plain name is there for this
            continue
    return found


def _emptied(value: re.Match[str]) -> str:
    """Empty quotes for a quoted value; that of `name*=` stays, as some clients quote it."""
    before = value.string[max(0, value.start() - 8) : value.start()]
    return value[0] if before.rstrip(" \t=").endswith("*") else '""'
