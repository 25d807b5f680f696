"""GET /metrics: everything counted, and everything that can be seen now, for Prometheus.

What must be zero is a gauge of its own (`poster_zombies`, `poster_survivors`, `poster_leftovers`),
so that an alert on it needs no arithmetic.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from poster_service import __version__, logs
from poster_service.process import census
from poster_service.web.service import SERVICE, Service
from poster_service.web.status import own_process, shared_memory


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics: in Prometheus' text format."""
    text = await asyncio.to_thread(exposition, request.app[SERVICE])
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def exposition(service: Service) -> bytes:
    """All metrics as text. Reads /proc, 1 to 50 ms: call it from a thread."""
    now = CollectorRegistry()
    now.register(_Now(service))
    return generate_latest(service.counters.registry) + generate_latest(now)


class _Now(Collector):
    """What is looked at and not kept."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        yield from about(self._service)
        yield from load(self._service)
        yield from caches(self._service)
        yield from chromes(self._service)
        yield from remains(self._service)
        yield from orphans(read_ledger())


def about(service: Service) -> Iterator[Metric]:
    """Which service this is, and whether it is fit to serve."""
    told = GaugeMetricFamily("poster_info", "Always 1.", labels=["version", "chrome", "sandbox"])
    spec = service.engine.pool.spec
    told.add_metric([__version__, spec.program.name, spec.sandbox.value], 1)
    yield told
    started = psutil.Process().create_time()
    yield gauge("poster_start_time_seconds", "When this service started, since the epoch.", started)
    yield gauge(
        "poster_ready", "Whether /readyz says 200.", float(all(service.engine.checks().values()))
    )
    yield gauge(
        "poster_event_loop_longest_stall_seconds",
        "Longest time for which the event loop was stuck, since the start.",
        service.engine.watchdog.longest,
    )
    yield counter(
        "poster_event_loop_stalls",
        "How often the event loop was stuck for longer than POSTER_STALL_WARN_SECONDS.",
        service.engine.watchdog.stalls,
    )
    yield counter(
        "poster_process_pauses",
        "How often the whole process did not run for longer than POSTER_STALL_WARN_SECONDS:"
        " stopped, frozen or without CPU.",
        service.engine.watchdog.pauses,
    )
    yield counter(
        "poster_log_lines_dropped", "Log lines dropped because nothing read them.", logs.dropped()
    )


def load(service: Service) -> Iterator[Metric]:
    """The gate: what runs and waits, and how much may. Scale on these."""
    now, settings = service.engine.admission.statistics(), service.settings
    yield gauge(
        "poster_renders_running", "Renders that hold a slot, cleaning included.", now.running
    )
    yield gauge("poster_renders_waiting", "Renders that wait for a slot.", now.waiting)
    yield gauge("poster_slots", "Renders that may run at once.", settings.concurrency)
    yield gauge("poster_queue_slots", "Renders that may wait.", settings.queue_size)
    yield counter("poster_renders_refused", "Renders told to come back later.", now.refused)
    yield gauge(
        "poster_callers_waiting", "Different callers with a render that waits.", now.callers
    )
    doors = service.connections
    yield gauge("poster_connections", "Open connections.", doors.open)
    yield counter(
        "poster_connections_refused",
        "Connections refused: over POSTER_MAX_CONNECTIONS, or over POSTER_MAX_PEER_CONNECTIONS.",
        doors.refused,
    )
    yield counter(
        "poster_connections_replaced",
        "Idle connections that were closed to make room for new ones.",
        doors.replaced,
    )
    yield from buffers(service.engine.buffers.statistics())


def buffers(now: dict[str, float]) -> Iterator[Metric]:
    """The memory of bodies and pictures in transit."""
    yield gauge(
        "poster_buffer_bytes", "Memory of request bodies and pictures in transit, in bytes.",
        now["used_bytes"],
    )  # fmt: skip
    yield gauge(
        "poster_buffer_limit_bytes", "The most that they may take, POSTER_BUFFER_BYTES.",
        now["limit_bytes"],
    )  # fmt: skip
    yield counter(
        "poster_buffer_refusals", "Bodies refused with 503 because the buffers were full.",
        now["refused"],
    )  # fmt: skip
    yield counter(
        "poster_buffer_evictions",
        "Stalled senders and readers that were cut off because others needed their room.",
        now["evicted"],
    )


def caches(service: Service) -> Iterator[Metric]:
    """What was not painted or fetched again, and what is held for that."""
    pictures, assets = service.engine.cache.statistics(), service.engine.fetcher.cache.statistics()
    yield counters(
        "poster_cache_answers", "Pictures answered, by the word of X-Cache.", "outcome",
        pictures["answers"],
    )  # fmt: skip
    if "redis" in pictures:
        yield counters(
            "poster_cache_redis", "What was asked of POSTER_REDIS_URL, by what came of it.",
            "outcome", pictures["redis"],
        )  # fmt: skip
    yield counters(
        "poster_asset_cache_fetches", "Things that pages fetched, by how the cache took part.",
        "outcome", assets["fetches"],
    )  # fmt: skip
    held = {"pictures": pictures["bytes"], "assets": assets["bytes"]}
    yield labelled("poster_cache_bytes", "Bytes held in caches.", "of", held)


def chromes(service: Service) -> Iterator[Metric]:
    """The pool's books and what became of every Chrome."""
    books = service.engine.pool.statistics()
    yield labelled("poster_chromes", "Chromes by state.", "state", books.counts)
    yield gauge("poster_leases_waiting", "Renders that wait for a ready Chrome.", books.waiting)
    yield counter("poster_chromes_started", "Chromes that became ready.", books.started)
    yield counter(
        "poster_chrome_renewals", "Renders after which a Chrome was made ready for another.",
        books.renewed,
    )  # fmt: skip
    yield counter("poster_chrome_starts_failed", "Chromes that did not.", books.failed_starts)
    ended = CounterMetricFamily(
        "poster_chromes_ended",
        'Ended Chromes by cause: "asked" as usual, "exited" by itself, "term", "lost" and "late"'
        " those whose shim failed.",
        labels=["cause"],
    )
    for cause in ("asked", "exited", "term", "lost", "late"):
        ended.add_metric([cause], books.endings.get(cause, 0))
    yield ended
    yield counter("poster_chromes_ended_unclean", "Endings that needed a backstop.", books.unclean)
    yield gauge(
        "poster_survivors",
        "Processes that outlived SIGKILL and the backstops.",
        len(books.survivors),
    )


def remains(service: Service) -> Iterator[Metric]:
    """What the census sees: the living, the dead nobody waits for, what lies on disk; memory."""
    spec, own = service.engine.pool.spec, own_process()
    seen = census.snapshot(spec.instance, spec.instance_dir)
    leases = {str(one.lease) for one in seen.alive}
    yield gauge("poster_processes", "Living processes of leases.", len(seen.alive))
    yield gauge("poster_zombies", "Dead processes of leases not waited for.", len(seen.zombies))
    left = {
        # A folder of a lease that has no process any more; one about to be removed counts for
        # the moment that takes.
        "folder": sum(name not in leases for name in seen.folders),
        "shared_memory": len(shared_memory()),
        # Of earlier instances, tried again twice a minute.
        "earlier_instance": service.engine.pool.statistics().leftovers,
    }
    yield labelled("poster_leftovers", "Files left by leases that are over.", "kind", left)
    yield labelled(
        "poster_memory_bytes",
        "Resident memory (RSS) by whose it is; pages that Chromes share count for each.",
        "of",
        {
            "service": own["memory_bytes"],
            "init": memory_of_init(),
            "chromes": sum(one.memory for one in seen.alive),
        },
    )
    yield gauge("poster_open_descriptors", "Open descriptors.", own["descriptors"])


def orphans(ledger: dict[str, Any]) -> Iterator[Metric]:
    """What init has adopted and reaped, by name; nothing where init keeps no ledger."""
    if not ledger:
        return
    reaped = CounterMetricFamily(
        "poster_orphans_reaped", "Orphans that init adopted and reaped.", labels=["name"]
    )
    for name, account in ledger.get("by_command", {}).items():
        reaped.add_metric([name], account.get("reaped", 0))
    yield reaped
    yield counter(
        "poster_orphans_killed", "Of those, how many init had to kill at the end.",
        ledger.get("orphans_killed", 0),
    )  # fmt: skip


def read_ledger() -> dict[str, Any]:
    """Init's ledger (see `init.py`), {} where there is none or it cannot be read."""
    path = os.environ.get("POSTER_INIT_STATUS")
    if not path:
        return {}
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def memory_of_init() -> int:
    """Resident memory of the init in front of us, 0 where there is none in sight."""
    pid = os.environ.get("POSTER_INIT_PID", "")
    try:
        return int(psutil.Process(int(pid)).memory_info().rss)
    except (ValueError, psutil.Error):
        return 0


def gauge(name: str, about: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, about, value)


def counter(name: str, about: str, value: float) -> Metric:
    """A counter without labels; its sample's name ends in _total."""
    return CounterMetricFamily(name, about, value)


def counters(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    """A counter with one label."""
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def labelled(name: str, about: str, label: str, values: dict[str, Any]) -> Metric:
    """A gauge with one label."""
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
