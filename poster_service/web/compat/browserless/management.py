"""What browserless' routes for operators answer: its gauges, settings and versions, from ours."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
from aiohttp import hdrs, web

from poster_service.browser import installed
from poster_service.errors import ChromeNotStarted
from poster_service.web.caller import CALLER
from poster_service.web.compat.browserless.sessions import Sessions
from poster_service.web.service import SERVICE, Service

#: Answers one of these routes.
Management = Callable[[web.Request, Sessions], Awaitable[web.Response]]
#: The version of browserless whose API this is.
VERSION = "2.56.0"
FULL = "Concurrency and queue are full"


def answer_json(value: object) -> web.Response:
    """A response with JSON."""
    return web.json_response(value)


async def active(_: web.Request, __: Sessions) -> web.Response:
    """GET /active: the service answers."""
    return web.Response(status=204)


async def pressure(request: web.Request, sessions: Sessions) -> web.Response:
    """GET /pressure: how busy the service is; as text with 200 or 503 if `Accept` is text/plain."""
    found = await asyncio.to_thread(pressure_of, request.app[SERVICE], sessions)
    if request.headers.get(hdrs.ACCEPT) == "text/plain":
        return web.Response(status=200 if found["isAvailable"] else 503, text=found["message"])
    return answer_json({"pressure": found})


def pressure_of(service: Service, sessions: Sessions) -> dict[str, Any]:
    """The gauges of GET /pressure. Reads /proc: call it from a thread."""
    settings, now = service.settings, service.engine.admission.statistics()
    is_full = now.running >= settings.concurrency and now.waiting >= settings.queue_size
    is_available = not (is_full or service.engine.admission.is_closed)
    return {
        "cpu": round(psutil.cpu_percent()),
        "date": int(time.time() * 1000),
        "isAvailable": is_available,
        "maxConcurrent": settings.concurrency,
        "maxQueued": settings.queue_size,
        "memory": round(psutil.virtual_memory().percent),
        "message": "" if is_available else FULL,
        "queued": now.waiting,
        "reason": "" if is_available else "full",
        "recentlyRejected": sessions.metrics()["rejected"],
        "running": now.running,
    }


async def config(request: web.Request, _: Sessions) -> web.Response:
    """GET /config: the settings by browserless' names; no token and no path."""
    settings = request.app[SERVICE].settings
    nothing: Mapping[str, Any] = dict.fromkeys((
        "errorAlertURL", "healthFailureURL", "queuedAlertURL", "rejectAlertURL", "timeoutAlertURL",
        "token",
    ))  # fmt: skip
    return answer_json({
        "allowCORS": bool(settings.cors_origins),
        "allowFileProtocol": False,
        "allowGetCalls": False,
        "concurrent": settings.concurrency,
        "data": "",
        "debug": "",
        "host": settings.host,
        "maxCPU": 100,
        "maxMemory": 100,
        "metricsJSONPath": "",
        "port": settings.port,
        "queued": settings.queue_size,
        "retries": 0,
        "timeout": settings.timeout_ms,
        **nothing,
    })  # fmt: skip


@functools.cache
def chrome_version(program: Path) -> str | None:
    """The version of Chrome, as in 156.0.8078.79; None if it does not say. Runs it, once."""
    try:
        words = installed.version(program).split()
    except ChromeNotStarted:
        return None
    return next((word for word in words if word[:1].isdigit()), None)


async def metrics(_: web.Request, sessions: Sessions) -> web.Response:
    """GET /metrics: what became of the sessions, as a list with one entry."""
    return answer_json([sessions.metrics()])


async def metrics_total(_: web.Request, sessions: Sessions) -> web.Response:
    """GET /metrics/total: the same in one object."""
    return answer_json(sessions.total())


async def listed(request: web.Request, sessions: Sessions) -> web.Response:
    """GET /sessions: the renders of this caller that are under way."""
    tracking_id = request.query.get("trackingId", "")
    return answer_json(sessions.listed(request.get(CALLER, ""), tracking_id))


async def meta(request: web.Request, _: Sessions) -> web.Response:
    """GET /meta: the versions of the API and of Chrome; there is no puppeteer, no playwright."""
    program = request.app[SERVICE].engine.pool.spec.program
    return answer_json({
        "version": VERSION,
        "chromium": await asyncio.to_thread(chrome_version, program),
        "firefox": None,
        "webkit": None,
        "playwright": [],
        "puppeteer": [],
    })  # fmt: skip
