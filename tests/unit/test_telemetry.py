"""Tracing below HTTP: when it is on, what names a span, what happens to one that cannot be sent."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from poster_service import logs, telemetry
from poster_service.errors import DestinationFailed
from poster_service.stats import Phases
from poster_service.telemetry import TraceContext
from poster_service.telemetry.http import span_of
from poster_service.telemetry.otel import Recorder, Reporting, resource
from poster_service.telemetry.spans import MAX_TEXT
from poster_service.telemetry.switch import protocol
from tests.web.otlp_receiver import receiving

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ADDRESS = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.fixture
def memory() -> Iterator[InMemorySpanExporter]:
    """Tracing is on, and spans are kept."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with telemetry.recording(Recorder(provider)):
        yield exporter


@pytest.mark.parametrize(
    ("given", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f" 00-{TRACE}-{SPAN}-03 ", True),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", True),
    ],
)
def test_a_traceparent_is_read(given: str, is_sampled: bool) -> None:
    """Of later versions what is known of them, as the standard says."""
    found = TraceContext.parse(given)
    assert found is not None
    assert (found.trace_id, found.span_id, found.is_sampled) == (TRACE, SPAN, is_sampled)
    assert TraceContext.parse(found.traceparent) == found


@pytest.mark.parametrize(
    "given",
    [
        "", "00", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01\x00more", f"00-{TRACE}-{SPAN}-01-more", f"cc-{TRACE}-{SPAN}-01more",
    ],
)  # fmt: skip
def test_a_traceparent_that_is_not_valid_is_ignored(given: str) -> None:
    """A new trace begins then."""
    assert TraceContext.parse(given) is None


def test_a_tracestate_is_passed_on_if_it_is_plain() -> None:
    """Bounded, and never with characters that a header has not."""
    good = TraceContext.parse(f"00-{TRACE}-{SPAN}-01", "a=1,b=2")
    assert good is not None
    assert good.headers() == {"traceparent": good.traceparent, "tracestate": "a=1,b=2"}
    for state in ("a" * 513, "a=\x00", "a=é", "a=1\r\nX: y"):
        bad = TraceContext.parse(f"00-{TRACE}-{SPAN}-01", state)
        assert bad is not None
        assert list(bad.headers()) == ["traceparent"]


@pytest.mark.parametrize(
    ("environ", "is_on"),
    [
        ({}, False),
        (ADDRESS, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_SERVICE_NAME": "posters"}, False),
        ({**ADDRESS, "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({**ADDRESS, "OTEL_SDK_DISABLED": "false"}, True),
        ({**ADDRESS, "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**ADDRESS, "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_variables_of_opentelemetry_switch_it_on(
    environ: dict[str, str],
    is_on: bool,
) -> None:
    """And nothing else."""
    assert bool(telemetry.endpoint(environ)) is is_on


def test_the_protocol_of_traces_goes_before_that_of_all() -> None:
    """As OpenTelemetry says."""
    assert protocol({}) == "http/protobuf"
    both = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    assert protocol({**both, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}) == "grpc"


def test_another_protocol_leaves_it_off_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service serves without."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with telemetry.running():
        assert not telemetry.is_on()
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "http/protobuf" in caplog.text


def test_without_the_packages_it_is_off_and_says_what_to_install() -> None:
    """In an interpreter that has none of OpenTelemetry."""
    script = (
        "import sys, logging; sys.modules['opentelemetry'] = None; logging.basicConfig()\n"
        "from poster_service import telemetry\n"
        "with telemetry.running():\n    print(telemetry.is_on())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env=os.environ | ADDRESS,
    )  # fmt: skip
    assert run.stdout == "False\n"
    assert "install poster-service[otel]" in run.stderr


def test_while_it_is_off_a_span_is_inert() -> None:
    """No call gives it a header, a link, an exemplar or a field of a log line."""
    assert not telemetry.is_on()
    with telemetry.span("x", kind="client", attributes={"a": 1}) as span:
        span.set("b", 2)
        span.fail("c")
        span.child("d", 0.0, 1.0)
        span.link(TraceContext(TRACE, SPAN, is_sampled=True))
        assert span.headers() == {}
        assert telemetry.current() is span
        assert (telemetry.context_of(), telemetry.exemplar()) == (None, None)
        assert logs.trace.get() == {}


def test_spans_nest_and_name_others(memory: InMemorySpanExporter) -> None:
    """A job is linked to the request that asked for it, which is in another trace."""
    with telemetry.span("POST /jobs", kind="server") as request:
        kept = telemetry.context_of()
    assert kept is not None
    links = [TraceContext.parse(kept.traceparent)]
    with (
        telemetry.span("process", kind="consumer", links=links),
        telemetry.span("POST", kind="client") as client,
    ):
        sent = TraceContext.parse(client.headers()["traceparent"])
    asked, called, worked = memory.get_finished_spans()
    assert asked.context is not None
    assert worked.context is not None
    assert asked.context.trace_id != worked.context.trace_id
    assert called.parent is not None
    assert (called.parent.span_id, called.parent.is_remote) == (worked.context.span_id, False)
    assert (called.kind, worked.kind) == (SpanKind.CLIENT, SpanKind.CONSUMER)
    assert [one.context.span_id for one in worked.links] == [asked.context.span_id]
    assert sent == client.context
    assert request.context == kept


def test_a_parent_of_another_process_is_remote(memory: InMemorySpanExporter) -> None:
    """And decides the trace; what other systems noted goes on to the next."""
    above = TraceContext(TRACE, SPAN, is_sampled=True, tracestate="vendor=1")
    with telemetry.span("x", parent=above) as span:
        assert span.headers()["tracestate"] == "vendor=1"
    (found,) = memory.get_finished_spans()
    assert found.context is not None
    assert found.parent is not None
    assert (f"{found.context.trace_id:032x}", found.parent.is_remote) == (TRACE, True)


async def test_a_task_belongs_to_the_span_it_was_started_in(memory: InMemorySpanExporter) -> None:
    """Also when it goes on after its end: what it sets is dropped, its phases are not."""
    phases = Phases()

    async def later(over: asyncio.Event) -> None:
        with phases.phase("capture"):
            await over.wait()
        telemetry.current().set("late", value=True)
        telemetry.current().child(*phases.spans[0])

    over = asyncio.Event()
    with telemetry.span("request"):
        task = asyncio.create_task(later(over))
        await asyncio.sleep(0)
    assert telemetry.current().context is None
    over.set()
    await task
    request, capture = memory.get_finished_spans()
    assert request.attributes == {}
    assert (capture.name, capture.parent) == ("capture", request.context)
    assert capture.start_time is not None
    assert capture.end_time is not None
    milliseconds = (capture.end_time - capture.start_time) / 1e6
    assert milliseconds == pytest.approx(phases.milliseconds["capture"], abs=0.001)


def test_an_exception_marks_a_span_and_a_cancellation_does_not(
    memory: InMemorySpanExporter,
) -> None:
    """By the stable code of an error of ours, else by its type; never by its text."""
    for error in (DestinationFailed("secret"), ZeroDivisionError("secret")):
        with pytest.raises(type(error)), telemetry.span("x"):
            raise error
    with pytest.raises(asyncio.CancelledError), telemetry.span("x"):
        raise asyncio.CancelledError
    found = memory.get_finished_spans()
    assert [one.status.status_code for one in found] == [
        StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET,
    ]  # fmt: skip
    types = [(one.attributes or {}).get("error.type") for one in found]
    assert types == ["destination_failed", "ZeroDivisionError", None]
    assert all("secret" not in one.to_json() for one in found)


def test_texts_are_bounded_and_can_be_sent(memory: InMemorySpanExporter) -> None:
    """A byte that is no UTF-8 would lose the whole batch (protobuf)."""
    with telemetry.span("x", attributes={"long": "a" * 9999}) as span:
        span.set("odd", "b\udcff")
        span.set("fine", "中")
    (found,) = memory.get_finished_spans()
    assert found.attributes == {"long": "a" * MAX_TEXT, "odd": "b?", "fine": "中"}


def test_a_trace_that_is_not_sampled_has_ids_and_no_exemplar() -> None:
    """Log lines name it, as those of its caller do; nothing else is done for it."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with telemetry.recording(Recorder(provider)), telemetry.span("x") as span:
        assert not span.is_recorded
        assert telemetry.exemplar() is None
        assert span.context is not None
        assert logs.trace.get()["trace_id"] == span.context.trace_id
        assert span.headers()["traceparent"].endswith("-00")
    assert logs.trace.get() == {}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/services/T0/B0/key", "https://hooks.example.com:443/REDACTED"),
        ("http://[::1]:9000/b?X-Amz-Signature=key", "http://[::1]:9000/REDACTED"),
        ("https://user:key@example.com", "https://example.com:443/REDACTED"),
    ],
)
def test_of_an_address_only_the_host_is_recorded(url: str, shown: str) -> None:
    """Path and query may be secrets."""
    known = span_of("PUT", url)
    assert known["url.full"] == shown
    assert "key" not in str(known)


def test_the_operators_name_of_the_service_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """By either variable."""
    assert resource().attributes["service.name"] == "poster-service"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "posters")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7")
    found = resource().attributes
    assert (found["service.name"], found["service.version"]) == ("posters", "7")


async def test_a_collector_that_fails_is_logged_once_and_so_is_its_return(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason as a status, without its address."""
    with telemetry.span("x"):
        pass
    spans = memory.get_finished_spans()
    caplog.set_level(logging.INFO)
    async with receiving() as receiver:
        address = f"{receiver.address}/v1/traces?key=hunter2"
        exporter = Reporting(OTLPSpanExporter(address, timeout=5))
        receiver.status = 401
        for _ in range(3):
            found = await asyncio.to_thread(exporter.export, spans)
            assert found is SpanExportResult.FAILURE
        receiver.status = 200
        for _ in range(2):
            assert await asyncio.to_thread(exporter.export, spans) is SpanExportResult.SUCCESS
        exporter.shutdown()
    ours = [(one.getMessage(), getattr(one, "fields", {})) for one in caplog.records
            if one.name.startswith("poster_service")]  # fmt: skip
    assert ours == [
        ("traces cannot be sent", {"reason": "status 401"}),
        ("traces are sent again", {"lost_spans": 3}),
    ]
    assert [one.name for one in receiver.spans] == ["x", "x"]
