"""What connections may cost before anybody has asked for anything: number, time, size of a head.

Its own file because it is below the application: aiohttp's protocol refuses a head that is too
large or no HTTP before any handler sees it, in words of its own and with a traceback in the log.
Here such a refusal is a problem like every other. It knows no render and no caller.
"""

import asyncio
import logging
import resource
import secrets
import socket
import time
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from poster_service.errors import BadRequest, Fault, HeadersTooLarge, InvalidSettings, PosterError
from poster_service.logs import event
from poster_service.settings import Settings
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

_FULL_BODY = (
    b'{"type": "about:blank", "title": "There is no room at the moment", "status": 503,'
    b' "code": "overloaded", "detail": "as many connections are open as may"}'
)
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_FULL_BODY), _FULL_BODY)


class Connections:
    """How many there are, how many there may be, how many were refused."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0
        self.refused = 0
        self._told = -TELL_SECONDS

    def refuse(self) -> None:
        """Count one, and say so now and then."""
        self.refused += 1
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            event(
                logger, logging.WARNING,
                "connections are refused: as many are open as POSTER_MAX_CONNECTIONS allows",
                limit=self.limit, refused=self.refused,
            )  # fmt: skip


class Protocol(web.RequestHandler):
    """One connection; refused with a 503 when there are too many."""

    __slots__ = ("_book", "_counted")

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
        )
        self._book = book
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it in, or turn it away before anything is read."""
        if self._book.open >= self._book.limit:
            self._book.refuse()
            assert isinstance(transport, asyncio.Transport)
            transport.write(FULL)
            transport.close()
            return
        self._book.open += 1
        self._counted = True
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out."""
        if self._counted:
            self._counted = False
            self._book.open -= 1
            super().connection_lost(exc)

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
    """
    lines = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    if len(request.raw_path) + lines > limit:
        raise too_large(limit)


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
        + settings.chromes * DESCRIPTORS_OF_A_CHROME
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
