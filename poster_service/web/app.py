"""The aiohttp application, and the one function that serves it until it is told to stop."""

import asyncio
import contextlib
import ipaddress
import logging
import re
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from poster_service.addresses import is_loopback
from poster_service.browser import page_cache
from poster_service.errors import AddressInUse, OpenToAll, PosterError
from poster_service.logs import event, request_id
from poster_service.settings import Settings
from poster_service.web import handlers, openapi, problems
from poster_service.web.auth import with_caller
from poster_service.web.bodies import BODY_LIMITS, BodyLimits
from poster_service.web.connections import address_of, check_head, ensure_descriptors, open_site
from poster_service.web.headers import EVERY_ANSWER, with_cors
from poster_service.web.parts import PARTS, Parts, build

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: A caller's own request id is kept when it is plain enough to stand in a log line.
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

#: What a start may spend on reading Chrome's program in, in seconds, and a window's time on top. A
#: fast disk takes a tenth of that; a slow one has read a part by then, and the rest stays as it is.
REFILL_SECONDS = 1.0


def make_app(parts: Parts) -> web.Application:
    """The application over parts that are started and stopped by somebody else."""
    app = web.Application(middlewares=[with_request_id, with_cors, with_problems, with_caller])
    app[PARTS] = parts
    app[BODY_LIMITS] = BodyLimits.of(parts.settings)
    app[openapi.MADE] = {}
    app.add_routes([*handlers.routes(parts.settings), openapi.ROUTE])
    return app


@web.middleware
async def with_request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer carries the id under which the log tells of it."""
    given = request.headers.get("X-Request-Id", "")
    identity = given if _PLAIN_ID.match(given) else secrets.token_hex(8)
    request_id.set(identity)
    with request.app[PARTS].answers.one():
        response = await handler(request)
        response.headers.update(EVERY_ANSWER)
        response.headers["X-Request-Id"] = identity
        if not request.content.is_eof():  # refused before all had come: the rest is not wanted
            response.force_close()
            request.protocol.close()
        await _send(request, response)
        return response


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    """Send from here and not after the return, so that a stop can wait for it; not for ever."""
    milliseconds = request.app[PARTS].settings.send_timeout_ms
    try:
        async with asyncio.timeout(milliseconds / 1000):
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
    except TimeoutError:
        event(logger, logging.INFO, "an answer was not taken in time", milliseconds=milliseconds)
        if request.transport is not None:
            request.transport.abort()


@web.middleware
async def with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves as problem+json; what happened inside goes to the log only."""
    identity = request_id.get()
    try:
        check_head(request, request.app[PARTS].settings.max_header_bytes)
        return await handler(request)
    except PosterError as error:
        event(logger, logging.INFO, f"refused: {error}", code=error.code)
        if error.__cause__ is not None:
            logger.info("the cause of %s", error.code, exc_info=error.__cause__)
        return problems.answer(error, identity)
    except web.HTTPException as error:
        more = {"code": f"http_{error.status}", "detail": error.reason}
        kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return problems.problem(error.status, error.reason, more, identity, kept)
    except Exception:
        logger.exception("a handler failed")
        return problems.answer(PosterError("something went wrong here; the log knows"), identity)


def listen(settings: Settings) -> socket.socket:
    """Bind before anything else starts, so that a port in use costs nothing.

    Raises:
        AddressInUse: Naming the address and the settings that change it.
        OpenToAll: Others than this machine could come, and nobody would ask who they are.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        check_guarded(settings, str(found[4][0]))
        return socket.create_server(found[4], family=found[0], backlog=64)
    except OSError as error:
        raise AddressInUse(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror};"
            " choose another with POSTER_HOST and POSTER_PORT, or --host and --port"
        ) from error


def check_guarded(settings: Settings, address: str) -> None:
    """Refuse to be open to a network by accident.

    Raises:
        OpenToAll: Naming both remedies.
    """
    guarded = settings.tokens or settings.tokens_file or settings.allow_unauthenticated
    if not guarded and not is_loopback(ipaddress.ip_address(address)):
        raise OpenToAll(
            f"POSTER_HOST={settings.host} is open to others than this machine, and there is no"
            " token: give callers tokens (POSTER_TOKENS=name=token or POSTER_TOKENS_FILE), or set"
            " POSTER_ALLOW_UNAUTHENTICATED=1 where everybody who can reach it may render"
        )


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until TERM or INT; a second one ends at once instead of waiting for renders.

    Raises:
        OperatorError: Something does not let the service start; nothing is left running.
    """
    stop = _Stop(asyncio.get_running_loop())
    ensure_descriptors(settings)
    parts = build(settings)
    with listen(settings) as listener:
        if not await _started(parts, stop):
            return
        runner = None
        try:
            runner = await open_site(make_app(parts), listener, parts.connections, settings)
            announce(address_of(listener))
            await stop.first.wait()
            event(logger, logging.INFO, "stopping: running renders may finish")
            await _stop_within(parts, stop, settings.stop_grace_seconds)
        finally:
            await parts.stop()
            if runner is not None:
                await runner.cleanup()


async def _started(parts: Parts, stop: "_Stop") -> bool:
    """Start all parts; False when a signal came meanwhile, and nothing is left then."""
    starting = asyncio.ensure_future(_bring_up(parts))
    told = asyncio.ensure_future(stop.first.wait())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return False
    await starting
    return True


async def _bring_up(parts: Parts) -> None:
    # Before the first Chrome: what that maps stays as it is.
    await asyncio.to_thread(page_cache.refill, parts.pool.spec.program, REFILL_SECONDS)
    await parts.start()


async def _stop_within(parts: Parts, stop: "_Stop", grace: float) -> None:
    """Let renders finish, until the grace is over or a second signal comes."""
    parts.admission.close()
    waits = [
        asyncio.ensure_future(_all_answered(parts)),
        asyncio.ensure_future(stop.second.wait()),
    ]
    await asyncio.wait(waits, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _all_answered(parts: Parts) -> None:
    """Wait until no render runs or waits, and every answer has been taken by its caller."""
    await parts.admission.wait_idle()
    await parts.answers.wait_none()


class _Stop:
    """Counts TERM and INT; the handler only takes a note."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._note)

    def _note(self) -> None:
        (self.second if self.first.is_set() else self.first).set()
