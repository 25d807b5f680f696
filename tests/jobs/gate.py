"""A job that waits until its test lets it go on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from tests.jobs.waiting import until
from tests.unit.fetching import serving


class Gate:
    """A server whose answer a page waits for until it is opened; it counts the pages."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()

    async def handler(self, _: web.Request) -> web.Response:
        """Answer when the gate is open."""
        self.asked += 1
        await self.open.wait()
        return web.Response(body=b"", content_type="text/css")

    async def until_asked(self, times: int) -> None:
        """Wait until so many pages have come."""

        async def have_come() -> bool:
            return self.asked >= times

        await until(have_come)


@contextlib.asynccontextmanager
async def gated() -> AsyncIterator[tuple[Gate, dict[str, object]]]:
    """A gate, and a job that waits before it."""
    gate = Gate()
    async with serving(gate.handler) as address:
        link = f"<link rel=stylesheet href='{address}'><p>waits"
        try:
            yield gate, {"html": link, "width": 20, "height": 10, "timeout_ms": 60_000}
        finally:
            gate.open.set()  # else the server would wait for its answers
