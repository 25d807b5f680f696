"""Counters and histograms: renders, their phases, the endings of Chromes.

Each service has a registry of its own, so that two in one process do not add up. Gauges that can be
read at any moment are in `metrics.py`.
"""

import itertools

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from poster_service.errors import PosterError
from poster_service.process.spawn import Ending
from poster_service.render.options import CONTENT_TYPES
from poster_service.stats import Done

# One more series for every counter, which the text format has no use for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

#: Seconds; a render takes 0.1 to 0.3 on a quiet machine and 15 at most unless asked for more.
RENDER_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 15, 30, 60)
PHASE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
SIZE_BUCKETS = tuple(1024 * 4**power for power in range(9))  # 1 KiB to 64 MiB


def outcomes() -> list[str]:
    """Every outcome of a render: the codes of all errors, `ok` and `cancelled`."""
    kinds: list[type[PosterError]] = [PosterError]
    codes = {"ok", "cancelled"}
    for kind in kinds:
        codes.add(kind.code)
        kinds += kind.__subclasses__()
    return sorted(codes)


class Counters:
    """The counters and histograms of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._renders = Counter(
            "poster_renders",
            'Renders that ended, by format and outcome ("ok", "cancelled" or an error code).',
            ["outcome", "format"],
            registry=self.registry,
        )
        for outcome, form in itertools.product(outcomes(), CONTENT_TYPES):
            self._renders.labels(
                outcome, form
            )  # present from the start, so that the first one counts as an increase
        self._seconds = Histogram(
            "poster_render_seconds",
            "Time of a successful render from request to picture, queueing included, in seconds.",
            ["format"],
            buckets=RENDER_BUCKETS,
            registry=self.registry,
        )
        self._phases = Histogram(
            "poster_phase_seconds",
            "Time of each phase of a render, in seconds; cleanup lasts until no process of its"
            " Chrome is left.",
            ["phase"],
            buckets=PHASE_BUCKETS,
            registry=self.registry,
        )
        self._bytes = Histogram(
            "poster_picture_bytes",
            "Size of a rendered picture, in bytes.",
            ["format"],
            buckets=SIZE_BUCKETS,
            registry=self.registry,
        )

    def render_done(self, done: Done) -> None:
        """Count one render."""
        self._renders.labels(done.outcome, done.format).inc()
        for name, took in done.milliseconds.items():
            self._phases.labels(name).observe(took / 1000)
        if done.outcome == "ok":
            self._seconds.labels(done.format).observe(done.seconds)
            self._bytes.labels(done.format).observe(done.size)

    def chrome_ended(self, _: Ending, seconds: float) -> None:
        """Record how long the clean-up after one Chrome took."""
        self._phases.labels("cleanup").observe(seconds)
