"""The same render through other services' APIs of ours: how a request is sent there.

Each function gets the body that POST /render takes, and returns the route's path and what aiohttp
needs to send it: what an API costs is the difference to that.
"""

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

Sent = tuple[str, dict[str, Any]]


def own(options: Mapping[str, Any]) -> Sent:
    """Our own API."""
    return "/render", {"json": options}


def gotenberg(options: Mapping[str, Any]) -> Sent:
    """Gotenberg's: a form with the page as a file."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("files", options["html"], filename="index.html")
    fields = {
        "width": options["width"], "height": options["height"],
        "clip": "false" if options["full_page"] else "true",
        "deviceScaleFactor": options.get("device_scale_factor", 1),
        "optimizeForSpeed": "true" if options.get("png_compression") == "fast" else "false",
    }  # fmt: skip
    for name, value in fields.items():
        form.add_field(name, str(value))
    return "/forms/chromium/screenshot/html", {"data": form}


def _puppeteer(options: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a body that browserless and Cloudflare have in common: puppeteer's names."""
    return {
        "html": options["html"],
        "viewport": {
            "width": options["width"], "height": options["height"],
            "deviceScaleFactor": options.get("device_scale_factor", 1),
        },
    }  # fmt: skip


def _screenshot(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "png", "fullPage": bool(options["full_page"])}


def browserless(options: Mapping[str, Any]) -> Sent:
    """browserless': JSON."""
    return "/screenshot", {"json": {**_puppeteer(options), "options": _screenshot(options)}}


def cloudflare(options: Mapping[str, Any]) -> Sent:
    """Cloudflare Browser Run's: JSON; a `cacheTTL` of 0, since what is cached costs nothing."""
    body = {**_puppeteer(options), "screenshotOptions": _screenshot(options)}
    path = "/client/v4/accounts/bench/browser-rendering/screenshot?cacheTTL=0"
    return path, {"json": body}


#: By the name of the API in POSTER_COMPAT; "" is ours.
ROUTES: Mapping[str, Callable[[Mapping[str, Any]], Sent]] = {
    "": own,
    "gotenberg": gotenberg,
    "browserless": browserless,
    "cloudflare": cloudflare,
}
