"""Whether tracing is on, which the variables of OpenTelemetry alone decide."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from poster_service.logs import event
from poster_service.telemetry.spans import recording

logger = logging.getLogger(__name__)

#: Where traces go; the first that is set counts.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: The one protocol that the extra brings.
PROTOCOL = "http/protobuf"
#: How long the last spans may take to be sent when the service stops, in seconds.
FLUSH_SECONDS = 1.0
MISSING = (
    "no traces: {} is set, but OpenTelemetry is not installed; install poster-service[otel], or set"
    " OTEL_SDK_DISABLED=true"
)


def endpoint(environ: Mapping[str, str]) -> str:
    """The variable that says where traces go; "" where tracing is off.

    It is off without such a variable, with `OTEL_SDK_DISABLED=true`, and where
    `OTEL_TRACES_EXPORTER` is not `otlp`, which is its default.
    """
    is_disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    named = [name for name in ENDPOINTS if environ.get(name, "").strip()]
    return named[0] if named and not is_disabled and exporter == "otlp" else ""


def protocol(environ: Mapping[str, str]) -> str:
    """The protocol that the variables ask for."""
    asked = [value for name in PROTOCOLS if (value := environ.get(name, "").strip().lower())]
    return asked[0] if asked else PROTOCOL


@contextmanager
def running() -> Iterator[None]:
    """Tracing is on while inside, if the environment says so; the last spans are sent at the end.

    What cannot be set up is logged once and leaves tracing off: a service without traces serves.
    """
    variable = endpoint(os.environ)
    if not variable:
        yield
        return
    if (asked := protocol(os.environ)) != PROTOCOL:
        message = f"no traces: OTLP goes by {PROTOCOL} only"
        event(logger, logging.WARNING, message, asked=asked)
        yield
        return
    try:
        from poster_service.telemetry import otel

        recorder = otel.from_environment()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        event(logger, logging.WARNING, MISSING.format(variable))
        yield
        return
    except (ValueError, RuntimeError, OSError) as error:  # a variable that cannot be
        event(logger, logging.WARNING, "no traces: a variable of OpenTelemetry is faulty",
              error=type(error).__name__)  # fmt: skip
        yield
        return
    with recording(recorder):
        event(logger, logging.INFO, "traces are sent", variable=variable)
        try:
            yield
        finally:
            recorder.stop(FLUSH_SECONDS)
