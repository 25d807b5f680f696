"""GET /metrics: counters, and gauges read at the moment of the scrape, for Prometheus.

What must be zero has a metric of its own (`poster_zombies`, `poster_survivors`,
`poster_leftovers`), so that an alert on it needs no arithmetic.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from poster_service import __version__, logs
from poster_service.errors import QueueUnavailable
from poster_service.jobs.record_store import QueueState
from poster_service.process import census
from poster_service.watchdog import Watchdog
from poster_service.web.accept import preferred
from poster_service.web.metric_families import counter, counters, gauge, labelled
from poster_service.web.service import SERVICE, Service
from poster_service.web.status import own_process, shared_memory

#: What a scraper names that reads exemplars.
OPENMETRICS = "application/openmetrics-text"
#: The end of a text in OpenMetrics.
EOF = b"# EOF\n"


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics: in Prometheus' text format, or as OpenMetrics, which has exemplars."""
    is_open = preferred(request, (OPENMETRICS,), "text/plain") == OPENMETRICS
    service = request.app[SERVICE]
    try:
        queue = await service.jobs.state()
    except QueueUnavailable:
        queue = None
    text = await asyncio.to_thread(exposition, service, queue, is_open=is_open)
    kind = openmetrics.CONTENT_TYPE_LATEST if is_open else CONTENT_TYPE_PLAIN_0_0_4
    return web.Response(body=text, headers={"Content-Type": kind, hdrs.VARY: hdrs.ACCEPT})


def exposition(service: Service, queue: QueueState | None, *, is_open: bool = False) -> bytes:
    """All metrics as text, encoded. Reads /proc for 1 to 50 ms: call it from a thread.

    Args:
        service: Whose metrics.
        queue: The queue of its jobs; None while it does not answer.
        is_open: Whether the text is OpenMetrics, with exemplars.
    """
    now = CollectorRegistry()
    now.register(_Now(service, queue))
    if not is_open:
        return generate_latest(service.counters.registry) + generate_latest(now)
    counted = openmetrics.generate_latest(service.counters.registry)  # type: ignore[no-untyped-call]
    seen = openmetrics.generate_latest(now)  # type: ignore[no-untyped-call]
    return bytes(counted).removesuffix(EOF) + bytes(seen)


def text_of(*gauges: tuple[str, str, float]) -> web.Response:
    """Gauges without labels in Prometheus' text format: name, help, value."""
    lines = [
        f"# HELP {name} {about}\n# TYPE {name} gauge\n{name} {value:g}\n"
        for name, about, value in gauges
    ]
    headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    return web.Response(body="".join(lines).encode(), headers=headers)


class _Now(Collector):
    """Metrics read at the moment of the scrape."""

    def __init__(self, service: Service, queue: QueueState | None) -> None:
        self._service = service
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        yield from about(self._service)
        yield from load(self._service)
        yield from jobs(self._service, self._queue)
        yield from caches(self._service)
        yield from chromes(self._service)
        yield from remains(self._service)
        yield from orphans(read_ledger())


def about(service: Service) -> Iterator[Metric]:
    """Which service this is, and whether it can serve."""
    info = GaugeMetricFamily(
        "poster_info",
        "Version, Chrome and sandbox of the service as labels; the value is always 1.",
        labels=["version", "chrome", "sandbox"],
    )
    spec = service.engine.pool.spec
    info.add_metric([__version__, spec.program.name, spec.sandbox.value], 1)
    yield info
    started = psutil.Process().create_time()
    yield gauge(
        "poster_start_time_seconds",
        "Time at which the service started, in seconds since the Unix epoch.",
        started,
    )
    yield gauge(
        "poster_ready",
        "1 if /readyz returns 200, else 0.",
        float(all(service.engine.checks().values())),
    )
    yield counter(
        "poster_log_lines_dropped",
        "Log lines dropped because the reader of the log was too slow.",
        logs.dropped(),
    )
    yield from stalls(service.engine.watchdog)


def stalls(watchdog: Watchdog) -> Iterator[Metric]:
    """How often and how long the event loop was blocked."""
    yield gauge(
        "poster_event_loop_longest_stall_seconds",
        "Longest time for which the event loop was blocked since the service started, in seconds.",
        watchdog.longest,
    )
    yield counter(
        "poster_event_loop_stalls",
        "Times that the event loop was blocked for longer than POSTER_STALL_WARN_SECONDS.",
        watchdog.stalls,
    )
    yield counter(
        "poster_process_pauses",
        "Times that the service process did not run for longer than POSTER_STALL_WARN_SECONDS:"
        " stopped, frozen or without CPU time.",
        watchdog.pauses,
    )


def load(service: Service) -> Iterator[Metric]:
    """Admission: how many renders run and wait, and how many may. Autoscale on these."""
    now, settings = service.engine.admission.statistics(), service.settings
    yield gauge(
        "poster_renders_running", "Renders that hold a slot, clean-up included.", now.running
    )
    yield gauge("poster_renders_waiting", "Renders that wait in the queue for a slot.", now.waiting)
    yield gauge(
        "poster_slots", "Renders that may run at once, POSTER_CONCURRENCY.", settings.concurrency
    )
    yield gauge(
        "poster_queue_size",
        "Renders that may wait in the queue, POSTER_QUEUE_SIZE.",
        settings.queue_size,
    )
    yield counter(
        "poster_renders_refused",
        "Renders refused with 503 because the queue was full or the wait too long.",
        now.refused,
    )
    yield gauge(
        "poster_callers_waiting", "Callers with at least one render in the queue.", now.callers
    )
    connections = service.connections
    yield gauge("poster_connections", "Open client connections.", connections.open)
    yield counter(
        "poster_connections_refused",
        "Client connections refused by POSTER_MAX_CONNECTIONS or POSTER_MAX_PEER_CONNECTIONS.",
        connections.refused,
    )
    yield counter(
        "poster_connections_replaced",
        "Idle client connections closed to make room for new ones.",
        connections.replaced,
    )
    yield from buffers(service.engine.buffers.statistics())


def jobs(service: Service, queue: QueueState | None) -> Iterator[Metric]:
    """The queue of jobs, the same in all replicas and workers, and the jobs of this process."""
    yield gauge(
        "poster_jobs_connected", "1 while the queue of jobs answers, else 0.", queue is not None
    )
    if queue is not None:
        yield gauge("poster_jobs_queued", "Queued jobs of all replicas.", queue.queued)
        yield gauge("poster_jobs_running", "Running jobs of all workers.", queue.running)
        yield gauge(
            "poster_jobs_oldest_seconds",
            "Time that the oldest queued job has waited, in seconds; 0 if none waits.",
            queue.oldest_seconds,
        )
    now = service.jobs.statistics()
    yield gauge("poster_jobs_active", "Running jobs of this process.", now.active)
    yield gauge(
        "poster_jobs_waiting_for_slot",
        "Jobs of this process that wait for a slot, for which renders of waiting callers have"
        " priority.",
        service.engine.admission.statistics().background,
    )
    yield counters(
        "poster_jobs_ended", "Jobs that this process ended, by state.", "state", now.outcomes
    )
    yield counter(
        "poster_jobs_redelivered",
        "Jobs that this process took over from a worker that had died or lost its connection.",
        now.redelivered,
    )
    yield counter(
        "poster_jobs_given_back",
        "Jobs that this process put back into the queue because it was stopping.",
        now.given_back,
    )


def buffers(now: dict[str, float]) -> Iterator[Metric]:
    """The memory of request bodies and pictures in transit."""
    yield gauge(
        "poster_buffer_bytes", "Memory of request bodies and pictures in transit, in bytes.",
        now["used_bytes"],
    )  # fmt: skip
    yield gauge(
        "poster_buffer_limit_bytes", "Limit of poster_buffer_bytes, POSTER_BUFFER_BYTES, in bytes.",
        now["limit_bytes"],
    )  # fmt: skip
    yield counter(
        "poster_buffer_refusals", "Request bodies refused with 503: POSTER_BUFFER_BYTES in use.",
        now["refused"],
    )  # fmt: skip
    yield counter(
        "poster_buffer_evictions",
        "Stalled clients cut off because other requests needed their buffer memory.",
        now["evicted"],
    )


def caches(service: Service) -> Iterator[Metric]:
    """Responses from the caches of pictures and of fetched resources, and their size."""
    pictures, assets = service.engine.cache.statistics(), service.engine.fetcher.cache.statistics()
    yield counters(
        "poster_cache_responses", "Pictures sent, by the value of X-Cache.", "outcome",
        pictures["answers"],
    )  # fmt: skip
    if "redis" in pictures:
        yield counters(
            "poster_redis_cache_requests", "Requests to the picture cache in Redis, by outcome.",
            "outcome", pictures["redis"],
        )  # fmt: skip
    yield counters(
        "poster_asset_cache_fetches", "Resources that pages fetched, by use of the asset cache.",
        "outcome", assets["fetches"],
    )  # fmt: skip
    held = {"pictures": pictures["bytes"], "assets": assets["bytes"]}
    yield labelled("poster_cache_bytes", "Memory of the cache, in bytes.", "cache", held)


def chromes(service: Service) -> Iterator[Metric]:
    """The pool's Chromes by state, and how the others ended."""
    books = service.engine.pool.statistics()
    yield labelled("poster_chromes", "Chrome instances by state.", "state", books.counts)
    yield gauge(
        "poster_leases_waiting",
        "Renders that hold a slot and wait for a ready Chrome.",
        books.waiting,
    )
    yield counter("poster_chromes_started", "Chrome starts that succeeded.", books.started)
    yield counter(
        "poster_chrome_reuses", "Times that a Chrome was made ready for another render.",
        books.renewed,
    )  # fmt: skip
    yield counters(
        "poster_renders_by_isolation", "Renders that had a Chrome, by isolation level.", "level",
        {str(level): count for level, count in service.engine.renderer.renders.items()},
    )  # fmt: skip
    yield counter("poster_chrome_starts_failed", "Chrome starts that failed.", books.failed_starts)
    ended = CounterMetricFamily(
        "poster_chromes_ended",
        'Chromes that ended, by cause: "asked" by the pool (the normal case), "exited" by itself,'
        ' "term" because its shim got SIGTERM, "lost" because its shim died, "late" because its'
        " shim did not report in time.",
        labels=["cause"],
    )
    for cause in ("asked", "exited", "term", "lost", "late"):
        ended.add_metric([cause], books.endings.get(cause, 0))
    yield ended
    yield counter(
        "poster_chromes_ended_unclean",
        "Chromes that the service had to end itself because their shim failed.",
        books.unclean,
    )
    yield gauge(
        "poster_survivors",
        "Processes of Chromes that outlived SIGKILL.",
        len(books.survivors),
    )


def remains(service: Service) -> Iterator[Metric]:
    """The census: living processes, zombies, leftover files; and memory."""
    spec, own = service.engine.pool.spec, own_process()
    seen = census.snapshot(spec.instance, spec.instance_dir)
    leases = {str(one.lease) for one in seen.alive}
    yield gauge("poster_processes", "Living processes of Chromes and their shims.", len(seen.alive))
    yield gauge(
        "poster_zombies",
        "Zombies: exited processes of Chromes that their parent has not waited for.",
        len(seen.zombies),
    )
    left = {
        # Folders of leases without a process; one that is being removed counts for that moment.
        "folder": sum(name not in leases for name in seen.folders),
        "shared_memory": len(shared_memory()),
        # Of previous instances; removing them is tried again twice a minute.
        "earlier_instance": service.engine.pool.statistics().leftovers,
    }
    yield labelled(
        "poster_leftovers",
        "Files and folders left behind by renders that have ended.",
        "kind",
        left,
    )
    yield labelled(
        "poster_memory_bytes",
        "Resident memory (RSS) by component, in bytes; memory shared by Chromes counts for each.",
        "component",
        {
            "service": own["memory_bytes"],
            "init": memory_of_init(),
            "chromes": sum(one.memory for one in seen.alive),
        },
    )
    yield gauge(
        "poster_open_descriptors",
        "Open file descriptors of the service process.",
        own["descriptors"],
    )


def orphans(ledger: dict[str, Any]) -> Iterator[Metric]:
    """Orphans that init has adopted and reaped, by name; nothing without init's status file."""
    if not ledger:
        return
    reaped = CounterMetricFamily(
        "poster_orphans_reaped",
        "Orphaned processes that init adopted and reaped, by name.",
        labels=["name"],
    )
    for name, account in ledger.get("by_command", {}).items():
        reaped.add_metric([name], account.get("reaped", 0))
    yield reaped
    yield counter(
        "poster_orphans_killed", "Orphaned processes that init had to kill while stopping.",
        ledger.get("orphans_killed", 0),
    )  # fmt: skip


def read_ledger() -> dict[str, Any]:
    """Init's status file (see `init.py`); {} if there is none or it cannot be read."""
    path = os.environ.get("POSTER_INIT_STATUS")
    if not path:
        return {}
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def memory_of_init() -> int:
    """Resident memory of our init in bytes; 0 if there is none."""
    pid = os.environ.get("POSTER_INIT_PID", "")
    try:
        return int(psutil.Process(int(pid)).memory_info().rss)
    except (ValueError, psutil.Error):
        return 0
