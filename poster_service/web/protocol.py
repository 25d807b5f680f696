"""One HTTP connection, below the application: how long and how large a head may be, and refusals.

aiohttp's protocol refuses a head that is too large, or no HTTP, before any handler sees it, with a
text of its own and a traceback in the log. Here such a refusal is a problem like every other. This
module knows no render and no caller.
"""

import asyncio
import json
import logging
import secrets
import socket
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import LineTooLong

from poster_service.errors import BadRequest, Fault, HeadersTooLarge, Overloaded, PosterError
from poster_service.logs import event
from poster_service.settings import Settings
from poster_service.web import problems
from poster_service.web.connections import Connections, peer_of

logger = logging.getLogger(__name__)

#: Seconds for which the rest of a refused body is read and dropped, so that its sender, who is
#: still writing, gets the response instead of a reset.
LINGER_SECONDS = 2.0
#: Served on a reserved connection, and with any Host header.
HEALTH = frozenset({"/healthz", "/readyz"})
#: Keep-alive time of a reserved connection, in seconds.
RESERVED_SECONDS = 2.0


def refusal(status: str, code: str, title: str, detail: str, *headers: str) -> bytes:
    """A whole response as bytes, for a client that has sent no whole request yet."""
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
    "503 Service Unavailable", "overloaded", "Service overloaded",
    "too many open connections", "Retry-After: 5",
)  # fmt: skip
LATE = refusal(
    "408 Request Timeout", "head_timeout", "Request head too slow",
    "the head of the request took longer than POSTER_HEAD_TIMEOUT_MS",
)  # fmt: skip


class Protocol(web.RequestHandler):
    """One connection; refused with a 503 when there are too many.

    Attributes:
        connections: Counts it.
        is_reserved: Whether it has one of the places that are for the health routes only.
        received: Bytes received since the last response.
    """

    __slots__ = ("_head_alarm", "_head_seconds", "_peer", "connections", "is_reserved", "received")

    def __init__(self, server: web.Server, connections: Connections, settings: Settings) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # the renderer logs each render itself
            # Counts from the first byte too: a client that never finishes a head is idle.
            keepalive_timeout=settings.keepalive_seconds,
            lingering_time=LINGER_SECONDS,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
            auto_decompress=False,  # `incoming` does it, bounded and beside the event loop
        )
        self.connections = connections
        self._peer: str | None = None
        self._head_seconds = settings.head_timeout_ms / 1000
        self._head_alarm: asyncio.TimerHandle | None = None
        self.is_reserved = False
        self.received = 0

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way on it: none at all, or an unfinished head."""
        return self._current_request is None and not self._messages

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in, or refuse it before anything is read."""
        assert isinstance(transport, asyncio.Transport)
        peer = peer_of(transport)
        if not self.connections.admit(self, peer):
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
            self.connections.leave(self, self._peer)
            self._peer = None
            self._silence_alarm()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes, and limit the time of a head."""
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
        """Close a connection whose head takes too long, even if bytes keep coming."""
        self._head_alarm = None
        if self.is_idle and self.transport is not None:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(LATE)
            self.force_close()

    def log_exception(self, *args: Any, **more: Any) -> None:
        """Log an exception, except a broken body whose request was answered already."""
        if not isinstance(more.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **more)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem+json response for a request that did not reach the application."""
        if odd_expectation(request):
            status, exc = 400, None
        if status >= 500:
            logger.error("a request failed outside its handler", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a response is under way already")
        error: PosterError
        if isinstance(exc, LineTooLong):
            error = too_large(self.max_field_size)
        elif status < 500:
            error = BadRequest.of(Fault("", "malformed HTTP request", "HTTP/1.1"))
        else:
            error = PosterError("internal error; the log has this request id")
        identity = secrets.token_hex(8)
        event(logger, logging.INFO, f"refused: {error}", code=error.code, request_id=identity)
        response = problems.answer(error, identity)
        response.headers["X-Request-Id"] = identity
        response.headers.update({"X-Content-Type-Options": "nosniff", "Server": "poster-service"})
        response.force_close()
        return response


def odd_expectation(request: web.BaseRequest) -> bool:
    """Whether `Expect` has an unknown value; aiohttp fails at one that is not UTF-8."""
    return request.headers.get("Expect", "100-continue").lower() != "100-continue"


class Site(web.BaseSite):
    """Serves a runner's application on a socket that listens already."""

    def __init__(
        self,
        runner: web.AppRunner,
        listener: socket.socket,
        connections: Connections,
        settings: Settings,
    ) -> None:
        super().__init__(runner)
        self._listener = listener
        self._connections = connections
        self._settings = settings

    @property
    def name(self) -> str:
        """Its address."""
        return address_of(self._listener)

    async def start(self) -> None:
        """Start accepting connections."""
        await super().start()
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(server, self._connections, self._settings),
            sock=self._listener,
            backlog=64,
        )


async def open_site(
    app: web.Application, listener: socket.socket, connections: Connections, settings: Settings
) -> web.AppRunner:
    """Serve an application; the runner's `cleanup` ends that."""
    runner = web.AppRunner(
        app,
        handler_cancellation=True,  # a caller that hangs up frees its Chrome at once
        access_log=None,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    await Site(runner, listener, connections, settings).start()
    return runner


def address_of(listener: socket.socket) -> str:
    """The address of a listening socket as callers write it."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def check_head(request: web.Request, limit: int) -> None:
    """Check a head as a whole; aiohttp has checked each line by itself.

    Raises:
        HeadersTooLarge: The head has more than `limit` bytes.
        BadRequest: The length of the body, or the host, is ambiguous.
    """
    lines = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    if len(request.raw_path) + lines > limit:
        raise too_large(limit)
    if not is_framed(request):
        raise BadRequest.of(
            Fault(
                "Transfer-Encoding",
                "ambiguous length of the request body",
                "Transfer-Encoding: chunked with HTTP/1.1, or Content-Length",
            )
        )
    if len(request.headers.getall(hdrs.HOST, ())) > 1:
        raise BadRequest.of(Fault("Host", "given more than once", "once"))


def check_reserved(request: web.Request) -> None:
    """Allow only the health routes on a reserved connection.

    Raises:
        Overloaded: The connection is reserved, and the request is for another route.
    """
    protocol = request.protocol
    if isinstance(protocol, Protocol) and protocol.is_reserved and request.path not in HEALTH:
        protocol.connections.refuse()
        raise Overloaded("too many open connections", 5)


def is_framed(request: web.BaseRequest) -> bool:
    """Whether the length of the body is unambiguous for every proxy (RFC 9112, 6.1 and 6.3)."""
    codings = request.headers.getall(hdrs.TRANSFER_ENCODING, ())
    if not codings:
        return True
    is_plain = len(codings) == 1 and codings[0].strip().lower() == "chunked"
    return (
        is_plain and request.version >= HttpVersion11 and hdrs.CONTENT_LENGTH not in request.headers
    )


def too_large(limit: int) -> PosterError:
    """The error for a head of more than `limit` bytes."""
    return HeadersTooLarge.of(
        Fault(
            "",
            "URL, headers and cookies are too large",
            f"up to {limit} bytes together",
        )
    )
