"""A web server on loopback, and a fetcher with a network policy."""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from poster_service.browser.types import Reply, Request
from poster_service.fetch.client import (
    Fetcher,
    FetchLimits,
)
from poster_service.fetch.policy import Policy

PUBLIC = Policy(public=True)

LOOPBACK = Policy(public=True, private=(ipaddress.ip_network("127.0.0.0/8"),))

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A real server on 127.0.0.1; its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fetching(
    policy: Policy = LOOPBACK, seconds: float = 20.0, max_bytes: int = 1000
) -> AsyncIterator[Fetcher]:
    """A fetcher, closed in the end."""
    fetcher = Fetcher(policy, FetchLimits(timeout=seconds, max_bytes=max_bytes))
    try:
        yield fetcher
    finally:
        await fetcher.close()


def get(url: str, kind: str = "Image", **headers: str) -> Request:
    """A GET request of a page."""
    return Request(
        url, "GET", {name.replace("_", "-"): v for name, v in headers.items()}, None, kind
    )


def header(reply: Reply, name: str) -> list[str]:
    """All values of a header."""
    return [value for key, value in reply.headers if key.lower() == name]
