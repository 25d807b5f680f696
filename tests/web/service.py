"""A whole service in this process, over real Chrome, and the search for what it leaves."""

import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from blockbuster import BlockBuster

from poster_service.engine import Engine
from poster_service.process import census
from poster_service.render.markup import Entry, Templates
from poster_service.settings import Settings
from poster_service.web.app import make_app
from poster_service.web.protocol import address_of, open_site
from poster_service.web.service import Service as HttpService
from tests.bundled import FEW
from tests.conftest import left, settled, short_folder


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

    async def pictures(self, outputs: list[dict[str, Any]], **options: Any) -> list[bytes]:
        """Several outputs of one render that must succeed, in their order."""
        answer = await self.client.post(
            f"{self.address}/render",
            json={**options, "outputs": outputs},
            headers={"Accept": "application/json"},
        )
        assert answer.status == 200, await answer.text()
        return [base64.b64decode(one["data"]) for one in (await answer.json())["outputs"]]

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
        return self.engine.pool.spec.instance_dir

    def counts(self) -> dict[str, int]:
        """Chromes by state."""
        return self.engine.pool.statistics().counts

    async def at_rest(self) -> bool:
        """Wait until there is one ready Chrome, and no process or folder but its own."""

        def rest() -> bool:
            counts = {state: number for state, number in self.counts().items() if number}
            if counts != {"ready": 1} or self.engine.admission.statistics().running:
                return False  # what is asked often is cheap, and /proc is read at the end only
            seen = census.snapshot(self.instance, self.home)
            leases = {one.lease for one in seen.alive}
            return len(leases) == 1 and len(seen.folders) == 1 and not seen.zombies

        return await settled(rest)


class LoopGuard:
    """Fails a test in which a service blocks its event loop.

    One guard for all services of this process: two would replace each other's hooks. It pauses
    while a service starts or stops, because then it may read and write files.
    """

    def __init__(self) -> None:
        self._blockbuster = _no_blocking()
        self._running = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while a service runs."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not watch while a service starts or stops; watch again when one runs."""
        self._blockbuster.deactivate()
        try:
            yield
        finally:
            if self._running:
                self._blockbuster.activate()


def _no_blocking() -> BlockBuster:
    blockbuster = BlockBuster("poster_service")
    for function in blockbuster.functions.values():
        # Fork and exec of a shim, 1 to 2 ms, which must happen in the loop's own thread: the
        # parent-death signal follows the thread. The rest is a folder made and small files on
        # a local disk, shorter than handing them to a thread.
        function.can_block_in("poster_service/process/spawn.py", {"start", "shim_left"})
        function.can_block_in("poster_service/browser/chrome.py", {"_launch"})
        function.can_block_in("poster_service/browser/pool.py", {"close"})
        function.can_block_in("poster_service/process/instance_dir.py", {"is_there"})
        function.can_block_in("poster_service/render/page_files.py", {"template_file"})
        # redis-py reads its version for each connection of docket's, of which there are a few.
        function.can_block_in("redis/utils.py", {"get_lib_version"})
        # The tests' own searches; the service takes its census in a thread.
        function.can_block_in("poster_service/process/census.py", {"snapshot", "tagged", "inspect"})
    return blockbuster


GUARD = LoopGuard()
#: What reading the templates of `FEW` came to, by their names.
_READ: dict[str, Entry] = {}


def _templates_of(settings: Settings) -> Templates | None:
    """The templates of `FEW`, which only the first service of this process reads.

    These files do not change meanwhile, and reading them took two thirds of the CPU that a start
    takes in this process; there are hundreds of starts.
    """
    if settings.templates != FEW:
        return None
    templates = Templates(FEW, settings.max_data_values, _READ)
    _READ.update(templates.entries)
    return templates


@contextlib.asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[Service]:
    """A service with the settings of these tests and some changes; nothing may be left of it."""
    # Every request of these tests renders, except in the tests of the cache.
    # The pool keeps one Chrome ready and no more, however slow the machine: `at_rest` counts on it.
    given = {
        "ready_chromes": 1,
        "max_ready_chromes": 1,
        "concurrency": 2,
        "cache_bytes": 0,
        "templates": FEW,
        **changes,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(GUARD.paused())
        settings = Settings(**given)
        server = HttpService.build(settings, _templates_of(settings))
        spec = server.engine.pool.spec
        await server.start()
        listener = socket.create_server(("127.0.0.1", 0))
        runner = await open_site(make_app(server), listener, server.connections, settings)
        try:
            async with aiohttp.ClientSession() as client:
                with GUARD.watching():
                    stack.close()
                    yield Service(server, address_of(listener), client)
        finally:
            with GUARD.paused():
                await server.stop()
                await runner.cleanup()
            assert left(spec.instance, spec.instance_dir) == [], "something was left behind"


@contextlib.asynccontextmanager
async def running_in_own_folder(**changes: Any) -> AsyncIterator[Service]:
    """The same in a work folder of its own, for services that serve more than one test."""
    with short_folder() as work_dir:
        async with running(work_dir=work_dir, **changes) as service:
            yield service


class SharedService:
    """A service for many tests of a file; started when first needed."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes
        self._stack = contextlib.AsyncExitStack()
        self._service: Service | None = None

    async def get(self) -> Service:
        """The running service."""
        if self._service is None:
            running_ = running_in_own_folder(**self._changes)
            self._service = await self._stack.enter_async_context(running_)
        return self._service

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[Service]:
        """The service for one test, which must leave it at rest.

        After a test that leaves more than a ready Chrome, the test fails and the next one gets
        another service.
        """
        found = await self.get()
        yield found
        if not await found.at_rest():
            await self.stop()
            pytest.fail("the test did not leave its service at rest")

    async def stop(self) -> None:
        """Stop it, if it runs; the next test gets another."""
        self._service = None
        await self._stack.aclose()
