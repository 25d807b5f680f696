"""GET /fonts: the families of fonts that pages can name; in a browser with a line of each.

A reader's own machine has other fonts, so the lines are a picture that this service renders, as any
other: within the caller's quota, and out of the cache as long as fonts and Chrome stay the same. It
is a `data:` URL in the page itself, of which each row shows its part; no other request is needed.
"""

import asyncio
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pybase64
from aiohttp import web
from jinja2 import Environment, FileSystemLoader
from typing_extensions import TypedDict

from poster_service.browser.font_list import Family, FontList
from poster_service.errors import Fault, InvalidField
from poster_service.render.job import RenderContext
from poster_service.render.request import RenderRequest
from poster_service.web.accept import wants_html
from poster_service.web.caller import CALLER
from poster_service.web.get_render import check_page
from poster_service.web.headers import CSP, page
from poster_service.web.service import SERVICE, Service

FONTS = web.AppKey("fonts", FontList)
#: Families on one page, and the size of a line of the picture in CSS pixels.
PAGE_FAMILIES, LINE_WIDTH, LINE_HEIGHT = 80, 560, 44
#: The page shows a picture of its own.
FONTS_CSP = f"{CSP}; img-src data:"
_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
)


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
    service = request.app[SERVICE]
    found = await asyncio.to_thread(request.app[FONTS].families)
    if not wants_html(request):
        body: FontListing = {"families": None if found is None else [*map(listing, found)]}
        return web.json_response(body)
    if request.headers.get("Sec-Fetch-Dest") != "document":  # a link on any page may lead here
        check_page(request, service.settings.cors_origins)
    families = found or ()
    pages = max(1, -(-len(families) // PAGE_FAMILIES))
    number = page_number(request, pages)
    shown = families[(number - 1) * PAGE_FAMILIES : number * PAGE_FAMILIES]
    lines = [one for one in shown if one.is_usable]
    png = await picture(service, request.get(CALLER, ""), lines) if lines else b""
    template = await asyncio.to_thread(_PAGES.get_template, "fonts.html")
    html = template.render(
        is_known=found is not None, families=shown, count=len(families), number=number, pages=pages,
        width=LINE_WIDTH, height=LINE_HEIGHT, tops={one: at for at, one in enumerate(lines)},
        png=pybase64.b64encode_as_string(png),
    )  # fmt: skip
    return page(html, FONTS_CSP)


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


def page_number(request: web.Request, pages: int) -> int:
    """The number of the page that a request wants.

    Raises:
        InvalidField: There is no such page.
    """
    text = request.query.get("page", "1")
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= pages):
        raise InvalidField.of(Fault("page", "there is no such page", f"1 to {pages}"))
    return int(text)


async def picture(service: Service, caller: str, lines: Sequence[Family]) -> bytes:
    """A picture with a line of each family, rendered or out of the cache.

    Raises:
        PosterError: As `Engine.render`, or the quota is used up.
    """
    given = {
        "html": sheet(lines),
        "width": LINE_WIDTH,
        "height": LINE_HEIGHT * len(lines),
        "javascript": False,
        "png_compression": "balanced",
    }
    wanted = RenderRequest.parse(given, service.engine.limits)
    async with service.quotas.charge(caller, service.engine.admission.mean_seconds):
        return (await service.engine.render(wanted, RenderContext(caller))).rendered.body


def sheet(lines: Sequence[Family]) -> str:
    """The page that is rendered: a line of each family, in that family."""
    rows = (
        f'<p dir="auto" style="font-family:{escape(css_string(one.name))}">{escape(one.sample)}</p>'
        for one in lines
    )
    style = (
        f"body{{margin:0}}p{{margin:0;height:{LINE_HEIGHT}px;font-size:26px;overflow:hidden;"
        f"line-height:{LINE_HEIGHT}px;white-space:nowrap}}"
    )
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{''.join(rows)}"


def css_string(text: str) -> str:
    """A text as a string of CSS; all that could end it is escaped."""
    plain = "".join(one if one.isalnum() or one in " -_." else f"\\{ord(one):x} " for one in text)
    return f'"{plain}"'
