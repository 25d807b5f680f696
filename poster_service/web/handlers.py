"""The routes and their handlers; the engine does the work."""

import asyncio
import json

from aiohttp import web
from typing_extensions import TypedDict

from poster_service.engine import Checks
from poster_service.render.request import RenderRequest
from poster_service.settings import Settings
from poster_service.web import (
    api_page,
    batches,
    built,
    fonts,
    get_render,
    jobs,
    metrics,
    results,
    signed,
    status,
    studio,
    webhooks,
)
from poster_service.web.bodies import read_request
from poster_service.web.caller import CALLER
from poster_service.web.incoming import expect_later
from poster_service.web.pictures import picture
from poster_service.web.room import check_room
from poster_service.web.service import SERVICE


async def render(request: web.Request) -> web.StreamResponse:
    """POST /render: responds with the picture itself, or with JSON that has it."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    check_room(request, service, caller)
    job = await read_request(request, service.engine.limits, RenderRequest)
    return await picture(request, job, caller)


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
    signs = get_render.signs(settings)
    by_query = [web.get(get_render.PATH, get_render.render, name=get_render.NAME)]
    return [
        *([web.get(signed.PATH, signed.render, name=signed.NAME)] if signs else []),
        *(by_query if signs or settings.get_render else []),
        web.post("/render", render, expect_handler=expect_later),
        *jobs.routes(),
        *batches.routes(),
        *webhooks.routes(),
        *([web.get(results.PATH, results.result)] if results.is_served(settings) else []),
        web.get("/templates", templates),
        web.get(fonts.PATH, fonts.fonts),
        *watching_routes(),
        web.get("/", studio.index),
        web.get(api_page.PATH, api_page.docs),
    ]


def watching_routes() -> list[web.RouteDef]:
    """The routes for those who watch a service or a worker."""
    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/status", status.status),
        web.get("/metrics", metrics.metrics),
        web.get(built.PATH, built.asset),  # those of the page at /status, and of the others
    ]
