"""The renders that go through browserless' routes: those under way, and what became of the others.

For GET /sessions and the JSON of GET /metrics. Times are in milliseconds, as browserless has them.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from poster_service.errors import Fault, InvalidField, LoadError, OverQuota, RenderTimeout

#: A unit of browserless' accounts: so many milliseconds of a browser, begun ones counted.
UNIT_MS = 30_000
#: Times of sessions that are listed.
MOST_TIMES = 1_000
MINUTES_IN_A_MONTH = 43_200


@dataclass(frozen=True)
class Session:
    """A render under way.

    Attributes:
        id: The id of its request, as in the log.
        caller: Who it is for.
        tracking_id: The caller's own name for it; "" for none.
        started: In milliseconds since the epoch.
    """

    id: str
    caller: str
    tracking_id: str
    started: int

    def listed(self) -> dict[str, Any]:
        """As GET /sessions lists it."""
        return {
            "id": self.id,
            "browserId": self.id,
            "browser": "ChromiumCDP",
            "trackingId": self.tracking_id or None,
            "startedOn": self.started,
            "timeAliveMs": int(time.time() * 1000) - self.started,
            "running": True,
            "type": "browser",
            "killURL": None,
        }


@dataclass
class Sessions:
    """The sessions of one service.

    Attributes:
        unauthorized: Requests without a token that is known.
    """

    unauthorized: int = 0
    _open: dict[str, Session] = field(default_factory=dict)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_TIMES))
    _successful: int = 0
    _error: int = 0
    _timed_out: int = 0
    _rejected: int = 0
    _queued: int = 0
    _most: int = 0
    _units: int = 0
    _total: float = 0.0
    _least_time: float = math.inf
    _most_time: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def listed(self, caller: str, tracking_id: str = "") -> list[dict[str, Any]]:
        """A caller's sessions under way; with a tracking id only that."""
        return [
            one.listed()
            for one in self._open.values()
            if one.caller == caller and tracking_id in ("", one.tracking_id)
        ]

    @contextlib.contextmanager
    def running(self, session: Session, *, is_queued: bool) -> Iterator[None]:
        """Count a render, however it ends.

        Args:
            session: What is known of it.
            is_queued: Whether it has to wait for its turn.

        Raises:
            InvalidField: The caller has a session of this tracking id already.
        """
        if session.tracking_id and self.listed(session.caller, session.tracking_id):
            message = "is the tracking id of a session that runs"
            raise InvalidField.of(Fault("?trackingId", message, "another"))
        self._open[session.id] = session
        self._queued += is_queued
        self._most = max(self._most, len(self._open))
        begin = time.monotonic()
        try:
            yield
        except (LoadError, OverQuota):
            self._rejected += 1
            raise
        except RenderTimeout:
            self._timed_out += 1
            self._took(begin)
            raise
        except (Exception, asyncio.CancelledError):
            self._error += 1
            self._took(begin)
            raise
        else:
            self._successful += 1
            self._took(begin)
        finally:
            del self._open[session.id]

    def _took(self, begin: float) -> None:
        took = (time.monotonic() - begin) * 1000
        self._times.append(round(took, 1))
        self._total += took
        self._units += math.ceil(took / UNIT_MS)
        self._least_time, self._most_time = min(self._least_time, took), max(self._most_time, took)

    def metrics(self) -> dict[str, Any]:
        """What became of the sessions since the service started: an entry of GET /metrics."""
        ended = self._successful + self._error + self._timed_out
        return {
            "date": int(time.time() * 1000),
            "error": self._error,
            "maxConcurrent": self._most,
            "maxTime": round(self._most_time, 1),
            "meanTime": round(self._total / ended, 1) if ended else 0,
            "minTime": round(self._least_time, 1) if ended else 0,
            "queued": self._queued,
            "rejected": self._rejected,
            "running": len(self._open),
            "sessionTimes": list(self._times),
            "successful": self._successful,
            "timedout": self._timed_out,
            "totalTime": round(self._total, 1),
            "unauthorized": self.unauthorized,
            "unhealthy": 0,
            "units": self._units,
        }

    def total(self) -> dict[str, Any]:
        """The same as GET /metrics/total has it."""
        found = self.metrics()
        minutes = max(1.0, (time.monotonic() - self._started) / 60)
        for name in ("date", "running", "unauthorized"):
            del found[name]
        return found | {
            "estimatedMonthlyUnits": round(self._units / minutes * MINUTES_IN_A_MONTH),
            "minutesOfMetricsAvailable": int(minutes),
        }
