"""What Browser Run answers: JSON in an envelope, or the bytes of a picture or a PDF."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import orjson
import pybase64
from aiohttp import web

from poster_service.render.cache import Answer
from poster_service.render.picture import Rendered
from poster_service.web.compat.cloudflare.bodies import Links, Screenshot
from poster_service.web.incoming import beside

Json = dict[str, Any]

#: Schemes of links that lead nowhere.
NO_LINKS = ("javascript",)
#: Phases in which a Chrome works on a render, as `Server-Timing` calls them.
BROWSER_PHASES = ("setup", "load", "wait", "capture")


def failure(status: int, code: int, message: str, headers: Mapping[str, str]) -> web.Response:
    """A refusal in the envelope."""
    body = {
        "success": False,
        "errors": [{"code": code, "message": message}],
        "messages": [],
        "result": None,
    }
    return web.json_response(body, status=status, headers=headers)


async def success(
    result: object, size: int, headers: Mapping[str, str], meta: Json
) -> web.Response:
    """A result in the envelope.

    Args:
        result: What JSON can express.
        size: Bytes of it, about; much of it is written in a thread.
        headers: Of the response.
        meta: What is known of the page beside it; empty for nothing.
    """
    body = {"success": True, "errors": [], "messages": [], "result": result}
    body |= {"meta": meta} if meta else {}
    written = await beside(size, orjson.dumps, body)
    return web.Response(body=written, content_type="application/json", headers=headers)


def headers_of(answer: Answer) -> dict[str, str]:
    """The headers of every answer that was rendered."""
    found = {
        "X-Browser-Ms-Used": str(browser_ms(answer.server_timing)),
        "Server-Timing": answer.server_timing,
        "X-Cache": answer.cache_status,
        "Cache-Control": "private, no-cache",
    }
    if answer.rendered.warnings:
        found["X-Render-Warnings"] = answer.rendered.warnings
    return found


def browser_ms(server_timing: str) -> int:
    """Milliseconds that a Chrome worked on a render; 0 for a cached one."""
    phases = (one.strip().partition(";dur=") for one in server_timing.split(","))
    return round(sum(float(took) for name, _, took in phases if name in BROWSER_PHASES and took))


def meta_of(rendered: Rendered) -> Json:
    """Status and title of a page on the web."""
    if rendered.page is None:
        return {}
    return {"status": rendered.page.status, "title": unquote(rendered.page.title)}


def picture(body: Screenshot, answer: Answer) -> tuple[bytes, str]:
    """A picture and its media type; its base64 as text where that is asked for."""
    rendered = answer.rendered
    if body.screenshot_options is not None and body.screenshot_options.encoding == "base64":
        return pybase64.b64encode(rendered.body), "text/plain"
    return rendered.body, rendered.content_type


def scraped(elements: bytes) -> list[Json]:
    """What selectors match, from the format `elements`."""
    return [
        {"selector": one["selector"], "results": [_element(each) for each in one["elements"]]}
        for one in json.loads(elements)["selectors"]
    ]


def _element(found: Json) -> Json:
    attributes = [{"name": name, "value": value} for name, value in found["attributes"].items()]
    return {
        "attributes": attributes,
        "height": found["height"],
        "html": found["html"],
        "left": found["x"],
        "text": found["text"],
        "top": found["y"],
        "width": found["width"],
    }


def links(elements: bytes, body: Links, address: str) -> list[str]:
    """The addresses that a page links to, in its order.

    Args:
        elements: The page's links and its `<base>`, in the format `elements`.
        body: Which of them.
        address: Of the page; "" where it has none, so that relative links stay so.
    """
    anchors, bases = (one["elements"] for one in json.loads(elements)["selectors"])
    base = joined(address, bases[0]["attributes"]["href"]) if bases else address
    return list(_links(anchors, body, base, address))


def _links(anchors: list[Json], body: Links, base: str, address: str) -> Iterator[str]:
    for one in anchors:
        found = joined(base, one["attributes"]["href"])
        if _scheme(found) in NO_LINKS or (body.visible_links_only and not is_visible(one)):
            continue
        if body.exclude_external_links and not is_internal(found, address):
            continue
        yield found


def joined(base: str, address: str) -> str:
    """An absolute address where there is a base, else the address as it is."""
    plain = address.strip()
    if not base:
        return plain
    try:
        return urljoin(base, plain)
    except ValueError:
        return plain


def is_internal(address: str, page: str) -> bool:
    """Whether an address is of the page's own host; without a host it is."""
    try:
        host = urlsplit(address).hostname
        return host is None or host == urlsplit(page).hostname
    except ValueError:
        return False


def is_visible(element: Json) -> bool:
    """Whether an element has a size, and shows its text or has something inside."""
    has_size = element["width"] > 0 and element["height"] > 0
    return has_size and bool(element["text"].strip() or "<" in element["html"])


def _scheme(address: str) -> str:
    return address.partition(":")[0].strip().lower()
