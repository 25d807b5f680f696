"""Requests as bytes over bare connections, for what no HTTP client would send."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import SETTLE_SECONDS, settled
from tests.web.conftest import Service

#: Random pixels, so that the picture is larger than what sockets hold.
NOISE = """<!doctype html><body style="margin: 0"><canvas id=c width=1200 height=1200></canvas>
    <script>const context = c.getContext('2d'), data = context.createImageData(1200, 1200);
    for (let at = 0; at < data.data.length; at += 65536)
        crypto.getRandomValues(data.data.subarray(at, Math.min(at + 65536, data.data.length)));
    context.putImageData(data, 0, 0)</script>"""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def connected(service: Service) -> AsyncIterator[Streams]:
    """A bare connection."""
    where = urlsplit(service.address)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def request(
    path: str = "/healthz",
    method: str = "GET",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> bytes:
    """A request as bytes."""
    headers = {"Host": "localhost", **(headers or {})}
    if body:
        headers["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def answer(streams: Streams) -> tuple[int, dict[str, Any], bytes]:
    """Status, problem and head of what is answered."""
    head = await asyncio.wait_for(streams[0].readuntil(b"\r\n\r\n"), SETTLE_SECONDS)
    [length] = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    body = await asyncio.wait_for(streams[0].readexactly(length), SETTLE_SECONDS)
    return int(head.split()[1]), json.loads(body), head


#: A request whose body is never finished: it keeps its connection busy, and no Chrome.
BEGUN = (
    b"POST /render HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/html\r\n"
    b"Content-Length: 1000\r\n\r\n<p>"
)


async def busy(service: Service, stack: contextlib.AsyncExitStack) -> Streams:
    """A connection with a request under way."""
    streams = await stack.enter_async_context(connected(service))
    before = service.server.answers.count
    streams[1].write(BEGUN)
    assert await settled(lambda: service.server.answers.count > before)
    return streams


@contextlib.asynccontextmanager
async def small_window(service: Service) -> AsyncIterator[Streams]:
    """A connection whose reader takes little into its buffers."""
    where = urlsplit(service.address)
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, (where.hostname, where.port))
    reader, writer = await asyncio.open_connection(sock=plug, limit=1024)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
