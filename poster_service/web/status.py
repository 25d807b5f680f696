"""GET /status: census, pool and gauges, as JSON; in a browser a page that shows them, live.

The service takes this census of itself; the load test takes one from outside. The page has no
figure in it, so it needs no token; its script fetches the JSON, which does where there are tokens.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from poster_service import __version__
from poster_service.errors import QueueUnavailable
from poster_service.jobs.service import Jobs
from poster_service.process import census
from poster_service.web import built
from poster_service.web.accept import wants_html
from poster_service.web.connections import Connections
from poster_service.web.headers import SCRIPTED_CSP, page
from poster_service.web.service import SERVICE, Service

#: Where it is served.
PATH = "/status"


async def status(request: web.Request) -> web.Response:
    """GET /status: JSON, or HTML for a browser (`Accept: text/html` or `?format=html`)."""
    service = request.app[SERVICE]
    if not wants_html(request):
        found = await asyncio.to_thread(gather, service)
        return web.json_response({**found, "jobs": await jobs(service.jobs)})
    guarded = bool(service.tokens.entries) and not service.settings.metrics_unauthenticated
    links = built.links(request.app)
    html = await asyncio.to_thread(
        built.written, "status.html", here="Status", links=links, guarded=guarded
    )
    return page(html, SCRIPTED_CSP)


def gather(service: Service) -> dict[str, Any]:
    """The whole status. Reads /proc for 1 to 10 ms: call it from a thread."""
    spec = service.engine.pool.spec
    known = service.engine.pool.chromes()
    seen = census.snapshot(spec.instance, spec.instance_dir)
    known |= service.engine.pool.chromes()  # those that began or ended meanwhile are known too
    books = service.engine.pool.statistics()
    return {
        "version": __version__,
        "instance": f"{spec.instance:x}",
        "chrome": {
            "program": spec.program.name,
            "sandbox": spec.sandbox.value,
            "user": str(spec.user or f"{os.geteuid()}:{os.getegid()}"),
        },
        "service": own_process(),
        "readiness": dict(service.engine.checks()),
        "renders": service.counters.summary(),
        "leases": leases(seen, known),
        "census": alive(seen),
        "pool": asdict(books) | {"survivors": [process_info(one) for one in books.survivors]},
        "isolation": isolation(service),
        "admission": {
            **asdict(service.engine.admission.statistics()),
            "max_running": service.settings.concurrency,
        },
        "cache": service.engine.cache.statistics(),
        "asset_cache": service.engine.fetcher.cache.statistics(),
        "connections": connections(service.connections),
        "templates": {
            "names": [one["name"] for one in service.engine.templates.list()],
            "faults": list(service.engine.templates.faults()),
        },
        "buffers": service.engine.buffers.statistics(),
        "watchdog": {
            "stalls": service.engine.watchdog.stalls,
            "longest_seconds": round(service.engine.watchdog.longest, 3),
            "pauses": service.engine.watchdog.pauses,
        },
    }


def alive(seen: census.Census) -> dict[str, Any]:
    """Processes, zombies, folders and shared memory of this instance."""
    return {
        "alive": len(seen.alive),
        "zombies": [process_info(one) for one in seen.zombies],
        "folders": list(seen.folders),
        "shared_memory": shared_memory(),
        "memory_bytes": sum(one.memory for one in seen.alive),
        "milliseconds": round(seen.seconds * 1000, 2),
    }


def isolation(service: Service) -> dict[str, Any]:
    """The isolation levels, and Chromes, warm pages and renders of each."""
    return {
        "html": service.settings.isolation,
        "templates": service.settings.template_isolation,
        "chromes": service.engine.pool.counts(),
        "warm_pages": service.engine.pool.warm(),
        "renders": dict(service.engine.renderer.renders),
    }


async def jobs(counted: Jobs) -> dict[str, Any]:
    """The queue of jobs, which all replicas share, and what became of those that ran here."""
    runner = counted.runner
    here = {
        "running_here": 0 if runner is None else runner.active.count,
        "outcomes_here": {} if runner is None else dict(runner.outcomes),
    }
    try:
        return {"reachable": True, **asdict(await counted.state()), **here}
    except QueueUnavailable:
        return {"reachable": False, **here}


def connections(counted: Connections) -> dict[str, int]:
    """How many connections are open, allowed, and were refused or replaced."""
    return {
        "open": counted.open,
        "limit": counted.limit,
        "refused": counted.refused,
        "replaced": counted.replaced,
        "limit_per_peer": counted.per_peer,
    }


def leases(seen: census.Census, known: Mapping[int, str]) -> list[dict[str, Any]]:
    """The process tree of each lease: the shim first, each process under its parent.

    Args:
        seen: The processes.
        known: The state of each Chrome of the pool by its number. A lease without one was left
            behind; its state is null.
    """
    states = {number % (1 << census.LEASE_BITS): state for number, state in known.items()}
    found: dict[int, list[census.Seen]] = {}
    for one in (*seen.alive, *seen.zombies):
        found.setdefault(one.lease, []).append(one)
    return [
        {
            "lease": lease,
            "state": states.get(lease),
            "memory_bytes": sum(one.memory for one in members),
            "processes": list(tree(members)),
        }
        for lease, members in sorted(found.items())
    ]


def tree(members: list[census.Seen]) -> list[dict[str, Any]]:
    """Members depth first, with their depth; a process whose parent is not a member is a root."""
    pids = {one.pid for one in members}
    below: dict[int, list[census.Seen]] = {}
    for one in sorted(members, key=lambda member: member.pid):
        below.setdefault(one.parent if one.parent in pids else 0, []).append(one)
    ordered: list[dict[str, Any]] = []

    def walk(parent: int, depth: int) -> None:
        for one in below.get(parent, ()):
            ordered.append(process_info(one) | {"depth": depth})
            walk(one.pid, depth + 1)

    walk(0, 0)
    return ordered


def process_info(one: census.Seen) -> dict[str, Any]:
    """One process; the parent of a zombie is the process that fails to wait for it."""
    return {
        "pid": one.pid,
        "name": one.name,
        "state": one.state,
        "parent": one.parent,
        "memory_bytes": one.memory,
        "age_seconds": round(time.time() - one.started, 1),
    }


def own_process() -> dict[str, Any]:
    """This process: what grows here is a leak too."""
    process = psutil.Process()
    return {
        "pid": process.pid,
        "init_pid": os.environ.get("POSTER_INIT_PID"),
        "memory_bytes": process.memory_info().rss,
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "age_seconds": round(time.time() - process.create_time(), 1),
    }


def shared_memory() -> list[str]:
    """What Chromes left in /dev/shm, by Chrome's own prefixes."""
    folder = Path("/dev/shm")  # noqa: S108 - looked at, not written to
    if not folder.is_dir():
        return []
    prefixes = (".org.chromium.", "org.chromium.", ".com.google.Chrome.", "com.google.Chrome.")
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(prefixes))
