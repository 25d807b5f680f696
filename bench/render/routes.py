"""The same render through other services' APIs of ours: how a request is sent there.

Each function gets the body that POST /render takes, and returns the route's path and what aiohttp
needs to send it: what an API costs is the difference to that.
"""

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

Sent = tuple[str, dict[str, Any]]


def own(wish: Mapping[str, Any]) -> Sent:
    """Our own API."""
    return "/render", {"json": wish}


def gotenberg(wish: Mapping[str, Any]) -> Sent:
    """Gotenberg's: a form with the page as a file."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("files", wish["html"], filename="index.html")
    fields = {
        "width": wish["width"], "height": wish["height"],
        "clip": "false" if wish["full_page"] else "true",
        "deviceScaleFactor": wish.get("device_scale_factor", 1),
        "optimizeForSpeed": "true" if wish.get("png_compression") == "fast" else "false",
    }  # fmt: skip
    for name, value in fields.items():
        form.add_field(name, str(value))
    return "/forms/chromium/screenshot/html", {"data": form}


def _puppeteer(wish: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a body that browserless and Cloudflare have in common: puppeteer's names."""
    return {
        "html": wish["html"],
        "viewport": {
            "width": wish["width"], "height": wish["height"],
            "deviceScaleFactor": wish.get("device_scale_factor", 1),
        },
    }  # fmt: skip


def _screenshot(wish: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "png", "fullPage": bool(wish["full_page"])}


def browserless(wish: Mapping[str, Any]) -> Sent:
    """browserless': JSON."""
    return "/screenshot", {"json": {**_puppeteer(wish), "options": _screenshot(wish)}}


def cloudflare(wish: Mapping[str, Any]) -> Sent:
    """Cloudflare Browser Run's: JSON; a `cacheTTL` of 0, since what is cached costs nothing."""
    body = {**_puppeteer(wish), "screenshotOptions": _screenshot(wish)}
    path = "/client/v4/accounts/bench/browser-rendering/screenshot?cacheTTL=0"
    return path, {"json": body}


#: By the name of the API in POSTER_COMPAT; "" is ours.
ROUTES: Mapping[str, Callable[[Mapping[str, Any]], Sent]] = {
    "": own,
    "gotenberg": gotenberg,
    "browserless": browserless,
    "cloudflare": cloudflare,
}
