"""The span of a request, by the stable HTTP conventions of OpenTelemetry, and the metric like it.

Only names of routes, sizes and statuses go into a span: never a query, which may have a signature
or a token, a body, or a header other than `User-Agent`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from poster_service import telemetry
from poster_service.logs import request_id
from poster_service.telemetry import TraceContext
from poster_service.telemetry.spans import Value
from poster_service.web.protocol import HEALTH

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The code of the error that a request was answered with; absent without one.
OUTCOME = web.RequestKey("outcome", str)
#: Routes without spans: probes and scrapes, which would be most of all traces.
SILENT = HEALTH | {"/metrics", "/prometheus/metrics"}
#: Methods by name; every other one is `_OTHER`, or a caller could make names without end.
METHODS = hdrs.METH_ALL
OTHER = "_OTHER"


@web.middleware
async def with_span(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a request a span, from its head to the last byte of its answer.

    Only in an application that was built while tracing was on.
    """
    route, method = route_of(request), method_of(request)
    if route in SILENT:
        return await handler(request)
    name = f"{'HTTP' if method == OTHER else method} {route}".rstrip()
    parent, known = parent_of(request), attributes_of(request)
    with telemetry.span(name, kind="server", parent=parent, attributes=known) as span:
        try:
            response = await handler(request)
        except asyncio.CancelledError:
            span.set("poster.outcome", "cancelled")  # the client has hung up, or the service stops
            raise
        finally:
            span.set("poster.request_id", request_id.get())
        span.set("http.response.status_code", response.status)
        outcome = request.get(OUTCOME)
        if outcome is not None:
            span.set("poster.outcome", outcome)
        if response.status >= 500:
            span.fail(outcome or str(response.status))
        return response


def route_of(request: web.Request) -> str:
    """The pattern of the route that a request matched; "" where it matched none."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def method_of(request: web.Request) -> str:
    """The method, or `_OTHER`."""
    return request.method if request.method in METHODS else OTHER


def parent_of(request: web.Request) -> TraceContext | None:
    """The span that the caller names in `traceparent`; None without exactly one that is valid."""
    given = request.headers.getall("traceparent", ())
    state = ",".join(request.headers.getall("tracestate", ()))
    return TraceContext.parse(given[0], state) if len(given) == 1 else None


def attributes_of(request: web.Request) -> dict[str, Value]:
    """What is known of a request from its head."""
    host, port = address_of(request.headers.get(hdrs.HOST, ""))
    method, route = method_of(request), route_of(request)
    agent = request.headers.get(hdrs.USER_AGENT, "")
    known: dict[str, Value] = {
        "http.request.method": method,
        "url.scheme": request.scheme,
        "url.path": request.rel_url.raw_path,
        "network.protocol.version": f"{request.version.major}.{request.version.minor}",
        "http.request.method_original": request.method if method == OTHER else "",
        "http.route": route,
        "server.address": host,
        "server.port": port,
        "client.address": request.remote or "",
        "user_agent.original": agent,
    }
    return {name: value for name, value in known.items() if value}


def address_of(host: str) -> tuple[str, int]:
    """The name and the port of a Host header; "" and 0 for what it has not."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or not port.isascii() or len(port) > 5:
        name, port = host, "0"
    return name.removeprefix("[").removesuffix("]"), int(port)
