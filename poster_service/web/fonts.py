"""GET /fonts: the families of fonts that pages can name, as JSON; in a browser a page with lines.

A reader's own machine has other fonts, so the lines are pictures that the page has rendered by POST
/render, as any other caller: within the caller's quota, and out of the cache as long as fonts and
Chrome stay the same. The page itself has no font in it and needs no token; its script asks for one.
"""

import asyncio

from aiohttp import web
from typing_extensions import TypedDict

from poster_service.browser.font_list import Family, FontList
from poster_service.web import built
from poster_service.web.accept import wants_html
from poster_service.web.headers import SCRIPTED_CSP, page
from poster_service.web.service import SERVICE

#: Where they are served.
PATH = "/fonts"
FONTS = web.AppKey("fonts", FontList)


class FontFamily(TypedDict):
    """One family; `usable` says whether Chrome uses it, `sample` is a line that it draws whole."""

    family: str
    styles: list[str]
    scripts: list[str]
    characters: int
    usable: bool
    sample: str


class FontListing(TypedDict):
    """Every family; null where fontconfig's `fc-list` is not installed or fails."""

    families: list[FontFamily] | None


async def fonts(request: web.Request) -> web.Response:
    """GET /fonts: the families of fonts that pages can name, as JSON, or in a browser as a page."""
    if not wants_html(request):
        found = await asyncio.to_thread(request.app[FONTS].families)
        body: FontListing = {"families": None if found is None else [*map(listing, found)]}
        return web.json_response(body)
    guarded, links = bool(request.app[SERVICE].tokens.entries), built.links(request.app)
    html = await asyncio.to_thread(
        built.written, "fonts.html", here="Fonts", links=links, guarded=guarded
    )
    return page(html, SCRIPTED_CSP)


def listing(one: Family) -> FontFamily:
    """A family as JSON has it."""
    return {
        "family": one.name,
        "styles": [*one.styles],
        "scripts": [*one.scripts],
        "characters": one.characters,
        "usable": one.is_usable,
        "sample": one.sample,
    }
