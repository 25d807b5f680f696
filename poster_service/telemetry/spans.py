"""Spans, for all who have something to trace; while tracing is off there is one, which is inert.

The running span is in a context variable: a task that is started inside belongs to it too.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from poster_service import logs
from poster_service.telemetry.context import TraceContext

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan

    from poster_service.telemetry.otel import Recorder

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | bool | int | float

#: Longest text of an attribute, in characters; the rest is cut off.
MAX_TEXT = 512


@dataclass(frozen=True)
class Start:
    """A span to be begun, as `span` has it.

    Attributes:
        parent: A span of this process, or what names one of another; None for a new trace.
        begin: In nanoseconds since the epoch.
    """

    name: str
    kind: Kind
    parent: "TraceContext | OtelSpan | None"
    links: Sequence[TraceContext]
    attributes: Mapping[str, Value]
    begin: int


class Span:
    """A span that runs, or (`NOTHING`) none.

    Attributes:
        context: What names it; None of `NOTHING`.
    """

    __slots__ = ("_otel", "_recorder", "_wall", "context")

    def __init__(
        self,
        recorder: "Recorder | None" = None,
        otel: "OtelSpan | None" = None,
        wall: int = 0,
    ) -> None:
        self._recorder = recorder
        self._otel = otel
        self.context = recorder.context_of(otel) if recorder and otel else None
        #: What the clock of the phases lacks to the time of day, in nanoseconds. One figure for a
        #: span and all below it, so that none begins before the one above, however busy it is.
        self._wall = wall

    @property
    def is_recorded(self) -> bool:
        """Whether what is set in it goes anywhere: tracing is on, and the trace is sampled."""
        return self.context is not None and self.context.is_sampled

    def headers(self) -> dict[str, str]:
        """Headers that make what another service does a part of this trace; {} without a trace."""
        return self.context.headers() if self.context else {}

    def set(self, name: str, value: Value) -> None:
        """Set an attribute. Never to be given HTML, a token, or an address with its query."""
        if self._otel is not None and self._otel.is_recording():
            self._otel.set_attribute(name, plain(value))

    def fail(self, kind: str) -> None:
        """Mark it as failed; `kind` is an error code, or a status, and becomes `error.type`."""
        if self._recorder is not None and self._otel is not None and self._otel.is_recording():
            self._otel.set_attribute("error.type", plain(kind))
            self._recorder.mark_failed(self._otel)

    def link(self, context: TraceContext | None) -> None:
        """Name a span, of this trace or another, that has to do with this one."""
        if self._recorder is None or self._otel is None or context is None:
            return
        if self._otel.is_recording():
            self._recorder.link(self._otel, context)

    def child(self, name: str, begin: float, end: float) -> None:
        """Add a part of it that is over.

        Args:
            name: Of a small set.
            begin: When it began, in seconds of `time.perf_counter`.
            end: When it ended, likewise.
        """
        if self._recorder is not None and self._otel is not None and self.is_recorded:
            times = self._wall + round(begin * 1e9), self._wall + round(end * 1e9)
            self._recorder.add_child(self._otel, name, times)


NOTHING = Span()
_recorder: "Recorder | None" = None
_current: ContextVar[Span] = ContextVar("span", default=NOTHING)


def plain(value: Value) -> Value:
    """A value that can be sent: a text in UTF-8 and not too long.

    A header may have bytes that are no UTF-8; one such text would lose all spans of its batch.
    """
    if not isinstance(value, str):
        return value
    text = value[:MAX_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def is_on() -> bool:
    """Whether spans go anywhere."""
    return _recorder is not None


def current() -> Span:
    """The span that runs here; `NOTHING` outside of any."""
    return _current.get()


def context_of() -> TraceContext | None:
    """What names the span that runs here; None outside of any."""
    return _current.get().context


def traceparent() -> str:
    """What names the span that runs here, as a text to be kept; "" outside of any."""
    context = _current.get().context
    return context.traceparent if context else ""


def exemplar() -> dict[str, str] | None:
    """The running trace as an exemplar of a metric (OpenMetrics); None if it is not recorded."""
    context = _current.get().context
    if context is None or not context.is_sampled:
        return None
    return {"trace_id": context.trace_id, "span_id": context.span_id}


@contextmanager
def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: TraceContext | Literal["none"] | None = None,
    links: Iterable[TraceContext | None] = (),
    attributes: Mapping[str, Value] | None = None,
) -> Iterator[Span]:
    """What happens inside is a span; inert while tracing is off.

    An exception that leaves it marks it as failed, a cancellation does not.

    Args:
        name: Of a small set, such as `POST /render`: never an address or an id.
        kind: As OpenTelemetry has it.
        parent: Its parent where that is in another process; "none" to begin a trace; by default the
            span that runs here.
        links: Spans that it has to do with, such as that of the request that asked for a job.
        attributes: Those that are known at its begin.
    """
    if _recorder is None:
        yield NOTHING
        return
    known = {key: plain(value) for key, value in (attributes or {}).items()}
    above, linked = _current.get(), [one for one in links if one]
    is_below = parent is None and above is not NOTHING
    wall = above._wall if is_below else time.time_ns() - time.perf_counter_ns()
    over = above._otel if parent is None else None if parent == "none" else parent
    begin = wall + time.perf_counter_ns()
    otel = _recorder.start(Start(name, kind, over, linked, known, begin))
    running = Span(_recorder, otel, wall)
    token = _current.set(running)
    noted = logs.trace.set(_ids(running.context))
    try:
        yield running
    except Exception as error:
        running.fail(getattr(error, "code", "") or type(error).__name__)
        raise
    finally:
        logs.trace.reset(noted)
        _current.reset(token)
        otel.end(wall + time.perf_counter_ns())


def _ids(context: TraceContext | None) -> dict[str, str]:
    """The fields that a log line has of a trace, by the names of OpenTelemetry."""
    return {"trace_id": context.trace_id, "span_id": context.span_id} if context else {}


@contextmanager
def recording(recorder: "Recorder | None") -> Iterator[None]:
    """Tracing is on while inside; without a recorder it stays off."""
    global _recorder  # noqa: PLW0603 - one for the process, as the log is
    before, _recorder = _recorder, recorder
    try:
        yield
    finally:
        _recorder = before
