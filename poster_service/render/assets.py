"""What a page may fetch, and the fetching: Chrome has no network, the service fetches for it.

Decided on the address that is connected to, never on the name: a name is resolved once, by us, and
the connection goes to what was resolved and checked. A redirect is handed to Chrome, which asks
again, so every hop comes through here. (What else a stranger's page must not do has an issue of
its own; this is the part without which the first poster would already be an open proxy.)
"""

import asyncio
import functools
import ipaddress
import logging
import mimetypes
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from poster_service.browser.page import ADDRESS, Reply, Request, Route
from poster_service.logs import event

logger = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Headers of one connection, not of the message (RFC 9110, 7.6.1), and those that no longer fit a
# body that has been decoded.
DROPPED = frozenset(
    ("connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate",
     "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip
# What a page's request keeps to itself: the hop's own headers, and what the client sets anew.
KEPT_BACK = DROPPED | {"accept-encoding", "cookie", "host", "proxy-authorization", "referer"}


#: Names looked up at once, over all pages.
LOOKUPS_AT_ONCE = 32


class Denied(Exception):
    """A page may not have what it asks for; the reason is for the log."""


@dataclass(frozen=True)
class Policy:
    """Which addresses may be connected to.

    Attributes:
        public: All that IANA lists as globally reachable.
        private: Networks opened on purpose beside it.
    """

    public: bool
    private: tuple[Network, ...] = ()

    def refuse(self, address: Address) -> str | None:
        """Why an address may not be connected to; None when it may.

        What hides in an IPv6 address (mapped, 6to4, Teredo, NAT64) is judged along with it.
        """
        forms = [one for one in (address, _inner(address)) if one is not None]
        if any(one in network for one in forms for network in self.private):
            return None
        if not self.public:
            return f"{address}: POSTER_NETWORK=none"
        if not _inner(address) and address.version == 6 and not _unicast(address):
            return f"{address} is not a public address"
        for one in forms:
            if not one.is_global or one.is_multicast:
                return f"{one} is not a public address"
        return None


def _unicast(address: Address) -> bool:
    """Whether an IPv6 address is of the only block that is given out (RFC 4291), and no example.

    `is_global` of Python 3.11 lets through what nobody ever assigned: fec0::/10, ::/96 and others.
    """
    return address in _GIVEN_OUT and address not in _EXAMPLES


_GIVEN_OUT = ipaddress.ip_network("2000::/3")
_EXAMPLES = ipaddress.ip_network("3fff::/20")  # RFC 9637


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 (RFC 6052)
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class CheckedResolver(AbstractResolver):
    """Resolves by the system and lets through only addresses that may be connected to."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        # Threads of its own: slow names of one page must not keep others from the default ones.
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of `host` that may be connected to.

        Raises:
            OSError: The name does not resolve, or to none that may be connected to.
        """
        loop = asyncio.get_running_loop()
        look_up = functools.partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family
        )
        found = await loop.run_in_executor(self._threads, look_up)
        results, reason = [], "no address"
        for kind, _, protocol, _, where in found:
            refusal = self._policy.refuse(ipaddress.ip_address(where[0]))
            if refusal is None:
                results.append(ResolveResult(
                    hostname=host, host=str(where[0]), port=port, family=kind, proto=protocol,
                    flags=socket.AI_NUMERICHOST))  # fmt: skip
            else:
                reason = refusal
        if not results:
            raise OSError(f"{host}: {reason}")
        return results

    async def close(self) -> None:
        """Let go of the threads; one that still waits for an answer is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Fetcher:
    """Fetches over HTTP for all pages, within the policy; closed at the end of the service."""

    def __init__(
        self, policy: Policy, *, timeout: float, max_bytes: int, max_total_bytes: int = 64 << 20
    ) -> None:
        self._policy = policy
        self.max_total_bytes = max_total_bytes
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, request: Request) -> Reply:
        """Fetch one thing; redirects are the page's to follow.

        Raises:
            Denied: The policy, the size or the server is against it.
        """
        try:
            url = URL(request.url, encoded=True)  # as Chrome normalised it: signatures stay valid
            self._check(url)
        except ValueError as error:
            raise Denied(f"no web address: {error}") from error
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in KEPT_BACK
        }
        try:
            async with self._client().request(
                request.method, url, headers=headers, data=request.body, allow_redirects=False
            ) as answer:
                body = await self._read(answer)
                kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in DROPPED]
                return Reply(answer.status, tuple(kept), body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Denied(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _check(self, url: URL) -> None:
        """What can be said before any connection; the resolver says the rest.

        Raises:
            Denied: Scheme or address is not allowed.
        """
        if url.scheme not in ("http", "https") or not url.host:
            raise Denied(f"the scheme {url.scheme!r} is not fetched")
        try:  # a literal address never reaches the resolver
            address = ipaddress.ip_address(url.host)
        except ValueError:
            return
        if (refusal := self._policy.refuse(address)) is not None:
            raise Denied(refusal)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > self._max_bytes:
                raise Denied(f"more than {self._max_bytes} bytes")
        return bytes(body)

    def _client(self) -> aiohttp.ClientSession:
        """One session, made in the running loop. Cookies are nobody's, so none are kept."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(self._policy), use_dns_cache=False, limit=0
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


class Budget:
    """All that one page may fetch together."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._left = fetcher.max_total_bytes

    async def fetch(self, request: Request) -> Reply:
        """Fetch one thing within what is left.

        Raises:
            Denied: As `Fetcher.fetch`, or the page has had all that it may.
        """
        if self._left <= 0:
            raise Denied(f"the page has fetched {self._fetcher.max_total_bytes} bytes already")
        reply = await self._fetcher.fetch(request)
        self._left -= len(reply.body)
        return reply


def page_route(html: str, folder: Path | None, fetcher: Fetcher) -> Route:
    """The route of one render: its page, its template's folder, then the network."""
    page = html.encode()
    budget = Budget(fetcher)

    async def route(request: Request) -> Reply | None:
        if request.url == ADDRESS:
            return Reply(200, (("Content-Type", "text/html; charset=utf-8"),), page)
        try:
            if request.url.startswith(ADDRESS):
                # Small files of a local disk: no thread, which slow names elsewhere could hold.
                return asset(folder, request.url[len(ADDRESS) :])
            if request.kind == "Document" and request.method != "GET":
                raise Denied("a form was sent")
            return await budget.fetch(request)
        except Denied as denied:
            event(
                logger, logging.INFO, "the page went without something",
                host=_host(request.url), kind=request.kind, reason=str(denied),
            )  # fmt: skip
            return None

    return route


def _host(url: str) -> str:
    """The host for the log; whatever the page made up instead of an address has none."""
    try:
        return URL(url).host or ""
    except ValueError:
        return ""


def asset(folder: Path | None, address: str) -> Reply:
    """A file of the template's folder; 404 for anything outside it, or without a template."""
    missing = Reply(404, (("Content-Type", "text/plain"),), b"")
    if folder is None:
        return missing
    path = unquote(address.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0])
    try:
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            return missing
    except (OSError, ValueError):  # too long, a zero byte, half a character
        return missing
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Reply(200, (("Content-Type", kind),), file.read_bytes())
