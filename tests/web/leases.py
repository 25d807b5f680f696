"""A service with a render under way, and the Chrome that has its lease."""

import asyncio
from typing import Any

import psutil

from poster_service.process import census
from tests.conftest import is_shim, settled
from tests.web.conftest import Service

#: A page that computes for ever.
ENDLESS = "<!doctype html><script>for (;;) {}</script>"
#: What a render waits for, for as long as it may, and computes nothing.
WAITS = {"wait_for": {"expression": "new Promise(() => {})"}}


def chrome_of(service: Service, kind: str | None) -> psutil.Process:
    """The leased Chrome's process of a kind ("renderer"); None is the browser process.

    Searches only processes with the tag of this service; Chrome's `--type` switch gives the kind.
    """
    ready = min(one.lease for one in census.tagged(service.instance))
    for one in census.tagged(service.instance):
        try:
            process = psutil.Process(one.pid)
            words = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        types = [word for word in words if word.startswith("--type=")]
        found = types == [f"--type={kind}"] if kind else not types and not is_shim(one.pid)
        if one.lease == ready and found:
            return process
    raise AssertionError(f"no {kind or 'browser'} process")


async def leased(service: Service) -> None:
    """Wait until a render has its Chrome."""
    assert await settled(lambda: service.counts()["leased"] == 1)


async def busy(service: Service, **options: Any) -> "asyncio.Task[Any]":
    """A render that has the only leased Chrome and does not end by itself.

    It waits, unless `html` is a page that computes.
    """
    assert await service.at_rest()
    given = options if "html" in options else {"html": "<p>waits", **WAITS, **options}
    task = asyncio.create_task(service.render(**given))
    await leased(service)
    return task
