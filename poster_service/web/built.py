"""The pages' scripts and styles: built by npm from `web_assets/`, and committed in `assets/`.

The service needs no Node.js for them. A name has a hash of its file's contents, so a
browser caches it forever; `manifest.json` says which name a page's file has. They are public, as
the code of this project is, so they need no token.
"""

import asyncio
import gzip
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader

FOLDER = Path(__file__).parent / "assets"
#: Where the files are served.
PATH = "/assets/{name}"
#: A year: what has another content has another name (RFC 8246).
CACHED = "public, max-age=31536000, immutable"
#: Files of these types are text, and sent packed to browsers that can read that.
TEXTS = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}

#: The pages that lead to each other, by their route: the address, relative to `/`, and the name.
LINKS = {
    "/": ("./", "Studio"),
    "/docs": ("docs", "API"),
    "/fonts": ("fonts", "Fonts"),
    "/status": ("status", "Status"),
}
#: The HTML of our pages; every value in it is escaped.
PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
)


@lru_cache(maxsize=1)
def manifest() -> Mapping[str, str]:
    """The address of each file, relative to `/`, by its name without the hash."""
    found = cast("dict[str, str]", json.loads((FOLDER / "manifest.json").read_text()))
    return {name: f"assets/{file}" for name, file in found.items()}


def written(template: str, **values: object) -> str:
    """A page's HTML. Reads files the first time: call it from a thread.

    Args:
        template: A file beside this one.
        values: For it; `here`, `links` and `guarded` are for the line at the top of each page.
    """
    return PAGES.get_template(template).render(files=manifest(), **values)


def links(app: web.Application) -> list[tuple[str, str]]:
    """The address and the name of each page that an application serves; a worker has one only."""
    routes = {resource.canonical for resource in app.router.resources()}
    return [link for route, link in LINKS.items() if route in routes]


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """All that may be asked for: no other name ever reaches the file system."""
    return frozenset(one.name for one in FOLDER.iterdir() if one.suffix in TEXTS)


@dataclass(frozen=True)
class Packed:
    """A file as it is sent: its media type, its bytes, and the same in gzip."""

    media_type: str
    body: bytes
    gzipped: bytes


@lru_cache(maxsize=64)
def packed(name: str) -> Packed:
    """A file of `names`. Packs up to 2 MB the first time: call it from a thread."""
    file = FOLDER / name
    body = file.read_bytes()
    media_type = TEXTS.get(file.suffix) or mimetypes.guess_type(name)[0] or ""
    return Packed(media_type, body, gzip.compress(body, mtime=0))


async def asset(request: web.Request) -> web.Response:
    """GET /assets/{name}: a script or style of the service's own pages.

    Raises:
        HTTPNotFound: There is no such file.
    """
    name = request.match_info["name"]
    if name not in await asyncio.to_thread(names):
        raise web.HTTPNotFound
    file = await asyncio.to_thread(packed, name)
    headers = {hdrs.CACHE_CONTROL: CACHED, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    body = file.body
    if takes_gzip(request):
        body, headers[hdrs.CONTENT_ENCODING] = file.gzipped, "gzip"
    return web.Response(body=body, content_type=file.media_type, charset="utf-8", headers=headers)


def takes_gzip(request: web.Request) -> bool:
    """Whether a client reads gzip (RFC 9110, 12.5.3)."""
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())).lower().replace(" ", "")
    return any(
        one.partition(";")[0] == "gzip" and not one.endswith(";q=0") for one in accepted.split(",")
    )
