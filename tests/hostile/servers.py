"""The web of those who mean harm: redirectors, bombs, endless and slow bodies, wrong types."""

import asyncio
import contextlib
import functools
import itertools
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from aiohttp import web

GREEN_SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20'>"
    "<rect width='20' height='20' fill='#00ff00'/></svg>"
)
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@functools.cache
def png(width: int, height: int) -> bytes:
    """A valid PNG of one colour, a pixel a bit: 30,000 x 30,000 are 110 KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
        )

    row = b"\0" + b"\xff" * ((width + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack("!IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@functools.cache
def bomb(megabytes: int) -> bytes:
    """Zeros, gzipped: a thousandth of what they become."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


class HostileServers:
    """Every page of theirs, on one port; `hits` is what was asked for, `plain` what in http."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.plain: list[str] = []
        #: Pages of a test's own by path: HTML and headers.
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        self._runner: web.AppRunner | None = None

    async def start(
        self, addresses: Sequence[str], ports: Mapping[int, ssl.SSLContext | None]
    ) -> None:
        """Serve on these addresses and ports, some with TLS."""
        app = web.Application()
        app.router.add_route("*", "/{page}{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
        await self._runner.setup()
        for address, (port, secure) in itertools.product(addresses, ports.items()):
            await web.TCPSite(self._runner, address, port, ssl_context=secure).start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.hits.append(f"{request.method} {request.host}{request.path_qs}")
        if not request.secure:
            self.plain.append(self.hits[-1])
        if request.path in self.pages:
            html, headers = self.pages[request.path]
            return web.Response(text=html, content_type="text/html", headers=headers)
        handler = getattr(self, f"page_{request.match_info['page'].split('.')[0]}", None)
        if handler is None:
            return web.Response(status=404, headers=ANY_ORIGIN)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def page_green(self, _: web.Request) -> web.StreamResponse:
        """What a picture should be."""
        return web.Response(text=GREEN_SVG, content_type="image/svg+xml", headers=ANY_ORIGIN)

    async def page_go(self, request: web.Request) -> web.StreamResponse:
        """Elsewhere, with a status of the page's choosing."""
        status = int(request.query.get("status", "302"))
        return web.Response(status=status, headers={"Location": request.query["to"], **ANY_ORIGIN})

    async def page_round(self, request: web.Request) -> web.StreamResponse:
        """To itself, without an end."""
        number = int(request.query.get("n", "0")) + 1
        return web.Response(status=302, headers={"Location": f"/round?n={number}", **ANY_ORIGIN})

    async def page_hops(self, request: web.Request) -> web.StreamResponse:
        """So many redirects, then green."""
        number = int(request.query["n"])
        if not number:
            return await self.page_green(request)
        return web.Response(status=302, headers={"Location": f"/hops?n={number - 1}", **ANY_ORIGIN})

    async def page_slow(self, request: web.Request) -> web.StreamResponse:
        """Green, after a while."""
        await asyncio.sleep(int(request.query.get("ms", "300")) / 1000)
        return await self.page_green(request)

    async def page_silent(self, _: web.Request) -> web.StreamResponse:
        """Never a word."""
        await asyncio.sleep(3600)
        return web.Response()

    async def _stream(
        self, request: web.Request, chunks: AsyncIterator[bytes], **headers: str
    ) -> web.StreamResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = web.StreamResponse(headers={**ANY_ORIGIN, **given})
        with contextlib.suppress(ConnectionError):
            await answer.prepare(request)
            async for chunk in chunks:
                await answer.write(chunk)
                # Where TLS and sockets take all, `write` never waits, and the loop that is shared
                # with the service under test would not run until memory is full.
                await asyncio.sleep(0)
        return answer

    async def page_drip(self, request: web.Request) -> web.StreamResponse:
        """A byte now and then, for ever."""

        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.1)

        return await self._stream(request, chunks(), Content_Type="image/png")

    async def page_endless(self, request: web.Request) -> web.StreamResponse:
        """As much as one likes to take."""

        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 65536

        return await self._stream(request, chunks(), Content_Type="text/css")

    async def page_big(self, request: web.Request) -> web.StreamResponse:
        """So many megabytes."""

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(int(request.query["mb"])):
                yield b" " * (1 << 20)

        return await self._stream(request, chunks(), Content_Type="text/css")

    async def page_bomb(self, request: web.Request) -> web.StreamResponse:
        """A gigabyte in a megabyte; `?coding=` names the coding."""
        coding = request.query.get("coding", "gzip")
        body = await asyncio.to_thread(bomb, int(request.query.get("mb", "300")))
        headers = {"Content-Encoding": coding, **ANY_ORIGIN}
        return web.Response(body=body, content_type="text/css", headers=headers)

    async def page_pixels(self, request: web.Request) -> web.StreamResponse:
        """A picture of so many pixels a side."""
        side = int(request.query["side"])
        body = await asyncio.to_thread(png, side, side)
        return web.Response(body=body, content_type="image/png", headers=ANY_ORIGIN)

    async def page_typed(self, request: web.Request) -> web.StreamResponse:
        """Any body with any type and any header."""
        headers = {**ANY_ORIGIN}
        for pair in request.query.getall("header", []):
            name, _, value = pair.partition("=")
            headers[name] = value
        body = request.query.get("body", "").encode()
        return web.Response(
            body=body, headers={**headers, "Content-Type": request.query.get("type", "text/html")}
        )

    async def page_auth(self, _: web.Request) -> web.StreamResponse:
        """Asks for a password."""
        return web.Response(
            status=401, headers={"WWW-Authenticate": 'Basic realm="x"', **ANY_ORIGIN}
        )

    async def page_endlessheaders(self, request: web.Request) -> web.StreamResponse:
        """Headers without an end."""
        transport = request.transport
        assert transport is not None
        transport.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(ConnectionError):
            while not transport.is_closing():
                transport.write(b"X-More: " + b"y" * 4000 + b"\r\n")
                await asyncio.sleep(0)
                if transport.get_write_buffer_size() > 1 << 20:
                    await asyncio.sleep(0.01)
        raise web.HTTPInternalServerError

    async def page_early(self, request: web.Request) -> web.StreamResponse:
        """Early hints without an end."""
        transport = request.transport
        assert transport is not None
        with contextlib.suppress(ConnectionError):
            while not transport.is_closing():
                transport.write(
                    b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" * 100
                )
                await asyncio.sleep(0.01)
        raise web.HTTPInternalServerError
