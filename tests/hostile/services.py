"""The services of a hostile world: started when they are asked for, each with its settings.

The two that were used last go on running. A file's tests go back and forth between the settings of
their world and some of their own, and to start a service takes a second of CPU.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from poster_service.settings import Settings
from poster_service.web.app import make_app
from poster_service.web.service import Service
from tests.bundled import FEW
from tests.leftovers import left

#: How many may run at a time.
MOST = 2


@dataclass(frozen=True)
class Running:
    """A service, and the socket at which it listens."""

    service: Service
    runner: web.AppRunner
    socket: str

    async def stop(self) -> None:
        """Stop it, and see that nothing of it is left."""
        await self.service.stop()
        await self.runner.cleanup()
        spec = self.service.engine.pool.spec
        assert left(spec.instance, spec.instance_dir) == []


class Services:
    """Those that run, by their settings; the one that was used last is the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Running] = {}
        self._started = 0

    async def get(self, settings: dict[str, Any], *, alone: bool) -> Running:
        """The service with these settings.

        Args:
            settings: Of the service.
            alone: Whether no other may run: what is counted is counted in the whole process.
        """
        key = json.dumps(settings, sort_keys=True)
        found = self._running.pop(key, None)
        await self._keep(0 if alone else MOST - 1)
        self._running[key] = found or await self._start(settings)
        return self._running[key]

    async def end(self) -> None:
        """Stop all of them."""
        await self._keep(0)

    async def _keep(self, count: int) -> None:
        """Stop those that were not used for longest, until so many are left."""
        while len(self._running) > count:
            await self._running.pop(next(iter(self._running))).stop()

    async def _start(self, settings: dict[str, Any]) -> Running:
        given = {
            "work_dir": str(self._folder / "l"),
            "concurrency": 2,
            "max_ready_chromes": 1,
            "cache_bytes": 0,
            "templates": FEW,
            **settings,
        }
        service = Service.build(Settings(**given))
        await service.start()
        runner = web.AppRunner(make_app(service), access_log=None, handler_cancellation=True)
        await runner.setup()
        self._started += 1
        running = Running(service, runner, str(self._folder / f"http{self._started}"))
        await web.UnixSite(runner, running.socket).start()
        return running
