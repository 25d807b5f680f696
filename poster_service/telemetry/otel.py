"""The only user of OpenTelemetry: makes spans by its API, and sends them by its SDK in OTLP.

Imported only when tracing is on. Spans are sent by a thread of the SDK, from a queue that is
bounded (`OTEL_BSP_MAX_QUEUE_SIZE`): a collector that does not answer costs the spans and nothing
else. The SDK reads the variables `OTEL_*` itself.
"""

import logging
import threading
import uuid
from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from poster_service import __version__
from poster_service.logs import event
from poster_service.telemetry.context import TraceContext
from poster_service.telemetry.spans import Kind, Start

logger = logging.getLogger(__name__)

NAME = "poster-service"
KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
#: Why a batch was not sent, where the SDK does not say it.
NO_ANSWER = "no answer in time"
#: Where the SDK logs it.
EXPORTER_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Recorder:
    """Makes spans of a provider's."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("poster_service", __version__)

    def start(self, given: Start) -> Span:
        """Begin a span."""
        parent = given.parent
        above = NonRecordingSpan(_named(parent)) if isinstance(parent, TraceContext) else parent
        return self._tracer.start_span(
            given.name,
            set_span_in_context(above, Context()) if above else Context(),
            KINDS[given.kind],
            given.attributes,
            [Link(_named(one)) for one in given.links],
            start_time=given.begin,
        )

    def context_of(self, span: Span) -> TraceContext:
        """What names a span."""
        found = span.get_span_context()
        return TraceContext(
            f"{found.trace_id:032x}",
            f"{found.span_id:016x}",
            found.trace_flags.sampled,
            found.trace_state.to_header(),
        )

    def add_child(self, span: Span, name: str, times: tuple[int, int]) -> None:
        """A span below another that is over: from and to, in nanoseconds since the epoch."""
        begin, end = times
        child = self._tracer.start_span(
            name, set_span_in_context(span, Context()), start_time=begin
        )
        child.end(max(begin, end))

    def link(self, span: Span, context: TraceContext) -> None:
        """Have a span name another."""
        span.add_link(_named(context))

    def mark_failed(self, span: Span) -> None:
        """Have a span count as failed."""
        span.set_status(Status(StatusCode.ERROR))

    def stop(self, seconds: float) -> None:
        """Send what is left, and wait for that so long at most; what is not sent by then is lost.

        In a thread, since the SDK would wait for half a minute.
        """
        ending = threading.Thread(target=self._provider.shutdown, name="otel-stop", daemon=True)
        ending.start()
        ending.join(seconds)


def _named(context: TraceContext) -> SpanContext:
    """A span of another process or task."""
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([context.tracestate]) if context.tracestate else None,
    )


def from_environment() -> Recorder:
    """A recorder that sends to where the variables of OpenTelemetry say.

    Raises:
        ValueError, RuntimeError, OSError: One of them is faulty.
    """
    # Not at exit: a collector that does not answer would delay that by 10 s.
    provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Reporting(OTLPSpanExporter())))
    # From here on what it has to say is said by `Reporting`, once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return Recorder(provider)


def resource() -> Resource:
    """What names this process in all its traces; the variables of OpenTelemetry win."""
    own = {
        "service.name": NAME,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
    }
    given = OTELResourceDetector().detect().attributes
    return Resource.create({key: value for key, value in own.items() if key not in given})


class Reporting(SpanExporter):
    """Exports by another, and logs once when that begins to fail and once when it works again.

    Attributes:
        lost: Spans that were not sent since the last success.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._reason = _Reason()
        self._is_stopped = False
        self.lost = 0
        log = logging.getLogger(EXPORTER_LOG)
        log.handlers[:] = [self._reason]
        log.propagate = False
        log.setLevel(logging.WARNING)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; called by the SDK's thread."""
        self._reason.last = NO_ANSWER
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self.lost:
                event(logger, logging.INFO, "traces are sent again", lost_spans=self.lost)
            self.lost = 0
        else:
            if not self.lost and not self._is_stopped:
                reason = self._reason.last
                event(logger, logging.WARNING, "traces cannot be sent", reason=reason)
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._is_stopped = True
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


class _Reason(logging.Handler):
    """Remembers why a batch was not sent, by a status or the name of an exception.

    Never by a text, which may have the collector's address with a key in its query.
    """

    last = NO_ANSWER

    def emit(self, record: logging.LogRecord) -> None:
        given = record.args if isinstance(record.args, tuple) else ()
        for one in given:
            if isinstance(one, BaseException):
                self.last = type(one).__name__
            elif isinstance(one, int) and not isinstance(one, bool) and 100 <= one <= 599:
                self.last = f"status {one}"
