"""GET /docs: the API for people, where each request can be tried: Swagger UI over openapi.json.

The page itself has nothing of this service and needs no token; the description that its script
fetches does, where there are tokens.
"""

import asyncio

from aiohttp import web

from poster_service.web import built
from poster_service.web.headers import SCRIPTED_CSP, page
from poster_service.web.service import SERVICE

PATH = "/docs"


async def docs(request: web.Request) -> web.Response:
    """GET /docs: the API in a browser, with every request to try."""
    guarded = bool(request.app[SERVICE].tokens.entries)
    links = built.links(request.app)
    html = await asyncio.to_thread(
        built.written, "docs.html", here="API", links=links, guarded=guarded
    )
    return page(html, SCRIPTED_CSP)
