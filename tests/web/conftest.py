"""A whole service in this process, over real Chrome; and the promise checked after each test."""

import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from blockbuster import BlockBuster, blockbuster_ctx

from poster_service.engine import Engine
from poster_service.process import census
from poster_service.settings import Settings
from poster_service.web.app import make_app
from poster_service.web.protocol import address_of, open_site
from poster_service.web.service import Service as HttpService
from tests.conftest import left, settled
from tests.web import redis_server


@dataclass
class Service:
    """A running service and a client of it."""

    server: HttpService
    address: str
    client: aiohttp.ClientSession

    async def render(self, **options: Any) -> aiohttp.ClientResponse:
        """POST /render with JSON; the body is read already."""
        response = await self.client.post(f"{self.address}/render", json=options)
        await response.read()
        return response

    async def picture(self, **options: Any) -> bytes:
        """The bytes of a render that must succeed."""
        response = await self.render(**options)
        assert response.status == 200, await response.text()
        return await response.read()

    async def get(self, path: str) -> aiohttp.ClientResponse:
        """GET; the body is read already."""
        response = await self.client.get(f"{self.address}{path}")
        await response.read()
        return response

    @property
    def engine(self) -> Engine:
        """What renders, below HTTP."""
        return self.server.engine

    @property
    def instance(self) -> int:
        """The number in this service's tags."""
        return self.engine.pool.spec.instance

    @property
    def home(self) -> Path:
        """Where its lease folders are."""
        return self.engine.pool.spec.home

    def counts(self) -> dict[str, int]:
        """Chromes by state."""
        return self.engine.pool.statistics().counts

    async def at_rest(self) -> bool:
        """Wait until there is one ready Chrome, and no process or folder but its own."""

        def rest() -> bool:
            seen = census.take(self.instance, self.home)
            leases = {one.lease for one in seen.alive}
            counts = {state: number for state, number in self.counts().items() if number}
            alone = len(leases) == 1 and len(seen.folders) == 1 and not seen.zombies
            return (
                counts == {"ready": 1} and alone and not self.engine.admission.statistics().running
            )

        return await settled(rest)


class StartService(Protocol):
    """Starts a service with settings of its own."""

    def __call__(self, **settings: Any) -> Awaitable[Service]:
        """Start it; it is stopped, and seen gone, after the test."""
        ...


@pytest.fixture
async def start_service(work_dir: Path) -> AsyncIterator[StartService]:
    """A factory of services, each searched for leftovers when the test is over."""
    guards: list[BlockBuster] = []
    async with contextlib.AsyncExitStack() as undo:

        async def start(**changes: Any) -> Service:
            # Each request of these tests is a render, but for those about the cache.
            given = {
                "work_dir": work_dir,
                "concurrency": 2,
                "ready_chromes": 1,
                "cache_bytes": 0,
                **changes,
            }
            # A second one may read its files while it starts, too; its guard is one for both.
            for guard in guards:
                guard.deactivate()
            return await undo.enter_async_context(_running(Settings(**given), guards))

        yield start


@contextlib.asynccontextmanager
async def _running(settings: Settings, guards: list[BlockBuster]) -> AsyncIterator[Service]:
    server = HttpService.build(settings)
    spec = server.engine.pool.spec
    await server.start()
    listener = socket.create_server(("127.0.0.1", 0))
    runner = await open_site(make_app(server), listener, server.connections, settings)
    try:
        async with aiohttp.ClientSession() as client:
            with the_loop_must_not_block() as guard:
                guards.append(guard)
                yield Service(server, address_of(listener), client)
    finally:
        await server.stop()
        await runner.cleanup()
        assert left(spec.instance, spec.home) == [], "something was left behind"


@contextlib.contextmanager
def the_loop_must_not_block() -> Iterator[BlockBuster]:
    """Fail a test in which the service blocks its event loop, but for the calls named here."""
    with blockbuster_ctx("poster_service") as blockbuster:
        for function in blockbuster.functions.values():
            # Fork and exec of a shim, 1 to 2 ms, which must happen in the loop's own thread: the
            # parent-death signal follows the thread. The rest is a folder made and small files on
            # a local disk, shorter than handing them to a thread.
            function.can_block_in("poster_service/process/spawn.py", {"start", "shim_left"})
            function.can_block_in("poster_service/browser/chrome.py", {"_launch"})
            function.can_block_in("poster_service/browser/pool.py", {"close"})
            function.can_block_in("poster_service/process/instance_dir.py", {"is_there"})
            function.can_block_in("poster_service/fetch/client.py", {"asset"})
            # The tests' own searches; the service takes its census in a thread.
            function.can_block_in("poster_service/process/census.py", {"take", "tagged", "_look"})
        yield blockbuster


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service with the defaults of these tests."""
    return await start_service()


@pytest.fixture
def serve_pages() -> Callable[..., Any]:
    """A small web server on loopback that answers with given handlers."""

    @contextlib.asynccontextmanager
    async def serve(**pages: Any) -> AsyncIterator[str]:
        app = web.Application()
        for name, handler in pages.items():
            app.router.add_route("*", f"/{name}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    return serve


@pytest.fixture
def redis() -> Iterator[redis_server.Server]:
    """A Redis of this test's own."""
    if redis_server.SERVER is None:
        pytest.skip("no Redis here: apt-get install redis-tools")
    with tempfile.TemporaryDirectory() as folder:
        server = redis_server.Server(Path(folder))
        yield server
        server.stop()
