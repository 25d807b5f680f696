"""The HTTP client that fetches for all pages: Chrome has no network, the service fetches for it.

Whether a connection is allowed is decided on the address that is connected to, never on the name:
the service resolves a name once, and connects to the address that it has checked. It returns a
redirect to Chrome, which makes a new request for the target, so every hop is checked here.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from yarl import URL

from poster_service.browser.types import Reply, Request
from poster_service.fetch.errors import FetchError, RequestDenied, RequestFailed
from poster_service.fetch.http_cache import HOP_BY_HOP
from poster_service.fetch.meter import ByteCounter, SharedMeter
from poster_service.fetch.outbound import CONNECTIONS, OpenSockets, Outbound, Owner
from poster_service.fetch.own import NO_TERMS, Terms
from poster_service.fetch.policy import (
    PLAIN_HTTP,
    AddressDenied,
    PlainPolicy,
    Policy,
    connector,
    is_non_canonical_ipv4,
)
from poster_service.fetch.response_cache import Key, ResponseCache
from poster_service.single_flight import Flights

#: Request headers of a page that are not forwarded: hop-by-hop ones, and those the client sets.
NOT_FORWARDED = HOP_BY_HOP | {"accept-encoding", "cookie", "host", "proxy-authorization", "referer"}
#: Content codings that aiohttp decodes chunk by chunk with a bound; it would pass on any other
#: coding undecoded.
CONTENT_CODINGS = ("", "identity", "gzip", "deflate", "br", "zstd")


@dataclass(frozen=True)
class FetchLimits:
    """Limits on what pages may fetch. Sizes count after decompression.

    Attributes:
        timeout: Seconds for one response, from its connection slot to its last byte.
        max_bytes: Bytes of one response.
        max_total_bytes: Bytes of all responses of one page.
        max_requests: Requests of one page.
        max_redirects: Redirects of one request.
    """

    timeout: float = 5.0
    max_bytes: int = 16 << 20
    max_total_bytes: int = 64 << 20
    max_requests: int = 1_000
    max_redirects: int = 10


@dataclass(frozen=True)
class OutgoingRequest:
    """A page's request as it is sent to the server.

    Attributes:
        url: The address, checked.
        request: What the page requested.
        headers: The headers to send.
        count: Counts the bytes of the response.
        owner: The page and caller it is for.
        allows_plain: Whether it may go to the public web by plain http.
        is_private: Whether its response is for this page alone.
        is_patient: Whether only the connection has a time limit, and not the response.
    """

    url: URL
    request: Request
    headers: dict[str, str]
    count: ByteCounter
    owner: Owner
    allows_plain: bool = False
    is_private: bool = False
    is_patient: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is sent by plain http."""
        return self.url.scheme == "http"

    @property
    def may_be_cached(self) -> bool:
        """Whether pages share its response; a page that may not ask for it must not find it."""
        return not (self.is_private or (self.is_plain and self.allows_plain))


class Fetcher:
    """Fetches over HTTP for all pages, within the policy; close it when the service ends."""

    def __init__(
        self,
        policy: Policy,
        limits: FetchLimits,
        cache_bytes: int = 0,
        connections: int = CONNECTIONS,
    ) -> None:
        """Open nothing yet.

        Args:
            policy: Which hosts and addresses may be connected to.
            limits: What one page may fetch.
            cache_bytes: Size of the shared cache of responses; 0 caches nothing.
            connections: Requests that run at once, over all pages.
        """
        self._policy = policy
        self.limits = limits
        self.cache = ResponseCache(cache_bytes)
        self.outbound = Outbound(connections)
        self._sockets = OpenSockets(connections)
        self._flights: Flights[tuple[Reply, bool], SharedMeter] = Flights()
        self._timeout = aiohttp.ClientTimeout(total=limits.timeout)
        self._patience = aiohttp.ClientTimeout(connect=limits.timeout)
        #: By whether all that the policy allows may be connected to, or only what plain http may.
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def fetch(
        self,
        request: Request,
        count: ByteCounter = lambda _: None,
        owner: Owner | None = None,
        terms: Terms = NO_TERMS,
    ) -> Reply:
        """Fetch one resource; a redirect is returned, not followed.

        A cached response is checked against the policy and counted like any other. The time limit
        begins when `outbound` gives a slot.

        Args:
            request: What the page requested.
            count: Called for each chunk; what it raises ends the fetch.
            owner: Whose share of the connection slots the fetch takes.
            terms: What is special about it.

        Raises:
            RequestDenied: The policy forbids it.
            RequestFailed: No usable response: no connection, a timeout, or a body too large.
        """
        outgoing = self._outgoing(request, count, owner or Owner(), terms)
        may_be_cached = outgoing.may_be_cached
        key = self.cache.key(request, outgoing.headers) if may_be_cached else None
        if key is None:
            self.cache.outcomes["bypass"] += 1
            return await self._send(outgoing)
        if (cached := self.cache.fresh(key)) is not None:
            self.cache.outcomes["hit"] += 1
            count(len(cached.body))
            return cached
        if not self.cache.may_coalesce(key):
            return (await self._send_and_store(key, outgoing))[0]
        try:  # one time limit for waiting and, after that, for a request of its own
            async with asyncio.timeout(None) as timer:
                return await self._coalesce(key, outgoing, timer)
        except TimeoutError as error:
            raise _fetch_error(error) from error

    def _outgoing(
        self, request: Request, count: ByteCounter, owner: Owner, terms: Terms
    ) -> OutgoingRequest:
        """Check a page's request, and choose the headers to send.

        Raises:
            RequestDenied: The URL is invalid, or its scheme, host or port is not allowed.
        """
        try:
            url = URL(request.url, encoded=True)  # as Chrome normalised it: signatures stay valid
            self._check(url)
        except ValueError as error:
            raise RequestDenied("scheme", f"not a valid http or https URL: {error}") from error
        others = NOT_FORWARDED | {name.lower() for name, _ in terms.headers}
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in others
        }
        headers |= dict(terms.headers)
        return OutgoingRequest(
            url, request, headers, count, owner, terms.allows_plain, terms.is_private,
            terms.is_patient,
        )  # fmt: skip

    async def _coalesce(self, key: Key, outgoing: OutgoingRequest, timer: asyncio.Timeout) -> Reply:
        """Fetch what is not cached, once for all pages that request it at the same time.

        They share the response only where the server lets it be reused without validation;
        otherwise each page sends a request of its own. `timer` is set when the fetch begins.
        """
        flight = self._flights.find(key)
        leads = flight is None
        if flight is None:
            meter = SharedMeter()
            loading = self._send_and_store(key, replace(outgoing, count=meter.count), meter.start)
            flight = self._flights.start(key, loading, meter)
        meter = flight.about
        denied = meter.join(outgoing.count)
        try:
            with flight.aboard() as task:
                ends: set[asyncio.Future[Any]] = {task, denied}
                await asyncio.wait(ends | {meter.started}, return_when=FIRST_COMPLETED)
                if not outgoing.is_patient:
                    timer.reschedule(asyncio.get_running_loop().time() + self.limits.timeout)
                await asyncio.wait(ends, return_when=FIRST_COMPLETED)
                if denied.done():
                    denied.result()
                try:
                    reply, may_share = task.result()
                except RequestFailed as failure:
                    if leads or failure.reason != "timeout":
                        raise
                    may_share = False  # the leader began earlier and ran out of its own time
        finally:
            meter.leave(denied)
        if leads or may_share:
            self.cache.outcomes["coalesced"] += not leads
            return reply
        outgoing.count(-meter.size)  # the page was charged for bytes that it does not get
        self.cache.outcomes["bypass"] += 1
        return await self._send(outgoing, _pause(timer))

    async def _send_and_store(
        self, key: Key, outgoing: OutgoingRequest, on_start: Callable[[], None] = lambda: None
    ) -> tuple[Reply, bool]:
        """Send a request, conditional where a stored response can be validated; store the response.

        Returns:
            The response, and whether other pages may have it too.
        """
        exchange = self.cache.begin(key)
        headers = outgoing.headers | exchange.conditions
        reply = await self._send(replace(outgoing, headers=headers), on_start)
        validated = exchange.validated(reply)
        if validated is not None:
            outgoing.count(len(validated.body))
        self.cache.outcomes["miss" if validated is None else "revalidated"] += 1
        return self.cache.store(exchange, reply)

    async def _send(
        self, outgoing: OutgoingRequest, on_start: Callable[[], None] = lambda: None
    ) -> Reply:
        """Send a request and read the whole response; `on_start` is called when its time begins."""
        request = outgoing.request
        timeout = self._patience if outgoing.is_patient else self._timeout
        try:
            async with self.outbound.slot(outgoing.owner, outgoing.url.host or ""):
                on_start()
                async with self._session(outgoing).request(
                    request.method, outgoing.url, headers=outgoing.headers, data=request.body,
                    allow_redirects=False, timeout=timeout,
                ) as response:  # fmt: skip
                    headers = response.headers.items()
                    kept = tuple((k, v) for k, v in headers if k.lower() not in HOP_BY_HOP)
                    try:
                        body = await self._read(response, outgoing.count)
                    except RequestFailed as error:
                        error.head = Reply(response.status, kept, b"")
                        raise
                    return Reply(response.status, kept, body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _fetch_error(error) from error

    async def close(self) -> None:
        """End the fetches under way, and close all connections."""
        await self._flights.close()
        for session in self._sessions.values():
            await session.close()

    def _check(self, url: URL) -> None:
        """Check what needs no connection; the connector checks the address.

        Raises:
            RequestDenied: The scheme, host or port is not allowed.
        """
        if url.scheme not in ("http", "https") or not url.host:
            raise RequestDenied("scheme", f"scheme {url.scheme[:20]!r}; allowed: http, https")
        if not url.host.isprintable() or " " in url.host:
            raise RequestDenied("scheme", "the host has a space or an unprintable character")
        if is_non_canonical_ipv4(url.host):
            raise RequestDenied("address", f"{url.host[:40]} is a non-canonical IPv4 address")
        if (reason := self._policy.refuse_host(url.host, url.port)) is not None:
            raise RequestDenied("port" if reason.startswith("port") else "host", reason)

    async def _read(self, response: aiohttp.ClientResponse, count: ByteCounter) -> bytes:
        coding = response.headers.get("Content-Encoding", "").strip().lower()
        if coding not in CONTENT_CODINGS:
            raise RequestFailed("protocol", f"unknown content coding {coding[:40]!r}")
        body = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            count(len(chunk))
            body += chunk
            if len(body) > self.limits.max_bytes:
                raise RequestFailed("too_large", f"more than {self.limits.max_bytes} bytes")
        return bytes(body)

    def _session(self, outgoing: OutgoingRequest) -> aiohttp.ClientSession:
        """The session for a request, opened in the running loop; each has a policy of its own.

        Pages of all callers share it, so it stores no cookies.
        """
        is_checked = not outgoing.is_plain or outgoing.allows_plain
        if is_checked not in self._sessions:
            policy = self._policy if is_checked else PlainPolicy.of(self._policy)
            self._sessions[is_checked] = aiohttp.ClientSession(
                connector=connector(policy, self._sockets),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._sessions[is_checked]


def _pause(timer: asyncio.Timeout) -> Callable[[], None]:
    """Stop a timer; the returned function starts it again with the time that was left, if any."""
    loop = asyncio.get_running_loop()
    if (when := timer.when()) is None:
        return lambda: None
    left = when - loop.time()
    timer.reschedule(None)
    return lambda: timer.reschedule(loop.time() + left)


def _fetch_error(error: Exception) -> FetchError:
    """An error of aiohttp or the system as one of ours: a stable reason, and a text for the log."""
    chain = list(_exception_chain(error))
    for cause in chain:
        if isinstance(cause, AddressDenied):
            return RequestDenied("scheme" if PLAIN_HTTP in str(cause) else "address", str(cause))
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, aiohttp.InvalidURL):
        return RequestDenied("scheme", message)
    for kind, reason in FAILURE_REASONS.items():
        if any(isinstance(cause, kind) for cause in chain):
            return RequestFailed(reason, message)
    return RequestFailed("protocol", message)


#: The reason that each exception stands for; the first that matches counts.
FAILURE_REASONS: dict[type[BaseException], str] = {
    TimeoutError: "timeout",
    aiohttp.ClientConnectorDNSError: "unknown_host",
    aiohttp.ClientConnectorCertificateError: "certificate",
    aiohttp.ClientSSLError: "certificate",
    aiohttp.ClientConnectorError: "unreachable",
}


def _exception_chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, including members of groups and aiohttp's `os_error`; at most 20."""
    pending, count = [error], 0
    while pending and count < 20:
        current = pending.pop(0)
        count += 1
        yield current
        more = [getattr(current, "os_error", None), current.__cause__, current.__context__]
        pending += [cause for cause in more if isinstance(cause, BaseException)]
        pending += getattr(current, "exceptions", ())
