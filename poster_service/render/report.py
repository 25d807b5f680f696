"""What becomes known of one render while it runs, and its one log line."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from poster_service import telemetry
from poster_service.errors import PosterError
from poster_service.logs import event
from poster_service.render.observations import Observations
from poster_service.render.warnings import Warnings
from poster_service.stats import Done, Phases

if TYPE_CHECKING:
    from poster_service.render.job import RenderJob

logger = logging.getLogger(__name__)


class RenderReport:
    """Filled in by the cache, the renderer and the page's route while a render runs.

    Attributes:
        phases: Where the time went.
        warnings: What the page did not get, or could not use.
        observations: What Chrome and the page itself report.
        cache_status: How the cache took part, one of `cache.STATUSES`; "" while it is not known.
        isolation: The level of the Chrome that it had; "" while it has had none.
        size: Bytes of the picture; 0 while there is none.
        device_pixels: Of all pictures that Chrome took; 0 of PDFs and text.
        chrome_version: Of the Chrome that it had; "" without one, and while nothing is traced.
        outcome: "ok", "cancelled", or the stable code of the error.
    """

    def __init__(self, cache_status: str = "") -> None:
        self.phases = Phases()
        self.warnings = Warnings()
        self.observations = Observations()
        self.cache_status = cache_status
        self.isolation = ""
        self.size = 0
        self.device_pixels = 0
        self.chrome_version = ""
        self.outcome = "ok"

    def write(self, job: "RenderJob") -> None:
        """Log the line of a request: names, sizes and times, never the page or its data."""
        level = logging.INFO if self.outcome in ("ok", "cancelled") else logging.WARNING
        options, page, phases = job.options, job.page, self.phases.milliseconds
        script_errors = self.observations.script_errors
        painted = {
            "width": page.width,
            "height": page.height,
            "scale": page.scale,
            "html_chars": len(job.html),
            "warnings": len(self.warnings),
            "phases": {name: round(took, 1) for name, took in phases.items()},
        }
        event(
            logger,
            level,
            "render",
            outcome=self.outcome,
            **({"cache": self.cache_status} if self.cache_status else {}),
            **({"isolation": self.isolation} if self.isolation else {}),
            **({"caller": job.caller} if job.caller else {}),
            source=job.source_name,
            format=job.format,
            **({"outputs": len(options.outputs)} if options.outputs else {}),
            bytes=self.size,
            ms=round((time.monotonic() - job.begin) * 1000, 1),
            **(painted if phases else {}),
            **({"script_errors": list(script_errors)} if script_errors else {}),
        )
        self._trace(job)

    def _trace(self, job: "RenderJob") -> None:
        """Tell the running span, if there is one, what was rendered, and which phases it had."""
        span = telemetry.current()
        if not span.is_recorded:
            return
        for name, value in self._attributes(job).items():
            if value:
                span.set(name, value)
        for phase, begin, end in self.phases.spans:
            span.child(phase, begin, end)

    def _attributes(self, job: "RenderJob") -> dict[str, str | int]:
        """Attributes of the span; those without a value are left out."""
        return {
            "poster.outcome": self.outcome,
            "poster.source": type(job.request.source).kind,
            "poster.template": job.request.source.label if job.template else "",
            "poster.format": job.format,
            "poster.cache": self.cache_status,
            "poster.isolation": self.isolation,
            "poster.bytes": self.size,
            "poster.device_pixels": self.device_pixels,
            "poster.warnings": len(self.warnings),
            "chrome.version": self.chrome_version,
        }


#: A note on an exception that is a fault of ours: it is counted already, as a render's outcome.
IN_RENDER = "in a render"


@contextlib.contextmanager
def recorded(job: "RenderJob", observe: Callable[[Done], None]) -> Iterator[RenderReport]:
    """Record a render that Chrome works on: its outcome is counted and logged, however it ends.

    An error leaves with the phases and warnings up to then, for the answer's headers.
    """
    report = RenderReport()
    try:
        yield report
    except PosterError as error:
        report.outcome = error.code
        error.server_timing = report.phases.server_timing()
        error.warnings = report.warnings.header()
        raise
    except asyncio.CancelledError:
        report.outcome = "cancelled"
        raise
    except Exception as error:
        report.outcome = PosterError.code  # a fault of ours
        error.add_note(IN_RENDER)
        raise
    finally:
        observe(
            Done(
                report.outcome,
                job.format,
                time.monotonic() - job.begin,
                report.phases.milliseconds,
                report.size,
                report.observations.script_errors,
            )
        )
        report.write(job)
