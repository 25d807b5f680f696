"""The visit of a page on the web: where its redirects led, what came, and whether it is a page.

The page's own document is the one request of a render whose failure is the caller's to know: it
becomes an error here, with the field `url`, where all others become warnings.
"""

import asyncio
import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import quote, urljoin, urlsplit

from poster_service.browser.types import Reply, Request
from poster_service.errors import (
    DISPLAYED,
    Fault,
    FetchDenied,
    NotAPage,
    UrlStatus,
    UrlUnreachable,
)
from poster_service.fetch.errors import RequestDenied, RequestFailed
from poster_service.fetch.http_cache import CacheLifetime, header
from poster_service.fetch.own import OwnOrigin, Secrets
from poster_service.render.static_page import is_static
from poster_service.render.status_options import Statuses
from poster_service.render.warnings import displayed

#: Longest address and title that an answer reports, in characters of a header.
MAX_ADDRESS, MAX_TITLE = 2_000, 900
#: Statuses of answers that have no content, where no redirect leads on.
NO_CONTENT = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED)
#: Media types that Chrome displays by itself, beside `text/*` and `image/*`.
DISPLAYED_TYPES = frozenset((
    "application/xhtml+xml", "application/xml", "application/json", "application/javascript",
    "application/x-javascript", "application/ecmascript",
))  # fmt: skip
#: Media types of a page of which the markup says whether it may differ each time.
STATIC_TYPES = ("text/html", "text/plain", "image/")
#: What Chrome takes for HTML in an answer without a type, among others (MIME Sniffing, 7.1).
_MARKUP = re.compile(rb"\s{0,200}<(!doctype html|!--|html|head|body|script|h1|div|p)\b", re.I)
#: A larger document is examined in a thread.
LARGE_BYTES = 1 << 13
#: What stays as it is in a header; everything else is percent-encoded.
_PLAIN = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


@dataclass(frozen=True)
class PageInfo:
    """What is reported of a page on the web; each text is safe in a header.

    Attributes:
        url: Where it came from, after redirects; without a query that the caller did not send.
        status: The HTTP status.
        title: Percent-encoded where it is not ASCII.
    """

    url: str
    status: int
    title: str = ""

    def titled(self, title: str) -> "PageInfo":
        """The same with its title, shortened."""
        plain = " ".join(title.split())
        return replace(
            self, title=_cut(quote(plain, safe=_PLAIN + " ", errors="replace"), MAX_TITLE)
        )


class Visit:
    """One render's visit of an address on the web.

    Attributes:
        address: As the caller gave it.
        own: What is sent to its origin alone.
        page: What came; None until then.
    """

    def __init__(
        self,
        address: str,
        secrets: Secrets,
        *,
        allows_errors: bool,
        runs_scripts: bool,
        failing: Statuses | None = None,
    ) -> None:
        """Start before anything is requested.

        Args:
            address: An http or https address.
            secrets: What is sent to its origin alone.
            allows_errors: Whether a status of 400 or more is a page like another.
            runs_scripts: Whether its scripts run.
            failing: Statuses that are not, in any case.
        """
        self.address = address
        self.own = OwnOrigin(address, secrets)
        self.page: PageInfo | None = None
        self._allows_errors = allows_errors
        self._runs_scripts = runs_scripts
        self._failing = failing or Statuses()

    def refused(self, request: Request, error: RequestDenied) -> FetchDenied:
        """The error of an address that the policy denies."""
        where = displayed(request.url)
        return FetchDenied.of(
            Fault("url", f"{where} is denied ({error.reason})", "an address that pages may fetch")
        )

    def failed(self, request: Request, error: RequestFailed) -> UrlUnreachable:
        """The error of an address that cannot be fetched."""
        return UrlUnreachable(f"url: {displayed(request.url)} did not answer: {error.reason}")

    async def take(self, request: Request, reply: Reply, lifetime: CacheLifetime) -> Reply:
        """The document as Chrome gets it, or a redirect, if it is one that is followed.

        Raises:
            FetchDenied: It redirects to what is not on the web.
            UrlStatus: It is an error.
            NotAPage: It is not displayed.
        """
        if reply.is_redirect:
            self._check_target(request, reply)
            return reply
        self._check_status(request, reply.status)
        reply = displayable(reply)
        if not await self._is_static(reply):
            lifetime.until = 0.0
        self.page = PageInfo(self._reported(request.url), reply.status)
        return reply

    def _check_status(self, request: Request, status: int) -> None:
        allowed = "a status that is not in fail_on_status.page"
        if not self._failing.fails(request.url, status):
            if status < HTTPStatus.BAD_REQUEST or self._allows_errors:
                return
            allowed = "a status below 400, or allow_error_status"
        message = f"{displayed(request.url)} answered with status {status}"
        error = UrlStatus.of(Fault("url", message, allowed))
        error.status = status
        raise error

    def _check_target(self, request: Request, reply: Reply) -> None:
        target = header(reply.headers, "location") or ""
        try:
            scheme = urlsplit(urljoin(request.url, target)).scheme
        except ValueError:
            scheme = ""
        if scheme not in ("http", "https"):
            where = displayed(request.url)
            raise FetchDenied.of(
                Fault("url", f"{where} redirects to scheme {scheme[:20]!r}", "http or https")
            )

    async def _is_static(self, reply: Reply) -> bool:
        """Whether nothing in the document runs or moves; False for what cannot be examined."""
        kind = media_type(reply)
        if not kind.startswith(STATIC_TYPES) or b"\0" in reply.body[:1024]:
            return kind.startswith("image/") and "svg" not in kind
        if kind.startswith("image/") and "svg" not in kind:
            return True
        text = reply.body.decode("latin-1")
        if len(text) <= LARGE_BYTES:
            return is_static(text, runs_scripts=self._runs_scripts)
        return await asyncio.to_thread(is_static, text, runs_scripts=self._runs_scripts)

    def _reported(self, url: str) -> str:
        """The final address: without user, and without a query that a redirect added."""
        try:
            sent, final = urlsplit(self.address), urlsplit(url)
        except ValueError:  # Chrome reads more addresses than Python
            return displayed(url)
        query = f"?{final.query}" if final.query and final.query == sent.query else ""
        fragment = f"#{sent.fragment}" if sent.fragment else ""
        host = final.netloc.rpartition("@")[2]
        plain = f"{final.scheme}://{host}{final.path}{query}{fragment}"
        return _cut(quote(plain, safe=_PLAIN + "%", errors="replace"), MAX_ADDRESS)


def media_type(reply: Reply) -> str:
    """The media type of a reply, in lower case and without parameters; "" without one."""
    return (header(reply.headers, "content-type") or "").partition(";")[0].strip().lower()


def displayable(reply: Reply) -> Reply:
    """A document that Chrome displays; one without a media type gets one by its first bytes.

    Raises:
        NotAPage: With what it is.
    """
    if reply.status in NO_CONTENT:
        raise NotAPage.of(Fault("url", f"answered {reply.status}, without content", DISPLAYED))
    disposition = header(reply.headers, "content-disposition") or ""
    if disposition.strip().lower().startswith("attachment"):
        raise NotAPage.of(Fault("url", "is a download (Content-Disposition)", DISPLAYED))
    kind = media_type(reply)
    if not kind:
        kind = _sniffed(reply.body[:1024])
        reply = replace(reply, headers=(*reply.headers, ("Content-Type", kind)))
    is_shown = kind.startswith(("text/", "image/")) or kind.endswith(("+xml", "+json"))
    if not is_shown and kind not in DISPLAYED_TYPES:
        raise NotAPage.of(Fault("url", f"is {kind[:60]}", DISPLAYED))
    return reply


def _sniffed(head: bytes) -> str:
    if _MARKUP.match(head):
        return "text/html"
    is_binary = b"\0" in head or head.startswith(b"%PDF-")
    return "application/octet-stream" if is_binary else "text/plain"


def _cut(text: str, most: int) -> str:
    """Percent-encoded text of at most so many characters, never cut inside of an escape."""
    if len(text) <= most:
        return text
    short = text[:most]
    at = short.rfind("%", most - 2)
    return short if at < 0 else short[:at]
