"""A small web on loopback: pages, redirects, cookies, passwords, and what each request brought.

Two servers are two origins. What leaked is read from what they received, not from what the service
says.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web

from tests.unit.fetching import serving

LIME_SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20'>"
    "<rect width='20' height='20' fill='#00ff00'/></svg>"
)
PAGE = "<!doctype html><title>{title}</title><style>body {{ margin: 0 }}</style>{body}"


@dataclass
class Received:
    """A request as a server got it.

    Attributes:
        path: With its query.
        headers: By name in lower case.
    """

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class LocalServer:
    """One server.

    Attributes:
        address: `http://127.0.0.1:port`.
        received: Requests, in the order in which they came.
        pages: HTML by path, with headers.
        redirects: Where a path leads, by path.
    """

    address: str = ""
    received: list[Received] = field(default_factory=list)
    pages: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)

    def page(self, path: str, body: str, title: str = "", **headers: str) -> str:
        """Serve a page; its address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = PAGE.format(title=title, body=body), named
        return self.address + path

    def got(self, path: str) -> list[Received]:
        """The requests for a path, with any query."""
        return [one for one in self.received if one.path.partition("?")[0] == path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """A page, or something by the first step of the path."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.method, request.path_qs, headers))
        path, query = request.path, request.query
        if "late" in query:
            await asyncio.sleep(float(query["late"]))
        if path in self.pages:
            html, more = self.pages[path]
            return web.Response(text=html, content_type="text/html", headers=more)
        more = {"Access-Control-Allow-Origin": "*"}
        if "set" in query:
            more["Set-Cookie"] = query["set"]
        if "slow" in path:
            await asyncio.sleep(0.4)
        if path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[path], **more})
        if path == "/go":
            status = int(query.get("status", "302"))
            return web.Response(status=status, headers={"Location": query["to"], **more})
        if path == "/status":
            return web.Response(
                status=int(query["code"]), text=PAGE.format(title="", body="<p>x"),
                content_type="text/html", headers=more,
            )  # fmt: skip
        if path == "/typed":
            body = query.get("body", "text").encode()
            headers = {"Content-Type": query["type"]} if "type" in query else {}
            if "disposition" in query:
                headers["Content-Disposition"] = query["disposition"]
            return web.Response(body=body, headers={**headers, **more})
        if path.endswith(".css"):
            return web.Response(text="body { background: #00ff00 }", content_type="text/css")
        if path.endswith(".js"):
            return web.Response(text="window.ran = 1", content_type="text/javascript", headers=more)
        return web.Response(text=LIME_SVG, content_type="image/svg+xml", headers=more)


@contextlib.asynccontextmanager
async def local_server() -> AsyncIterator[LocalServer]:
    """One server, while inside."""
    server = LocalServer()
    async with serving(server.answer) as address:
        server.address = address
        yield server
