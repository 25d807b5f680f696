"""What only some servers get: the caller's headers and credentials, and the page's cookies.

puppeteer sends extra headers to every host that a page names, which hands a token to each of them.
Here the service sends the requests itself, and decides for each by its own address, by every
address that redirected to it, and by the frame that makes it. Other addresses get only what the
caller sends to them by an expression of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from poster_service.browser.types import Request
from poster_service.fetch.expressions import Expressions
from poster_service.fetch.http_cache import header
from poster_service.origins import origin_of


@dataclass(frozen=True)
class Terms:
    """How one request is sent, other than every request of a page.

    Attributes:
        headers: Sent instead of the page's own ones of the same names.
        is_private: Whether its response is this page's only, past every cache.
        allows_plain: Whether it may go to the public web by plain http.
        is_patient: Whether its response may take as long as the render that waits for it.
    """

    headers: tuple[tuple[str, str], ...] = ()
    is_private: bool = False
    allows_plain: bool = False
    is_patient: bool = False


#: Of a page that is the caller's own, and of everything it fetches.
NO_TERMS = Terms()


@dataclass(frozen=True)
class Secrets:
    """What the caller sends to a page's origin.

    Attributes:
        headers: By name.
        has_cookies: Whether Chrome was given cookies of the caller's.
    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    has_cookies: bool = False


class OwnOrigin:
    """The origin of one page on the web, and what is sent to it alone.

    The caller's secrets are for the origin of the address that the caller names. They end for the
    whole render once the page is redirected to another origin, even if that redirects back: who
    sends a page elsewhere may have changed its address on the way.
    """

    def __init__(self, url: str, secrets: Secrets) -> None:
        self._origin = self._document = origin_of(url)
        self._secrets = secrets
        self.has_left = False

    @property
    def is_plain(self) -> bool:
        """Whether the page itself came by plain http."""
        return self._document.startswith("http:")

    def arrive(self, url: str) -> None:
        """Note where the page's document is asked for: each redirect leads to another place."""
        self._document = origin_of(url)
        self.has_left |= self._document != self._origin

    def terms(self, request: Request) -> Terms:
        """How a request of the page is sent."""
        allows_plain = request.is_main or self.is_plain
        sent = {}
        if referer := header(request.headers.items(), "referer"):
            sent["Referer"] = referer
        own = self._own_headers(request) if self._is_own(request) else {}
        # Without the page's own document there is nothing to go on with.
        return Terms(tuple((sent | own).items()), bool(own), allows_plain, request.is_main)

    def _own_headers(self, request: Request) -> dict[str, str]:
        found: dict[str, str] = {}
        cookies = header(request.headers.items(), "cookie")
        if cookies and not (self.has_left and self._secrets.has_cookies):
            found["Cookie"] = cookies
        if not self.has_left:
            own = dict(self._secrets.headers)
            if header(request.headers.items(), "authorization"):  # the page's own
                own.pop("Authorization", None)
            found |= own
        return found

    def _is_own(self, request: Request) -> bool:
        """Whether a request goes from the page's own origin to that origin, and nowhere between.

        A frame of another origin may ask the page's origin for things too; then Chrome writes
        another `Referer`, or none, and no page can write that itself.
        """
        here = origin_of(request.url)
        if not here or here != self._document:
            return False
        if request.is_main:
            return True
        if not request.origins <= {here}:
            return False
        names = ("referer", "origin")
        found = [header(request.headers.items(), name) for name in names]
        return request.in_main_frame or here in {origin_of(value) for value in found if value}


class Scopes:
    """Headers that the caller sends to addresses of its choice, each chosen by an expression."""

    def __init__(self, scopes: Sequence[tuple[str, tuple[tuple[str, str], ...]]]) -> None:
        """Prepare them.

        Args:
            scopes: An expression that passed `check_expression`, and its headers.
        """
        self._expressions = Expressions([expression for expression, _ in scopes])
        self._headers = [headers for _, headers in scopes]

    async def headers(self, url: str) -> dict[str, str]:
        """The headers for an address; of two of the same name the later one."""
        found: dict[str, str] = {}
        for place in await self._expressions.matching(url):
            found = merged(found, self._headers[place])
        return found


class Sending:
    """What is special about how one page's requests are sent."""

    def __init__(self, own: OwnOrigin | None = None, scopes: Scopes | None = None) -> None:
        """Hold both.

        Args:
            own: The origin of a page on the web; None for a page of the caller's own.
            scopes: Headers for addresses of any origin; None for none.
        """
        self._own, self._scopes = own, scopes

    async def terms(self, request: Request) -> Terms:
        """How a request of the page is sent."""
        terms = self._own.terms(request) if self._own else NO_TERMS
        if self._scopes is None or not (sent := await self._scopes.headers(request.url)):
            return terms
        headers = merged(dict(terms.headers), tuple(sent.items()))
        return replace(terms, headers=tuple(headers.items()), is_private=True)


def merged(headers: dict[str, str], more: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Headers, with more that stand instead of those of the same name in any case."""
    names = {name.lower() for name, _ in more}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(
        more
    )
