"""Counters and histograms: renders, their phases, the endings of Chromes.

Each service has a registry of its own, so that two in one process do not add up. Gauges that can be
read at any moment are in `metrics.py`.
"""

import itertools
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from poster_service import telemetry
from poster_service.errors import CallerError, PosterError
from poster_service.process.spawn import Ending
from poster_service.render.formats import CONTENT_TYPES
from poster_service.stats import Done

# One more series for every counter, which the text format has no use for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

#: Seconds; a render takes 0.1 to 0.3 on a quiet machine and 15 at most unless asked for more.
RENDER_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 15, 30, 60)
PHASE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
#: Of the semantic conventions of OpenTelemetry, in seconds.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
SIZE_BUCKETS = tuple(1024 * 4**power for power in range(9))  # 1 KiB to 64 MiB


#: Every outcome of a delivery that is likely; present from the start.
DELIVERY_OUTCOMES = (
    ("store", "ok"),
    ("store", "storage_failed"),
    ("destination", "ok"),
    ("destination", "destination_denied"),
    ("destination", "destination_failed"),
)


#: How many of the last errors are remembered.
MAX_ERRORS = 50


@dataclass(frozen=True)
class LastError:
    """An error of a render, or a refusal for load, as /status lists it: nothing of the page.

    Attributes:
        time: When, in Unix seconds.
        status: Of HTTP.
        code: Of the error, stable.
        route: The address of the route, as `/render/{template}`.
        caller: The name of the caller; empty where there are no tokens.
        request_id: By which the log has more.
    """

    time: float
    status: int
    code: str
    route: str
    caller: str
    request_id: str


def outcomes() -> list[str]:
    """Every outcome of a render: the codes of all errors, `ok` and `cancelled`."""
    return sorted({"ok", "cancelled"} | codes_below(PosterError))


def codes_below(root: type[PosterError]) -> set[str]:
    """The codes of an error and of all errors below it in the tree."""
    kinds = [root]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.code for kind in kinds}


def by_fault(numbers: Mapping[str, int]) -> dict[str, int]:
    """Numbers of errors by code as two: those at which the caller is at fault, and all others.

    `http_404` and the like, for what has no code of ours, are the caller's.
    """
    callers = codes_below(CallerError)
    of_callers = sum(
        number for code, number in numbers.items() if code in callers or code.startswith("http_4")
    )
    return {"caller": of_callers, "service": sum(numbers.values()) - of_callers}


class Counters:
    """The counters and histograms of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._outcomes: Tally[str] = Tally()
        self._refused: Tally[str] = Tally()
        self._ok_seconds = 0.0
        self._errors: deque[LastError] = deque(maxlen=MAX_ERRORS)
        self._add_renders()
        self._add_deliveries()
        self._requests = Histogram(
            "http_server_request_duration_seconds",
            "Time of an HTTP request from its head to the end of its response, in seconds, by the"
            " labels of OpenTelemetry's http.server.request.duration.",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )

    def _add_renders(self) -> None:
        self._renders = Counter(
            "poster_renders",
            'Renders that ended, by format and outcome ("ok", "cancelled" or an error code).',
            ["outcome", "format"],
            registry=self.registry,
        )
        for outcome, form in itertools.product(outcomes(), CONTENT_TYPES):
            # Present from the start, so that the first one counts as an increase.
            self._renders.labels(outcome, form)
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

    def _add_deliveries(self) -> None:
        self._deliveries = Counter(
            "poster_deliveries",
            'Results that were stored or sent to a destination, by outcome ("ok", "cancelled" or'
            " an error code).",
            ["kind", "outcome"],
            registry=self.registry,
        )
        for kind, outcome in DELIVERY_OUTCOMES:
            self._deliveries.labels(kind, outcome)
        self._delivery_seconds = Histogram(
            "poster_delivery_seconds",
            "Time to store a result or to send it to a destination, retries included, in seconds.",
            ["kind"],
            buckets=RENDER_BUCKETS,
            registry=self.registry,
        )

    def request_done(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; each argument but the time is of a small set."""
        labelled = self._requests.labels(method, route, str(status))
        labelled.observe(seconds, telemetry.exemplar())

    @contextmanager
    def delivery(self, kind: Literal["store", "destination"]) -> Iterator[None]:
        """Count one delivery, which is what happens inside."""
        begin, outcome = time.monotonic(), "cancelled"
        try:
            yield
            outcome = "ok"
        except PosterError as error:
            outcome = error.code
            raise
        finally:
            self._deliveries.labels(kind, outcome).inc()
            self._delivery_seconds.labels(kind).observe(time.monotonic() - begin)

    def render_done(self, done: Done) -> None:
        """Count one render."""
        self._renders.labels(done.outcome, done.format).inc()
        self._outcomes[done.outcome] += 1
        for name, took in done.milliseconds.items():
            self._phases.labels(name).observe(took / 1000)
        if done.outcome == "ok":
            self._seconds.labels(done.format).observe(done.seconds, telemetry.exemplar())
            self._ok_seconds += done.seconds
            self._bytes.labels(done.format).observe(done.size)

    def note_error(self, error: LastError) -> None:
        """Remember an error that is worth a look; the oldest of too many is forgotten."""
        self._errors.append(error)

    def note_refused(self, code: str) -> None:
        """Count a request that ended with an error before a render began; codes are a small set."""
        self._refused[code] += 1

    def summary(self) -> dict[str, Any]:
        """What became of renders and requests since the start, for /status.

        Renders by outcome, requests refused before a render by code, the errors among both by
        whose fault they were, and the last errors, newest first.
        """
        failed = self._outcomes - Tally(
            ok=self._outcomes["ok"], cancelled=self._outcomes["cancelled"]
        )
        return {
            "outcomes": dict(self._outcomes),
            "refused": dict(self._refused),
            "errors": by_fault(failed + self._refused),
            "ok_seconds": round(self._ok_seconds, 3),
            "last_errors": [asdict(one) for one in reversed(self._errors.copy())],
        }

    def chrome_ended(self, _: Ending, seconds: float) -> None:
        """Record how long the clean-up after one Chrome took."""
        self._phases.labels("cleanup").observe(seconds)
