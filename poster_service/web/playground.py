"""GET /: an overview of the routes, and in a browser a form to try a render.

The form sends what `curl -F` sends, and a frame beside it shows the response. It uses no script, so
it cannot send a token, and says so if one is needed.
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
    " the API is described in /openapi.json\n"
)
_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
)


async def index(request: web.Request) -> web.Response:
    """GET /: an overview of the routes as text, or in a browser a form to try a render."""
    if not wants_html(request):
        return web.Response(text=TEXT)
    service = request.app[SERVICE]
    template = await asyncio.to_thread(_PAGES.get_template, "playground.html")
    html = template.render(
        guarded=bool(service.tokens.entries),
        page=PAGE,
        files=FILES,
        # A value of a map has no field: its name is the caller's choice.
        options={name: one for name, one in options(service).items() if ".NAME" not in name},
        values={"width": DEFAULT_WIDTH, "height": DEFAULT_HEIGHT},
    )
    return page(html, PLAYGROUND_CSP)
