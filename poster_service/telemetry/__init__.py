"""Traces by OpenTelemetry: off, and free, unless the environment says where they go.

    with telemetry.running():            # a command that serves: starts and flushes
        ...
    with telemetry.span("PUT", kind="client", links=[context]) as span:
        headers = {**span.headers(), ...}    # W3C Trace Context, for what the caller sends
        span.set("http.response.status_code", 200)
    context = telemetry.context_of()     # of the running span, to be kept with a job; None without
    context = TraceContext.parse(text)   # and back, from `context.traceparent`

Everything here works, and does nothing, while tracing is off. Nothing here imports OpenTelemetry
but `otel.py`, which is imported only when tracing is on.
"""

from poster_service.telemetry.context import TraceContext
from poster_service.telemetry.spans import (
    Span,
    context_of,
    current,
    exemplar,
    is_on,
    recording,
    span,
    traceparent,
)
from poster_service.telemetry.switch import endpoint, running

__all__ = [
    "Span",
    "TraceContext",
    "context_of",
    "current",
    "endpoint",
    "exemplar",
    "is_on",
    "recording",
    "running",
    "span",
    "traceparent",
]
