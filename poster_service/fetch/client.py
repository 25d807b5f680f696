"""What a page may fetch, and the fetching: Chrome has no network, the service fetches for it.

Decided on the address that is connected to, never on the name: a name is resolved once, by us, and
the connection goes to what was resolved and checked. A redirect is handed to Chrome, which asks
again, so every hop comes through here. (What else a stranger's page must not do has an issue of
its own; this is the part without which the first poster would already be an open proxy.)
"""

import asyncio
import json
import logging
import mimetypes
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import aiohttp
from yarl import URL

from poster_service.browser.types import ADDRESS, Reply, Request, Route
from poster_service.fetch.http_cache import CacheLifetime
from poster_service.fetch.outbound import CONNECTIONS, OpenSockets, Outbound, Owner
from poster_service.fetch.policy import (
    PLAIN_HTTP,
    PlainPolicy,
    Policy,
    Refused,
    connector,
    is_oddly_spelled,
)
from poster_service.fetch.response_cache import Key, ResponseCache, conditions
from poster_service.logs import event
from poster_service.render.file_names import FileNames
from poster_service.render.folder import Snapshot
from poster_service.render.missing import is_aside, is_icon, judge, settle, similar_name
from poster_service.render.request import Asset
from poster_service.render.template_lint import CONTENT_SECURITY_POLICY
from poster_service.render.warnings import Warnings
from poster_service.single_flight import Flights

logger = logging.getLogger(__name__)

# Headers of one connection, not of the message (RFC 9110, 7.6.1), and those that no longer fit a
# body that has been decoded.
DROPPED = frozenset(
    ("connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate",
     "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip
# What a page's request keeps to itself: the hop's own headers, and what the client sets anew.
KEPT_BACK = DROPPED | {"accept-encoding", "cookie", "host", "proxy-authorization", "referer"}


#: Where Chrome tells what it kept from a page, in a request that comes here as every other does.
REPORTS = ADDRESS + ".poster/kept"
#: For a page of a caller's own. Chrome has no network that a web socket or a peer connection could
#: use; this only says so at once, and has it told.
NO_SOCKETS = "connect-src http: https: data: blob:; webrtc 'block'"
#: What aiohttp unpacks, piece by piece and bounded; anything else it would hand on as it came.
CODINGS = ("", "identity", "gzip", "deflate", "br", "zstd")


#: Marks a file of a template that changed since its page was made.
NO_STORE = ("Cache-Control", "no-store")
#: What came as a picture is never taken for anything else.
NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
#: What a caller's file may be on a template's page, and what Chrome may ask for it as.
MEDIA_TYPES = ("image/", "video/", "audio/")
MEDIA_KINDS = ("Image", "Media")


class NotFetched(Exception):
    """A page does not get what it asks for; the text is for the log, the reason for programs."""

    verb: Literal["denied", "failed"] = "failed"

    def __init__(self, reason: str, message: str = "", url: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.url = url  # where it is another than that of the request


class Denied(NotFetched):
    """A rule of ours is against it."""

    verb = "denied"


class Failed(NotFetched):
    """It was tried and did not come."""


@dataclass(frozen=True)
class FetchLimits:
    """What pages may have.

    Attributes:
        timeout: Seconds for one thing.
        max_bytes: Of one thing, unpacked.
        max_total_bytes: Of all that one page fetches, unpacked.
        max_requests: Things that one page may ask for.
        max_redirects: Hops of one thing.
    """

    timeout: float = 5.0
    max_bytes: int = 16 << 20
    max_total_bytes: int = 64 << 20
    max_requests: int = 1_000
    max_redirects: int = 10


ByteCounter = Callable[[int], None]


class SharedMeter:
    """Pages that wait for one thing together: each is charged for every piece as it comes.

    A page that can afford no more gets the refusal; the others, and the fetching, go on.

    Attributes:
        begun: Done when the fetch has its place among the connections, and its time runs.
    """

    def __init__(self) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pages: dict[asyncio.Future[None], ByteCounter] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that have come, for which each page was charged."""
        return self._size

    def open(self, charge: ByteCounter) -> "asyncio.Future[None]":
        """One more page; the future fails with what `charge` raises. What has come is charged."""
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pages[refused] = charge
        if self._size:
            self._bill(refused, self._size)
        return refused

    def close(self, refused: "asyncio.Future[None]") -> None:
        """That page waits no longer."""
        del self._pages[refused]
        if not refused.cancel():
            refused.exception()  # seen, even where the page has gone meanwhile

    def begin(self) -> None:
        """The fetch has its place."""
        if not self.begun.done():
            self.begun.set_result(None)

    def charge(self, size: int) -> None:
        """So many bytes have come."""
        self._size += size
        for refused in list(self._pages):
            self._bill(refused, size)

    def _bill(self, refused: "asyncio.Future[None]", size: int) -> None:
        try:
            if not refused.done():
                self._pages[refused](size)
        except Denied as error:
            refused.set_exception(error)


@dataclass(frozen=True)
class Asked:
    """A request on its way.

    Attributes:
        headers: Those that are sent.
        charge: As of `Fetcher.fetch`.
        owner: Who it is for.
    """

    url: URL
    request: Request
    headers: dict[str, str]
    charge: ByteCounter
    owner: Owner


class Fetcher:
    """Fetches over HTTP for all pages, within the policy; closed at the end of the service.

    What servers let a shared cache keep is kept for other pages, in `cache_bytes`; 0 keeps nothing.
    """

    def __init__(
        self,
        policy: Policy,
        limits: FetchLimits,
        cache_bytes: int = 0,
        connections: int = CONNECTIONS,
    ) -> None:
        self._policy = policy
        self.limits = limits
        self.cache = ResponseCache(cache_bytes)
        self.outbound = Outbound(connections)
        self._sockets = OpenSockets(connections)
        self._flights: Flights[tuple[Reply, bool], SharedMeter] = Flights()
        self._timeout = aiohttp.ClientTimeout(total=limits.timeout)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def fetch(
        self, request: Request, charge: ByteCounter = lambda _: None, owner: Owner | None = None
    ) -> Reply:
        """Fetch one thing; redirects are the page's to follow.

        `charge` is told of every piece as it comes, unpacked, and may raise to end it. What was
        kept is charged like what comes anew, and the policy is asked for it like for that. Its
        time begins when `outbound` gives it a place; `owner` says whose turn that is.

        Raises:
            Denied: The policy is against it.
            Failed: The server, its size or the time is.
        """
        try:
            url = URL(request.url, encoded=True)  # as Chrome normalised it: signatures stay valid
            self._check(url)
        except ValueError as error:
            raise Denied("scheme", f"no web address: {error}") from error
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in KEPT_BACK
        }
        asked = Asked(url, request, headers, charge, owner or Owner())
        key = self.cache.key(request, headers)
        if key is None:
            self.cache.outcomes["bypass"] += 1
            return await self._ask(asked)
        if (kept := self.cache.fresh(key)) is not None:
            self.cache.outcomes["hit"] += 1
            charge(len(kept.body))
            return kept
        if not self.cache.may_be_for_others(key):
            return (await self._load(key, asked))[0]
        try:  # one time for waiting and, after that, asking
            async with asyncio.timeout(None) as alarm:
                return await self._together(key, asked, alarm)
        except TimeoutError as error:
            raise _judged(error) from error

    async def _together(self, key: Key, asked: Asked, alarm: asyncio.Timeout) -> Reply:
        """Fetch what is not kept, once for all pages that ask for it meanwhile.

        They share it only where its server lets it be used without asking; of anything else each
        page gets its own. `alarm` is set when the fetch begins.
        """
        flight = self._flights.find(key)
        leads = flight is None
        if flight is None:
            bills = SharedMeter()
            loading = self._load(key, replace(asked, charge=bills.charge), bills.begin)
            flight = self._flights.start(key, loading, bills)
        refused = flight.about.open(asked.charge)
        try:
            with flight.aboard() as task:
                ends: set[asyncio.Future[Any]] = {task, refused}
                await asyncio.wait(ends | {flight.about.begun}, return_when=FIRST_COMPLETED)
                alarm.reschedule(asyncio.get_running_loop().time() + self.limits.timeout)
                await asyncio.wait(ends, return_when=FIRST_COMPLETED)
                if refused.done():
                    refused.result()
                try:
                    reply, may_share = task.result()
                except Failed as failure:
                    if leads or failure.reason != "timeout":
                        raise
                    may_share = False  # the leader's time was up, and it began earlier
        finally:
            flight.about.close(refused)
        if leads or may_share:
            self.cache.outcomes["coalesced"] += not leads
            return reply
        asked.charge(-flight.about.size)  # it does not get what it was charged for
        self.cache.outcomes["bypass"] += 1
        return await self._ask(asked, _paused(alarm))

    async def _load(
        self, key: Key, asked: Asked, begin: Callable[[], None] = lambda: None
    ) -> tuple[Reply, bool]:
        """Ask the server, whether what is kept is still good where something is.

        Returns:
            What it answered, and whether others may have it too.
        """
        before, since = self.cache.find(key), time.time()
        headers = asked.headers | conditions(before)
        reply = await self._ask(replace(asked, headers=headers), begin)
        good = reply.status == 304 and before is not None
        if good and before is not None:
            asked.charge(len(before.reply.body))
        self.cache.outcomes["revalidated" if good else "miss"] += 1
        return self.cache.answered(key, reply, since, before)

    async def _ask(self, asked: Asked, begin: Callable[[], None] = lambda: None) -> Reply:
        """Send a request, and take the whole answer; `begin` is called when its time begins."""
        request = asked.request
        try:
            async with self.outbound.place(asked.owner, asked.url.host or ""):
                begin()
                async with self._client(asked.url.scheme).request(
                    request.method, asked.url, headers=asked.headers, data=request.body,
                    allow_redirects=False,
                ) as answer:  # fmt: skip
                    body = await self._read(answer, asked.charge)
                    kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in DROPPED]
                    return Reply(answer.status, tuple(kept), body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _judged(error) from error

    async def close(self) -> None:
        """End what is being fetched, and close all connections."""
        await self._flights.close()
        for session in self._sessions.values():
            await session.close()

    def _check(self, url: URL) -> None:
        """What can be said before any connection; the connector says the rest.

        Raises:
            Denied: Scheme, host or port is not allowed.
        """
        if url.scheme not in ("http", "https") or not url.host:
            raise Denied("scheme", f"the scheme {url.scheme[:20]!r} is not fetched")
        if not url.host.isprintable() or " " in url.host:
            raise Denied("scheme", "no web address")
        if is_oddly_spelled(url.host):
            raise Denied("address", f"{url.host[:40]} is an address spelled as none should be")
        if (refusal := self._policy.refuse_host(url.host, url.port)) is not None:
            raise Denied("port" if refusal.startswith("port") else "host", refusal)

    async def _read(self, answer: aiohttp.ClientResponse, charge: ByteCounter) -> bytes:
        coding = answer.headers.get("Content-Encoding", "").strip().lower()
        if coding not in CODINGS:
            raise Failed("protocol", f"the content coding {coding[:40]!r} is not known")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(1 << 16):
            charge(len(chunk))
            body += chunk
            if len(body) > self.limits.max_bytes:
                raise Failed("too_large", f"more than {self.limits.max_bytes} bytes")
        return bytes(body)

    def _client(self, scheme: str) -> aiohttp.ClientSession:
        """The session of a scheme, made in the running loop; each has a policy of its own.

        Cookies are nobody's, so none are kept.
        """
        if scheme not in self._sessions:
            policy = self._policy if scheme == "https" else PlainPolicy.of(self._policy)
            self._sessions[scheme] = aiohttp.ClientSession(
                connector=connector(policy, self._sockets),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._sessions[scheme]


def _paused(alarm: asyncio.Timeout) -> Callable[[], None]:
    """Stop an alarm; what is returned sets it to ring after what was left."""
    loop = asyncio.get_running_loop()
    left = (alarm.when() or loop.time()) - loop.time()
    alarm.reschedule(None)
    return lambda: alarm.reschedule(loop.time() + left)


def _judged(error: Exception) -> NotFetched:
    """What became of a request, in a word that stays the same and a sentence for the log."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Refused):
            return Denied("scheme" if PLAIN_HTTP in str(cause) else "address", str(cause))
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, aiohttp.InvalidURL):
        return Denied("scheme", said)
    for kind, reason in REASONS.items():
        if any(isinstance(cause, kind) for cause in causes):
            return Failed(reason, said)
    return Failed("protocol", said)


#: The first that fits counts.
REASONS: dict[type[BaseException], str] = {
    TimeoutError: "timeout",
    aiohttp.ClientConnectorDNSError: "unknown_host",
    aiohttp.ClientConnectorCertificateError: "certificate",
    aiohttp.ClientSSLError: "certificate",
    aiohttp.ClientConnectorError: "unreachable",
}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, group members and aiohttp's own way included."""
    todo, seen = [error], 0
    while todo and seen < 20:
        one = todo.pop(0)
        seen += 1
        yield one
        more = [getattr(one, "os_error", None), one.__cause__, one.__context__]
        todo += [each for each in more if isinstance(each, BaseException)]
        todo += getattr(one, "exceptions", ())


@dataclass
class Budget:
    """All that one page may fetch together, and what it went without."""

    fetcher: Fetcher
    warnings: Warnings = field(default_factory=Warnings)
    shelf: CacheLifetime = field(default_factory=CacheLifetime)
    owner: Owner = field(default_factory=Owner)
    _bytes: int = 0
    _requests: int = 0

    async def fetch(self, request: Request) -> Reply:
        """Fetch one thing within what is left.

        Raises:
            NotFetched: As `Fetcher.fetch`, or the page has had all that it may.
        """
        limits = self.fetcher.limits
        self._requests += 1
        if self._requests > limits.max_requests:
            raise Denied("requests", f"the page has asked for {limits.max_requests} things already")
        if self._bytes >= limits.max_total_bytes:
            raise self._spent()
        if request.hops > limits.max_redirects:
            raise Denied("redirects", f"more than {limits.max_redirects} redirects")
        if request.kind == "Document" and request.method != "GET":
            raise Denied("form", "a form was sent")
        reply = await self.fetcher.fetch(request, self._charge, self.owner)
        self.shelf.fetched(request.kind, request.method, reply)
        return reply

    def _charge(self, size: int) -> None:
        """Count bytes as they come, so that things fetched at once cannot exceed them together."""
        self._bytes += size
        if self._bytes > self.fetcher.limits.max_total_bytes:
            raise self._spent()

    def _spent(self) -> Denied:
        most = self.fetcher.limits.max_total_bytes
        return Denied("bytes", f"the page has fetched {most} bytes already")


def page_route(
    html: str,
    folder: Path | None,
    fetcher: Fetcher,
    warnings: Warnings,
    shelf: CacheLifetime | None = None,
    sent: Sequence[Asset] = (),
    snapshot: Snapshot | None = None,
    caller: str = "",
    beside: Path | None = None,
) -> Route:
    """The route of one render: its page, its template's folder or its files, then the network.

    `shelf` learns how long what the page is made of stays the same; `sent` are files that came
    with the page; `snapshot` says which files of the folder the page was made with; `caller` is who
    the page is rendered for, for a fair share of connections; `beside` is the folder of a page that
    is a local file.
    """
    page = html.encode()
    files = FileNames(sent)
    shelf = shelf or CacheLifetime()
    budget = Budget(fetcher, warnings, shelf, Owner(caller))
    policy = CONTENT_SECURITY_POLICY if folder is not None else NO_SOCKETS
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", f"{policy}; report-uri {REPORTS}"),
    )

    async def route(request: Request) -> Reply | None:
        if request.url == ADDRESS:
            return Reply(200, headers, page)
        try:
            if request.url == REPORTS:
                raise _reported(request)
            if request.url.startswith(ADDRESS):
                address = request.url[len(ADDRESS) :]
                file = files.find(path_of(address))
                if file is not None and (
                    folder is None or (is_shown(file, request.kind) and not is_own(folder, address))
                ):
                    more = () if folder is None else (NO_SNIFFING,)
                    reply = Reply(200, (("Content-Type", file.content_type), *more), file.body)
                elif beside is not None:
                    reply = local_file(beside, address, request.kind)
                else:
                    # Small files of a local disk: no thread, which slow names elsewhere could hold.
                    reply = asset(folder, address, snapshot)
                    # Of another moment than the page: cached for nobody, whatever `cache_ttl` says.
                    shelf.is_broken |= NO_STORE in reply.headers
                shelf.seen(request.kind, reply)
            else:
                reply = await budget.fetch(request)
        except NotFetched as missing:
            settle(warnings, request)
            if not (is_icon(request) or (is_aside(request) and missing.verb == "failed")):
                _note(warnings, request, missing)
            return None
        if (reason := judge(warnings, request, reply)) is not None:
            similar = similar_name(path_of(request.url.removeprefix(ADDRESS)), files)
            _note(warnings, request, Failed(reason), similar)
        return reply

    return route


def is_shown(file: Asset, kind: str) -> bool:
    """Whether a file that came with data may be given to the template's page.

    As a picture, a video or a sound, and as nothing else: a file of the caller's that the page took
    for its script or style would do with the page what data must not.

    Args:
        file: The file that came.
        kind: What Chrome asks for, as CDP's Network.ResourceType has it.
    """
    return file.content_type.startswith(MEDIA_TYPES) and kind in MEDIA_KINDS


def is_own(folder: Path, address: str) -> bool:
    """Whether the template has the file that its page asks for: it goes before a caller's.

    By the address, since a caller's file may be found by several spellings of its name.
    """
    return asset(folder, address).status == HTTPStatus.OK


def _reported(request: Request) -> Denied:
    """What Chrome itself kept from a page, by the policy its document came with."""
    try:
        told = json.loads(request.body or b"")["csp-report"]
        blocked, rule = str(told["blocked-uri"]), str(told["effective-directive"])
        is_socket = blocked.startswith(("ws:", "wss:"))
    except (ValueError, LookupError, TypeError):  # the page wrote it itself
        return Denied("csp", "a report that is none", url="")
    return Denied("web_socket" if is_socket else "csp", f"{rule} of the page's policy", url=blocked)


def _note(warnings: Warnings, request: Request, missing: NotFetched, similar: str = "") -> None:
    """For the answer, by address, and for the log, by host: each once, and so many at most."""
    url = missing.url if missing.url is not None else request.url
    warnings.settled.add(url)
    if warnings.add(missing.verb, url, missing.reason, similar):
        event(
            logger, logging.INFO, "the page went without something", verb=missing.verb,
            host=_host(url)[:100], reason=missing.reason, kind=request.kind,
            said=str(missing)[:200],
        )  # fmt: skip


def _host(url: str) -> str:
    """The host for the log; whatever the page made up instead of an address has none."""
    try:
        return URL(url).host or ""
    except ValueError:
        return ""


def path_of(address: str) -> str:
    """The path that an address relative to the page's names."""
    return unquote(address.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0])


def type_of(name: str) -> str | None:
    """What a file is, by its name; None where that does not tell."""
    return mimetypes.guess_type(name)[0]


#: What a local page may do with the files beside it: show them, and run them. It cannot read them
#: as text or as data, and send them elsewhere; no browser lets a local page do that.
LOCAL_KINDS = frozenset(("Document", "Font", "Image", "Manifest", "Media", "Script", "Stylesheet"))
#: A frame of a local file has an origin of its own, so that the page around it cannot read it.
LOCAL_FRAME = ("Content-Security-Policy", "sandbox allow-scripts")


def local_file(folder: Path, address: str, kind: str) -> Reply:
    """A file below the folder of a local page; none that is hidden (`.env`, `.git`).

    Raises:
        Denied: It is asked for in a way in which the page could read it.
    """
    if any(part.startswith(".") and part != "." for part in path_of(address).split("/")):
        return asset(None, address)
    is_data = kind == "Script" and "javascript" not in (type_of(path_of(address)) or "")  # a module
    if is_data or kind not in LOCAL_KINDS:
        raise Denied("local_file", "a script asked for a file beside the page")
    found = asset(folder, address)
    return replace(found, headers=(*found.headers, LOCAL_FRAME)) if kind == "Document" else found


def asset(folder: Path | None, address: str, files: Snapshot | None = None) -> Reply:
    """A file of the template's folder; 404 for anything outside it, or without a template.

    One that is not as `files` has it was changed since the template was read; it says `no-store`,
    so that its picture is not taken for one of the template as it was.
    """
    missing = Reply(404, (("Content-Type", "text/plain"),), b"")
    if folder is None:
        return missing
    try:
        top, file = folder.resolve(), (folder / path_of(address)).resolve()
        if not file.is_relative_to(top):
            return missing
        kind = type_of(file.name) or "application/octet-stream"
        reply = missing
        if file.is_file():
            reply = Reply(200, (("Content-Type", kind),), file.read_bytes())
        if files is None or files.is_current(str(file.relative_to(top)), file):
            return reply
    except (OSError, ValueError):  # too long, a zero byte, half a character
        return missing
    return replace(reply, headers=(*reply.headers, NO_STORE))
