"""GET /: an overview of the routes, and in a browser the studio.

The page is here, its script in `web_assets/src/studio`. What the script knows of the options comes
with the page as JSON, made of their one declaration. Where no script runs, the page has a plain
form that sends what `curl -F` sends; it cannot send a token, and says so if one is needed.
"""

import asyncio
import json
import secrets
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from markupsafe import Markup

from poster_service import __version__
from poster_service.render.declaration import DEFAULT_FORMAT
from poster_service.render.device_options import DEFAULT_HEIGHT, DEFAULT_WIDTH
from poster_service.render.formats import FORMATS
from poster_service.render.json_schema import Json, branches
from poster_service.render.option_list import Entry, entries
from poster_service.render.options import RenderOptions
from poster_service.web import built
from poster_service.web.accept import wants_html
from poster_service.web.forms import FILES, PAGE
from poster_service.web.headers import page, studio_csp
from poster_service.web.options import options
from poster_service.web.service import SERVICE, Service

TEXT = (
    "poster-service: POST /render, GET /templates, /fonts, /docs, /status, /metrics, /healthz,"
    " /readyz; the API is described in /openapi.json\n"
)


async def index(request: web.Request) -> web.Response:
    """GET /: an overview of the routes as text, or in a browser the studio."""
    if not wants_html(request):
        return web.Response(text=TEXT)
    nonce = secrets.token_urlsafe(16)
    html = await asyncio.to_thread(written, request.app[SERVICE], built.links(request.app), nonce)
    return page(html, studio_csp(nonce))


def written(service: Service, links: Sequence[tuple[str, str]], nonce: str) -> str:
    """The page's HTML. Takes some milliseconds: call it from a thread.

    Args:
        service: Its options and their bounds are on the page.
        links: Those to the other pages.
        nonce: Lets the editor's own style sheet apply, and no other that is written into the page.
    """
    about = {
        "version": __version__,
        "nonce": nonce,
        "format": DEFAULT_FORMAT,
        "sections": sections(service),
    }
    return built.written(
        "studio.html",
        here="Studio",
        links=links,
        guarded=bool(service.tokens.entries),
        about=data_block(about),
        page=PAGE,
        files_field=FILES,
        # A value of a map has no field: its name is the caller's choice. Outputs have none either:
        # the frame shows one picture.
        options={
            name: one
            for name, one in options(service, source="html").items()
            if ".NAME" not in name and not name.startswith("outputs.")
        },
        values={"width": DEFAULT_WIDTH, "height": DEFAULT_HEIGHT},
    )


def data_block(value: object) -> Markup:
    """A value as JSON inside of a `script` element, which nothing in it can end."""
    return Markup(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))  # noqa: S704


def sections(service: Service) -> list[dict[str, Any]]:
    """The options in the sections and the order of their declaration, for a page's script."""
    found: list[dict[str, Any]] = []
    for entry in entries(RenderOptions):
        if "." in entry.name:
            continue
        if entry.option.begins or not found:
            found.append({"title": entry.option.begins, "options": []})
        found[-1]["options"].append(described(entry, service))
    return found


def described(entry: Entry, service: Service) -> dict[str, Any]:
    """One outermost option: its schema with all that is nested, and when it has a meaning."""
    schema: Json = {**entry.schema, "description": entry.option.text()}
    if entry.option.limit:
        most = getattr(service.engine.limits, entry.option.limit)
        for branch in branches(schema):
            branch["maximum"] = most
    return {
        "name": entry.name,
        "schema": schema,
        "formats": [] if entry.formats == FORMATS else list(entry.formats),
        "sources": list(entry.sources),
        "secret": entry.option.is_secret,
    }
