"""What connections may cost before anybody has asked for anything: number, time, size of a head.

Its own file because it is below the application: aiohttp's protocol refuses a head that is too
large or no HTTP before any handler sees it, in words of its own and with a traceback in the log.
Here such a refusal is a problem like every other. It knows no render and no caller.
"""

import asyncio
import ipaddress
import itertools
import json
import logging
import resource
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import LineTooLong

from poster_service.errors import (
    BadRequest,
    Fault,
    HeadersTooLarge,
    InvalidSettings,
    Overloaded,
    PosterError,
)
from poster_service.logs import event
from poster_service.settings import Network, Settings
from poster_service.web import problems

logger = logging.getLogger(__name__)

#: Seconds for which the rest of a refused body is read and dropped, so that its sender, who is
#: still writing, finds the answer instead of a reset.
LINGER_SECONDS = 2.0
#: Between two lines in the log about refused connections, in seconds; a flood must not fill it.
TELL_SECONDS = 10.0
#: Descriptors beside connections: the rest of the service with what pages fetch, and each Chrome.
OTHER_DESCRIPTORS, DESCRIPTORS_OF_A_CHROME = 256, 16
#: Of the rest of the service, those that are no connections of what pages fetch.
FILES_OF_OUR_OWN = 64

#: What is answered from a reserved place, and whatever the Host header says.
HEALTH = frozenset({"/healthz", "/readyz"})
#: Connections beside all others that are served from the health routes only.
RESERVED = 8
#: Silence on one of these, in seconds.
RESERVED_SECONDS = 2.0
#: As many are looked at for an idle one to give its place to a new one; the busy ones among them
#: go to the end, so that the next look begins behind them.
LOOKED_AT = 64


def refusal(status: str, code: str, title: str, detail: str, *headers: str) -> bytes:
    """An answer to one who has asked nothing yet, as it goes over the wire."""
    body = json.dumps(
        {"type": "about:blank", "title": title, "status": int(status[:3]), "code": code,
         "detail": detail}
    ).encode()  # fmt: skip
    lines = (
        f"HTTP/1.1 {status}", "Content-Type: application/problem+json", "Connection: close",
        f"Content-Length: {len(body)}", *headers,
    )  # fmt: skip
    return "\r\n".join((*lines, "", "")).encode() + body


FULL = refusal(
    "503 Service Unavailable", "overloaded", "There is no room at the moment",
    "as many connections are open as may", "Retry-After: 5",
)  # fmt: skip
LATE = refusal(
    "408 Request Timeout", "head_timeout", "The head of the request did not come in time",
    "the head of the request did not come to its end within POSTER_HEAD_TIMEOUT_MS",
)  # fmt: skip


class Connections:
    """Who is connected, how many may be, how many were refused.

    A connection on which no request is under way is there on sufferance: when there is no room, the
    one that has been so for longest gives its place to a new one. So heads that are never finished
    keep nobody out. One peer has no more than its part of all places, and behind all of them are
    a few from which only the health routes are served.
    """

    def __init__(
        self, limit: int, of_a_peer: int | None = None, trusted: Sequence[Network] = ()
    ) -> None:
        """Have nobody connected yet.

        Args:
            limit: Connections in all, but for the reserved ones.
            of_a_peer: Of one address, or IPv6 network of 64 bits; None for no such bound.
            trusted: Networks of proxies, whose addresses are not bounded.
        """
        self.limit = limit
        self.of_a_peer = of_a_peer or limit
        self.refused = 0
        self.replaced = 0
        self._trusted = tuple(trusted)
        #: By peer, in the order in which they were last seen busy.
        self._peers: dict[str, OrderedDict[Protocol, None]] = {}
        self._reserve: dict[Protocol, str] = {}
        self._count = 0
        self._told = -TELL_SECONDS

    @property
    def open(self) -> int:
        """How many there are."""
        return self._count + len(self._reserve)

    def admit(self, one: "Protocol", peer: str) -> bool:
        """Find a place for a new connection; False where there is none."""
        if self._has_room(peer):
            self._peers.setdefault(peer, OrderedDict())[one] = None
            self._count += 1
            return True
        if len(self._reserve) < RESERVED or self._replace_reserved(peer):
            self._reserve[one] = peer
            one.is_reserved = True
            return True
        self.refuse()
        return False

    def leave(self, one: "Protocol", peer: str) -> None:
        """Count a connection out."""
        if one.is_reserved:
            self._reserve.pop(one, None)
            return
        mine = self._peers.get(peer)
        if mine is not None and one in mine:
            del mine[one]
            self._count -= 1
            if not mine:
                del self._peers[peer]

    def _has_room(self, peer: str) -> bool:
        mine = self._peers.get(peer)
        if mine is not None and len(mine) >= self.of_a_peer and not self._is_trusted(peer):
            return self._replace(peer)
        if self._count < self.limit:
            return True
        # Of the one that has the most: a flood makes room at its own cost.
        return self._replace(max(self._peers, key=lambda name: len(self._peers[name])))

    def _replace(self, peer: str) -> bool:
        """End the connection of a peer that has been idle for longest; False if all are busy."""
        mine = self._peers[peer]
        for one in list(itertools.islice(mine, LOOKED_AT)):
            if one.is_idle:
                self.leave(one, peer)
                self.replaced += 1
                one.force_close()
                return True
            mine.move_to_end(one)
        return False

    def _replace_reserved(self, peer: str) -> bool:
        """The same of the reserved ones: one of the same peer, if it has any, else the oldest."""
        idle = [one for one in self._reserve if one.is_idle]
        same = [one for one in idle if self._reserve[one] == peer]
        if not idle or (not same and peer in self._reserve.values()):
            return False
        gone = (same or idle)[0]
        self.leave(gone, peer)
        self.replaced += 1
        gone.force_close()
        return True

    def _is_trusted(self, peer: str) -> bool:
        if not self._trusted or not peer:
            return False
        address = ipaddress.ip_address(peer)
        return any(address in one for one in self._trusted)

    def refuse(self) -> None:
        """Count one, and say so now and then."""
        self.refused += 1
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            event(
                logger, logging.WARNING,
                "connections are refused: as many are open as POSTER_MAX_CONNECTIONS, or of one"
                " address as POSTER_MAX_PEER_CONNECTIONS, allows",
                limit=self.limit, of_a_peer=self.of_a_peer, refused=self.refused,
            )  # fmt: skip


def peer_of(transport: asyncio.BaseTransport) -> str:
    """By what a peer is counted: its IPv4 address, or the /64 network of an IPv6 one."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):  # it has gone already
        return ""
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
    return str(address)


class Protocol(web.RequestHandler):
    """One connection; refused with a 503 when there are too many.

    Attributes:
        book: Counts it.
        is_reserved: Whether it has one of the places that are for the health routes only.
        received: Bytes that came since the last request was answered.
    """

    __slots__ = ("_head_alarm", "_head_seconds", "_peer", "book", "is_reserved", "received")

    def __init__(self, server: web.Server, book: Connections, settings: Settings) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # the renderer logs each render itself
            # Counts from the first byte too: who never finishes a head is idle.
            keepalive_timeout=settings.keepalive_seconds,
            lingering_time=LINGER_SECONDS,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
            auto_decompress=False,  # `incoming` does it, bounded and beside the event loop
        )
        self.book = book
        self._peer: str | None = None
        self._head_seconds = settings.head_timeout_ms / 1000
        self._head_alarm: asyncio.TimerHandle | None = None
        self.is_reserved = False
        self.received = 0

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way on it: none at all, or half a head."""
        return self._current_request is None and not self._messages

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it in, or turn it away before anything is read."""
        assert isinstance(transport, asyncio.Transport)
        peer = peer_of(transport)
        if not self.book.admit(self, peer):
            transport.write(FULL)
            transport.close()
            return
        self._peer = peer
        if self.is_reserved:
            self._keepalive_timeout = RESERVED_SECONDS
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out."""
        if self._peer is not None:
            self.book.leave(self, self._peer)
            self._peer = None
            self._silence_alarm()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes, and how long a head takes to."""
        if self.is_idle:
            self.received = 0
        self.received += len(data)
        super().data_received(data)
        if not self.is_idle:
            self._silence_alarm()
        elif self._head_alarm is None and self._peer is not None and data.strip(b"\r\n"):
            self._head_alarm = self._loop.call_later(self._head_seconds, self._head_is_late)

    def _silence_alarm(self) -> None:
        if self._head_alarm is not None:
            self._head_alarm.cancel()
            self._head_alarm = None

    def _head_is_late(self) -> None:
        """End a connection whose head does not come to its end, however lively it drips."""
        self._head_alarm = None
        if self.is_idle and self.transport is not None:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(LATE)
            self.force_close()

    def log_exception(self, *args: Any, **more: Any) -> None:
        """A body that breaks while its rest is dropped was answered; no traceback for strangers."""
        if not isinstance(more.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **more)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What never came as far as the application, as a problem."""
        if odd_expectation(request):
            status, exc = 400, None
        if status >= 500:
            logger.error("a request failed outside of its handler", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        error: PosterError
        if isinstance(exc, LineTooLong):
            error = too_large(self.max_field_size)
        elif status < 500:
            error = BadRequest.of(Fault("", "the request is not HTTP as it must be", "HTTP/1.1"))
        else:
            error = PosterError("something went wrong here; the log knows")
        identity = secrets.token_hex(8)
        event(logger, logging.INFO, f"refused: {error}", code=error.code, request_id=identity)
        response = problems.answer(error, identity)
        response.headers["X-Request-Id"] = identity
        response.headers.update({"X-Content-Type-Options": "nosniff", "Server": "poster-service"})
        response.force_close()
        return response


def odd_expectation(request: web.BaseRequest) -> bool:
    """Whether it expects something that there is not; aiohttp breaks at one that is no UTF-8."""
    return request.headers.get("Expect", "100-continue").lower() != "100-continue"


class Site(web.BaseSite):
    """Serves a runner's application on a socket that listens already."""

    def __init__(
        self, runner: web.AppRunner, listener: socket.socket, book: Connections, settings: Settings
    ) -> None:
        super().__init__(runner)
        self._listener = listener
        self._book = book
        self._settings = settings

    @property
    def name(self) -> str:
        """Where it is."""
        return address_of(self._listener)

    async def start(self) -> None:
        """Accept from now on."""
        await super().start()
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(server, self._book, self._settings), sock=self._listener, backlog=64
        )


async def open_site(
    app: web.Application, listener: socket.socket, book: Connections, settings: Settings
) -> web.AppRunner:
    """Serve an application; `cleanup` of the runner ends it."""
    runner = web.AppRunner(
        app,
        handler_cancellation=True,  # a caller who hangs up frees its Chrome at once
        access_log=None,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    await Site(runner, listener, book, settings).start()
    return runner


def address_of(listener: socket.socket) -> str:
    """The address of a listening socket as callers write it."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def check_head(request: web.Request, limit: int) -> None:
    """All of a head together; aiohttp has looked at each of its lines alone.

    Raises:
        HeadersTooLarge: With the bound.
        BadRequest: Where the body ends, or which host is meant, is told in two ways.
    """
    lines = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    if len(request.raw_path) + lines > limit:
        raise too_large(limit)
    if not is_framed(request):
        raise BadRequest.of(
            Fault(
                "Transfer-Encoding",
                "cannot be used so",
                "Transfer-Encoding: chunked with HTTP/1.1, or Content-Length",
            )
        )
    if len(request.headers.getall(hdrs.HOST, ())) > 1:
        raise BadRequest.of(Fault("Host", "is given more than once", "once"))


def check_place(request: web.Request) -> None:
    """Serve the health routes only to one that has a reserved place.

    Raises:
        Overloaded: It has, and asks for something else.
    """
    protocol = request.protocol
    if isinstance(protocol, Protocol) and protocol.is_reserved and request.path not in HEALTH:
        protocol.book.refuse()
        raise Overloaded("as many connections are open as may", 5)


def is_framed(request: web.BaseRequest) -> bool:
    """Whether everybody on the way agrees where the body ends (RFC 9112, 6.1 and 6.3)."""
    codings = request.headers.getall(hdrs.TRANSFER_ENCODING, ())
    if not codings:
        return True
    is_plain = len(codings) == 1 and codings[0].strip().lower() == "chunked"
    return (
        is_plain and request.version >= HttpVersion11 and hdrs.CONTENT_LENGTH not in request.headers
    )


def too_large(limit: int) -> PosterError:
    """The refusal of a head."""
    return HeadersTooLarge.of(
        Fault(
            "",
            "the address, headers and cookies are too large",
            f"up to {limit} bytes together",
        )
    )


def ensure_descriptors(settings: Settings) -> None:
    """Have as many descriptors as all connections and Chromes may need, raising our own limit.

    Without them accept(2) fails with EMFILE again and again, and every Chrome's start with it.

    Raises:
        InvalidSettings: The hard limit is too low.
    """
    needed = (
        settings.max_connections
        + max(OTHER_DESCRIPTORS, settings.fetch_connections * 2 + FILES_OF_OUR_OWN)
        + settings.max_chromes * DESCRIPTORS_OF_A_CHROME
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InvalidSettings(
            f"POSTER_MAX_CONNECTIONS={settings.max_connections} needs {needed} open files and the"
            f" hard limit is {hard}: raise that (ulimit -Hn, LimitNOFILE=, --ulimit nofile=) or"
            " lower the setting"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
