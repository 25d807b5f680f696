"""The texts of style sheets and scripts that a caller adds to a page, fetched where needed.

They are fetched as the page itself would, by its route: the network policy, the page's budget and
its warnings hold for them, and a file that came with the page may be named by its path.
"""

import asyncio
import codecs
import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urldefrag

from yarl import URL

from poster_service.browser.types import Reply, Request, Route
from poster_service.fetch.http_cache import header
from poster_service.render.font_display import in_css
from poster_service.render.page_options import Insertion
from poster_service.render.warnings import Warnings

#: A larger text is not added to a page, in bytes: Chrome gets it in one message, and the addresses
#: of a style sheet are searched for at once.
MAX_FETCHED_BYTES = {"Stylesheet": 1 << 20, "Script": 8 << 20}
#: Redirects that are followed; the page's budget may allow fewer.
MAX_REDIRECTS = 20
#: Encodings of a text, by Python's names; any other is read as UTF-8. Some of Python's encode
#: bytes and no text, or take a time that is not in proportion to the text.
ENCODINGS = frozenset((
    "ascii", "iso8859-1", "iso8859-2", "iso8859-15", "cp1250", "cp1251", "cp1252", "koi8-r",
    "utf-16", "utf-16-le", "utf-16-be", "gbk", "gb2312", "gb18030", "big5", "shift_jis", "cp932",
    "euc_jp", "euc_kr",
))  # fmt: skip
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
#: Comments and strings of CSS, in which no address is, and addresses, quoted and not.
_STRINGS = r""""((?:[^"\\\n]|\\.)*+)"|'((?:[^'\\\n]|\\.)*+)'"""
_TOKEN = re.compile(
    r"/\*.*?(?:\*/|\Z)|(?<![\w-])url\(\s*+(?:"
    + _STRINGS
    + r"|([^)\s\"'\\(]*+))\s*+\)|"
    + _STRINGS.replace("((?:", "(?:(?:"),
    re.DOTALL | re.IGNORECASE,
)
#: An address with a scheme, or in the page itself.
_ABSOLUTE = re.compile(r"#|[a-z][a-z0-9+.-]*+:", re.IGNORECASE)
#: From this size on a text takes longer than a millisecond.
LARGE_BYTES = 1 << 16
_ACCEPT = {"Stylesheet": "text/css,*/*;q=0.1", "Script": "*/*"}

Kind = Literal["Stylesheet", "Script"]


class Insertions:
    """Fetches what is added to one page."""

    def __init__(self, route: Route, page: str, warnings: Warnings) -> None:
        """Take what the page has.

        Args:
            route: Answers its requests.
            page: Its address.
            warnings: Gets what cannot be used; the route adds what did not come.
        """
        self._route, self._page, self._warnings = route, page, warnings

    async def sheets(self, given: Sequence[Insertion], limit: float | None) -> tuple[str, ...]:
        """Style sheets, in their order; those that did not come are left out.

        Args:
            given: What to fetch.
            limit: Seconds after which those that have not come are left out; None for no limit.
        """
        found = await asyncio.gather(*(self._in_time(one, limit) for one in given))
        return tuple(text for text in found if text is not None)

    async def scripts(self, given: Sequence[Insertion]) -> tuple[str, ...]:
        """Scripts, in their order; those that did not come are left out."""
        found = await asyncio.gather(*(self._fetched(one, "Script") for one in given))
        return tuple(text for text in found if text is not None)

    async def _in_time(self, given: Insertion, limit: float | None) -> str | None:
        try:
            async with asyncio.timeout(limit):
                return await self._fetched(given, "Stylesheet")
        except TimeoutError:
            self._warnings.add("failed", _joined(self._page, given.url or "") or "", "timeout")
            return None

    async def _fetched(self, given: Insertion, kind: Kind) -> str | None:
        if given.content is not None:
            return (
                in_css(given.content.encode()).decode() if kind == "Stylesheet" else given.content
            )
        url = first = _joined(self._page, given.url or "")
        for hops in range(MAX_REDIRECTS + 1):
            if url is None:
                break
            headers = {"Accept": _ACCEPT[kind]}
            reply = await self._route(Request(url, "GET", headers, None, kind, hops, first or url))
            if reply is None:
                return None
            location = header(reply.headers, "location") if 300 <= reply.status < 400 else None
            if location is None:
                return await self._usable(reply, kind, url)
            url = _joined(url, location)
        self._warnings.add("failed", first or given.url or "", "unusable")
        return None

    async def _usable(self, reply: Reply, kind: Kind, url: str) -> str | None:
        """The text of a reply; None for one that a page could not use either."""
        if not 200 <= reply.status < 300:
            return None
        media_type = (header(reply.headers, "content-type") or "").partition(";")[0].strip()
        if kind == "Stylesheet" and media_type.lower() != "text/css":
            self._warnings.add("failed", url, "mime_type")
            return None
        if len(reply.body) > MAX_FETCHED_BYTES[kind]:
            self._warnings.add("failed", url, "too_large")
            return None
        read = _sheet if kind == "Stylesheet" else _text
        if len(reply.body) < LARGE_BYTES:
            return read(reply, url)
        return await asyncio.to_thread(read, reply, url)


def with_base(css: str, base: str) -> str:
    """A style sheet in which relative addresses are absolute: it is added to another's page.

    Only in `url()`. Chrome (156) has no base for a style sheet that a script makes.
    """

    def absolute(found: re.Match[str]) -> str:
        address = next((part for part in found.groups() if part is not None), None)
        if not address or "\\" in address or _ABSOLUTE.match(address):
            return found[0]  # a comment, a string, or what has no base
        try:
            return f'url("{URL(base).join(URL(address))}")'
        except ValueError:
            return found[0]

    return _TOKEN.sub(absolute, css)


def _joined(base: str, address: str) -> str | None:
    """An address relative to another, as a request has it; None where it is none."""
    try:
        return urldefrag(str(URL(base).join(URL(address))))[0]
    except ValueError:
        return None


def _sheet(reply: Reply, url: str) -> str:
    """A style sheet as it can be added to a page."""
    return with_base(in_css(_text(reply, url).encode()).decode(), url)


def _text(reply: Reply, _: str) -> str:
    """The body as text: by its byte order mark, its header, else UTF-8."""
    body = reply.body
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    named = _CHARSET.search(header(reply.headers, "content-type") or "")
    try:
        encoding = codecs.lookup(named[1]).name if named else "utf-8"
    except LookupError:
        encoding = "utf-8"
    is_known = encoding in ENCODINGS and not body.startswith(codecs.BOM_UTF8)
    return body.decode(encoding if is_known else "utf-8", "replace").removeprefix("\ufeff")
