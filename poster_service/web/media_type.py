"""A Content-Type header in parts, in one pass over a bounded text.

Its own file because the standard library's parser, which aiohttp uses, takes quadratic time: 5,000
empty parameters in one header held up everybody for a second.
"""

import re
from dataclasses import dataclass, field

#: Characters of a header; the longest boundary (RFC 2046, 5.1.1) and a charset fit ten times.
MOST_CHARACTERS = 1024
_NAME = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}\Z")
#: `; name=value`, the value in quotes or not. Possessive: no text is looked at twice.
_PARAMETER = re.compile(
    r";[ \t]*+([^\s=;\"]++)[ \t]*+=[ \t]*+(?:\"((?:[^\"\\]++|\\.)*+)\"|([^;\"]*+))[ \t]*+(?=;|\Z)"
    r"|;[^;]*+"
)


@dataclass(frozen=True)
class MediaType:
    """What a Content-Type header says.

    Attributes:
        name: As in `text/html`, in lower case; empty when there is no such header, or it is none.
        parameters: By their names in lower case; the first of each, unquoted.
    """

    name: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def parse(header: str) -> MediaType:
    """A header's value in parts; one that is too long or names no type is the empty one."""
    name, _, rest = header.partition(";")
    name = name.strip().lower()
    if len(header) > MOST_CHARACTERS or not _NAME.match(name):
        return MediaType()
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(";" + rest):
        if found[1] is not None:
            value = found[3].strip() if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
            parameters.setdefault(found[1].lower(), value)
    return MediaType(name, parameters)
