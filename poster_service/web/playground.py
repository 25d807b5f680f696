"""GET /: where to go from here; in a browser a form to try a render with.

The form sends what `curl -F` does, and the answer is shown beside it, in a frame. No script: so it
can send no token, and says so where one is needed.
"""

import asyncio
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader

from poster_service.render.options import DEFAULT_HEIGHT, DEFAULT_WIDTH
from poster_service.web.forms import FILES, PAGE
from poster_service.web.headers import PLAYGROUND_CSP, page
from poster_service.web.options import options
from poster_service.web.service import SERVICE
from poster_service.web.status import wants_html

TEXT = (
    "poster-service: POST /render, GET /templates, /status, /metrics, /healthz, /readyz;"
    " all of it is in /openapi.json\n"
)
_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
)


async def index(request: web.Request) -> web.Response:
    """GET /: where to go from here; in a browser a form to try a render with."""
    if not wants_html(request):
        return web.Response(text=TEXT)
    service = request.app[SERVICE]
    template = await asyncio.to_thread(_PAGES.get_template, "playground.html")
    told = template.render(
        guarded=bool(service.tokens.entries),
        page=PAGE,
        files=FILES,
        options=options(service),
        values={"width": DEFAULT_WIDTH, "height": DEFAULT_HEIGHT},
    )
    return page(told, PLAYGROUND_CSP)
