"""Services for the tests of HTTP: one for all tests of a file, or one for a test alone."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiohttp import web

from poster_service.render import store
from poster_service.web import shared_rates
from tests.conftest import SETTLE_SECONDS
from tests.web import redis_server
from tests.web.service import GUARD, Service, SharedService, running

__all__ = ["Service", "StartService"]


class StartService(Protocol):
    """Starts a service with settings of its own."""

    def __call__(self, **settings: Any) -> Awaitable[Service]:
        """Start it; after the test it is stopped, and nothing of it may be left."""
        ...


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let a test that uses no service block its loop, although the file's service still runs."""
    values = getattr(item, "funcargs", {})
    uses_service = "start_service" in values or any(
        isinstance(value, Service) for value in values.values()
    )
    if uses_service:
        return (yield)
    with GUARD.paused():
        return (yield)


@pytest.fixture
async def start_service(work_dir: Path) -> AsyncIterator[StartService]:
    """A factory of services, which are stopped after the test and searched for leftovers."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**changes: Any) -> Service:
            return await stack.enter_async_context(running(**{"work_dir": work_dir, **changes}))

        yield start


@pytest.fixture
async def fresh_service(start_service: StartService) -> Service:
    """A service for this test alone: for tests that count from zero, break it or stop it."""
    return await start_service()


@pytest.fixture(scope="module")
async def shared_service() -> AsyncIterator[SharedService]:
    """The service behind the fixture `service`; stopped after the last test of the file."""
    shared = SharedService()
    yield shared
    await shared.stop()


@pytest.fixture
async def service(shared_service: SharedService) -> AsyncIterator[Service]:
    """A service that all tests of a file share; each test must leave it at rest.

    At rest, one Chrome is ready and no other process, zombie or folder is there. After a test that
    leaves more, the test fails and the next one gets another service.
    """
    async with shared_service.lent() as found:
        yield found


@pytest.fixture
def serve_pages() -> Callable[..., Any]:
    """A small web server on loopback that answers with given handlers."""

    @contextlib.asynccontextmanager
    async def serve(**pages: Any) -> AsyncIterator[str]:
        app = web.Application()
        for name, handler in pages.items():
            app.router.add_route("*", f"/{name}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    return serve


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis_server.Server]:
    """A Redis of this test's own, for whose answers the service waits as a test does.

    With the service's own 0.25 s a busy machine makes a hit a miss; a test that takes Redis away
    sets `COMMAND_SECONDS` back for as long as it is away.
    """
    if redis_server.SERVER is None:
        pytest.skip("no Redis here: apt-get install redis-tools")
    for module in (store, shared_rates):
        monkeypatch.setattr(module, "COMMAND_SECONDS", SETTLE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        server = redis_server.Server(Path(folder))
        yield server
        server.stop()
