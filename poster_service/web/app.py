"""The aiohttp application, and the function that serves it until a signal stops it."""

import asyncio
import contextlib
import ipaddress
import logging
import re
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from poster_service import telemetry
from poster_service.addresses import is_loopback
from poster_service.browser import page_cache
from poster_service.browser.font_list import FontList
from poster_service.errors import AddressInUse, CallerError, PosterError, UnauthenticatedBind
from poster_service.logs import event, request_id
from poster_service.problems import status_of as problem_status
from poster_service.render.report import IN_RENDER
from poster_service.settings import Settings
from poster_service.web import fonts, handlers, incoming, openapi, problems, sending, signed
from poster_service.web.auth import with_caller
from poster_service.web.bodies import BODY_LIMITS, BodyLimits
from poster_service.web.caller import CALLER
from poster_service.web.compat import registry
from poster_service.web.compat.api import api_of
from poster_service.web.connections import ensure_descriptors
from poster_service.web.counters import LastError
from poster_service.web.headers import EVERY_ANSWER, with_cors
from poster_service.web.hosts import check_host
from poster_service.web.protocol import (
    HEALTH,
    address_of,
    check_head,
    check_reserved,
    is_framed,
    open_site,
)
from poster_service.web.service import SERVICE, Service
from poster_service.web.tracing import OUTCOME, method_of, route_of, with_span

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The response to a request whose head has been sent, or is about to be.
BEGUN = web.RequestKey("begun", web.StreamResponse)

#: A caller's own request id is kept when it is plain enough to stand in a log line.
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

#: How long a start may read Chrome's program into the page cache, in seconds, and the time of one
#: window on top. A fast disk takes a tenth of that; a slow one has read a part of it by then.
REFILL_SECONDS = 1.0


def make_app(service: Service) -> web.Application:
    """The application over a service that its caller starts and stops."""
    traced = [with_span] if telemetry.is_on() else []
    middlewares = [*traced, with_request_id, with_cors, with_problems, with_caller]
    app = web.Application(middlewares=middlewares)
    app.on_response_prepare.append(begin_answer)
    app[SERVICE] = service
    app[BODY_LIMITS] = BodyLimits.of(service.settings)
    app[openapi.DOCUMENT] = openapi.CachedDocument()
    app[fonts.FONTS] = FontList(service.engine.pool.spec.fonts)
    incoming.threads()  # created now and not in a request: it reads the number of processors
    app.add_routes([*handlers.routes(service.settings), openapi.ROUTE])
    registry.add_to(app, service.settings.compat)
    return app


@web.middleware
async def with_request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer the id of its lines in the log."""
    names = id_headers(request)
    given = (request.headers.get(name, "") for name in names)
    identity = next(filter(_PLAIN_ID.match, given), "") or secrets.token_hex(8)
    request_id.set(identity)
    service, begin = request.app[SERVICE], time.perf_counter()
    with service.answers.track():
        with service.engine.buffers.open() as request[incoming.SHARE]:
            response = await handler(request)
        if ends_connection(request):
            response.force_close()
            request.protocol.close()
        await _send(request, response)
        seconds = time.perf_counter() - begin
        service.counters.request_done(
            method_of(request), route_of(request), response.status, seconds
        )
        return response


async def begin_answer(request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer the headers that each has, and note that it has begun."""
    request[BEGUN] = response
    response.headers.update(EVERY_ANSWER)
    response.headers.update(dict.fromkeys(id_headers(request), request_id.get()))


def id_headers(request: web.Request) -> tuple[str, ...]:
    """The headers that have a request's id, in requests and answers; the first that counts."""
    api = api_of(request)
    own = (api.id_header,) if api is not None and api.id_header else ()
    return (*own, "X-Request-Id")


def ends_connection(request: web.Request) -> bool:
    """Whether the connection closes: the rest of a body, or what may be one, has not been read."""
    is_reserved = getattr(request.protocol, "is_reserved", False)
    return is_reserved or not request.content.is_eof() or not is_framed(request)


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    """Send from here and not after the return, so that a stop can wait for it; bounded in time."""
    service = request.app[SERVICE]
    milliseconds = service.settings.send_timeout_ms
    if request.get(BEGUN, response) is not response:
        # An error after the head of an answer that is sent as it is made. Only the end of the
        # connection tells the client that it is cut off: a second head would be a part of it.
        if request.transport is not None:
            request.transport.abort()
        return
    try:
        async with asyncio.timeout(milliseconds / 1000):
            with contextlib.suppress(ConnectionError):
                await sending.send(request, response, service.engine.buffers)
    except TimeoutError:
        event(
            logger,
            logging.INFO,
            "the client did not read its answer in time",
            milliseconds=milliseconds,
        )
        if request.transport is not None:
            request.transport.abort()


@web.middleware
async def with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with problem+json; details of this process go to the log only."""
    identity = request_id.get()
    try:
        service = request.app[SERVICE]
        check_head(request, service.settings.max_header_bytes)
        check_reserved(request)
        if request.path not in HEALTH:
            check_host(request, service.settings, guarded=bool(service.tokens.entries))
        return await handler(request)
    except PosterError as error:
        event(logger, logging.INFO, f"refused: {error}", code=error.code)
        if error.__cause__ is not None:
            # Of a fault of the caller the answer says all; of ours the log must.
            level = logging.DEBUG if isinstance(error, CallerError) else logging.INFO
            logger.log(level, "the cause of %s", error.code, exc_info=error.__cause__)
        # What ended a render has its phases, and is counted among the outcomes of renders.
        note_error(request, error, is_counted=bool(error.server_timing))
        return refusal(request, error)
    except web.HTTPException as error:
        more = {"code": f"http_{error.status}", "detail": _remedy(request, error)}
        service.counters.note_refused(f"http_{error.status}")
        kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return problems.problem(error.status, error.reason, more, identity, kept)
    except Exception as error:
        logger.exception("a handler failed")
        failure = PosterError("internal error; the log has this request id")
        note_error(request, failure, is_counted=IN_RENDER in getattr(error, "__notes__", ()))
        return refusal(request, failure)


def note_error(request: web.Request, error: PosterError, *, is_counted: bool) -> None:
    """Remember an error for /status: what a render failed with, load, and faults of ours.

    A request that is wrong in itself (400 to 415) is its caller's to look at, and would hide them;
    it is counted.
    """
    if not is_counted:
        request.app[SERVICE].counters.note_refused(error.code)
    status, _ = problem_status(error)
    if status != 422 and status < 429:
        return
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else ""
    caller = request.get(CALLER, "")
    found = LastError(time.time(), status, error.code, route, caller, request_id.get())
    request.app[SERVICE].counters.note_error(found)


def refusal(request: web.Request, error: PosterError) -> web.Response:
    """The response for an error: problem+json, or what the API of the matched route has for it."""
    request[OUTCOME] = error.code
    api = api_of(request)
    if api is not None:
        return api.answer(request, error, request_id.get())
    return problems.answer(error, request_id.get())


def _remedy(request: web.Request, error: web.HTTPException) -> str:
    """What a caller can do who asked for an address, or used a method, that does not exist."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        is_get = request.method == "GET" and request.path == "/render"
        more = "; POSTER_GET_RENDER=1 or signed URLs allow GET" if is_get else ""
        return problems.wrong_method(error.allowed_methods) + more
    if isinstance(error, web.HTTPNotFound):
        return problems.not_found(request.path, signs=signed.NAME in request.app.router)
    return error.reason


def listen(settings: Settings) -> socket.socket:
    """Bind before anything else starts, so that a port in use is reported at once.

    Raises:
        AddressInUse: Naming the address and the settings that change it.
        UnauthenticatedBind: Other machines could connect, and callers need no token.
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
    """Refuse to serve a network without tokens by accident.

    Raises:
        UnauthenticatedBind: Naming both remedies.
    """
    guarded = settings.tokens or settings.tokens_file or settings.allow_unauthenticated
    if not guarded and not is_loopback(ipaddress.ip_address(address)):
        raise UnauthenticatedBind(
            f"POSTER_HOST={settings.host} accepts connections from other machines, and there is no"
            " token: set POSTER_TOKENS=name=token or POSTER_TOKENS_FILE, or set"
            " POSTER_ALLOW_UNAUTHENTICATED=1 where all who can reach it may render"
        )


def make_worker_app(service: Service) -> web.Application:
    """The application of a worker: whether it is well, and what it does, but no renders."""
    app = web.Application(middlewares=[with_request_id, with_problems, with_caller])
    app.on_response_prepare.append(begin_answer)
    app[SERVICE] = service
    app.add_routes(handlers.watching_routes())
    registry.add_to(app, ())
    return app


async def serve(
    settings: Settings,
    announce: Callable[[str], None],
    make: Callable[[Service], web.Application] = make_app,
) -> None:
    """Serve until TERM, INT or HUP; a second one, or QUIT, does not wait for running renders.

    Args:
        settings: Of the service.
        announce: Called with the address when it serves.
        make: Makes the application.

    Raises:
        OperatorError: The service cannot start; nothing is left running.
    """
    stop = _Stop(asyncio.get_running_loop())
    ensure_descriptors(settings)
    service = Service.build(settings)
    with listen(settings) as listener:
        if not await _started(service, stop):
            return
        runner = None
        try:
            runner = await open_site(make(service), listener, service.connections, settings)
            announce(address_of(listener))
            await stop.first.wait()
            event(logger, logging.INFO, "stopping: running renders may finish")
            await _stop_within(service, stop, settings.stop_grace_seconds)
        finally:
            await service.stop()
            if runner is not None:
                await runner.cleanup()
            stop.ignore_more()


async def _started(service: Service, stop: "_Stop") -> bool:
    """Start the service; False when a signal came meanwhile, and nothing is left then."""
    starting = asyncio.ensure_future(_bring_up(service))
    stopped = asyncio.ensure_future(stop.first.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return False
    await starting
    return True


async def _bring_up(service: Service) -> None:
    # Before the first Chrome: pages that a process has mapped are not replaced.
    await asyncio.to_thread(page_cache.refill, service.engine.pool.spec.program, REFILL_SECONDS)
    await service.start()


async def _stop_within(service: Service, stop: "_Stop", grace: float) -> None:
    """Let renders finish, until the grace period is over or a second signal comes."""
    waits = [
        asyncio.ensure_future(_all_answered(service)),
        asyncio.ensure_future(stop.second.wait()),
    ]
    await asyncio.wait(waits, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _all_answered(service: Service) -> None:
    """Accept no more renders; wait until no render or job runs, and every answer has been sent."""
    await asyncio.gather(service.engine.drain(), service.jobs.drain())
    await service.answers.wait_none()


class _Stop:
    """Counts the signals that stop the service; the handler only takes a note.

    HUP is one of them: it comes when the terminal is closed. QUIT (Ctrl-backslash) stops at once,
    as a second signal does, so that no folder is left. USR1, USR2 and ALRM mean nothing here; their
    default action would end the process without cleanup.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._note)
        loop.add_signal_handler(signal.SIGQUIT, self._at_once)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            loop.add_signal_handler(number, self._ignore, number)

    def ignore_more(self) -> None:
        """Ignore further signals: nothing is left to stop, and the exit status must not change."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _note(self) -> None:
        (self.second if self.first.is_set() else self.first).set()

    def _at_once(self) -> None:
        self.first.set()
        self.second.set()

    def _ignore(self, number: signal.Signals) -> None:
        event(logger, logging.INFO, "ignored a signal that has no meaning here", signal=number.name)
