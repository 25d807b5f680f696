"""The routes and their handlers; the engine does the work."""

import asyncio
import json

from aiohttp import web
from typing_extensions import TypedDict

from poster_service.buffers import SMALL
from poster_service.engine import Checks
from poster_service.settings import Settings
from poster_service.web import metrics, playground, signed, status
from poster_service.web.bodies import read_request
from poster_service.web.caller import CALLER
from poster_service.web.incoming import expect_later
from poster_service.web.pictures import picture
from poster_service.web.service import SERVICE, Service


async def render(request: web.Request) -> web.Response:
    """POST /render: responds with the picture itself."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    check_room(request, service, caller)
    job = await read_request(request, service.engine.limits)
    return await picture(request, job, caller)


def check_room(request: web.Request, service: Service, caller: str) -> None:
    """Refuse before the body is read what would be refused afterwards.

    While the queue is full, a request with a large body, or one of unknown length, is refused. A
    small body is read all the same: its picture may be cached, or being rendered for another.

    Raises:
        OverQuota: As of `Quotas.check`.
        LoadError: As of `Admission.check`.
    """
    service.quotas.check(caller, service.engine.admission.mean_seconds)
    size = request.content_length
    if service.engine.admission.is_closed or size is None or size > SMALL:
        service.engine.admission.check(caller)


async def templates(request: web.Request) -> web.Response:
    """GET /templates: every template with its schema and a sample, and those with mistakes."""
    found = request.app[SERVICE].engine.templates
    await asyncio.to_thread(found.refresh)
    listing = {"templates": found.list(), "faults": found.faults()}
    return web.json_response(listing, dumps=lambda value: json.dumps(value, ensure_ascii=False))


class Health(TypedDict):
    """The body of /healthz."""

    status: str


async def healthz(_: web.Request) -> web.Response:
    """GET /healthz: the process is alive and its event loop runs."""
    body: Health = {"status": "alive"}
    return web.json_response(body)


class Readiness(Checks):
    """Every check, and the time since the last successful render; null before the first."""

    status: str
    last_render_seconds_ago: float | None
    survivors: int


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: 200 if a Chrome is ready, a render succeeded recently, and we do not stop."""
    service = request.app[SERVICE]
    checks, ago = service.engine.checks(), service.engine.last_render_ago()
    ready = all(checks.values())
    body: Readiness = {
        "status": "ready" if ready else "not ready",
        "last_render_seconds_ago": None if ago is None else round(ago, 1),
        # Reported, but no reason to take the replica out: it does not hinder other renders.
        "survivors": len(service.engine.pool.statistics().survivors),
        **checks,
    }
    return web.json_response(body, status=200 if ready else 503)


def routes(settings: Settings) -> list[web.RouteDef]:
    """All routes of a service with these settings."""
    signs = settings.signing_keys or settings.signing_keys_file
    return [
        *([web.get(signed.PATH, signed.render, name=signed.NAME)] if signs else []),
        web.post("/render", render, expect_handler=expect_later),
        web.get("/templates", templates),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/status", status.status),
        web.get("/metrics", metrics.metrics),
        web.get("/", playground.index),
    ]
