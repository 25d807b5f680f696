"""A receiver of OTLP over HTTP: a real server that decodes what it is sent."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tests.conftest import settled
from tests.unit.fetching import serving


@dataclass(frozen=True)
class Received:
    """A span as it came.

    Attributes:
        kind: Such as "SERVER".
        status: Such as "UNSET".
        links: Trace and span id of each.
        resource: Attributes of the process that sent it.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    begin: int
    end: int
    status: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    resource: dict[str, Any]

    @property
    def milliseconds(self) -> float:
        """How long it was."""
        return (self.end - self.begin) / 1e6


@dataclass
class Receiver:
    """What came.

    Attributes:
        address: Of the server, for OTEL_EXPORTER_OTLP_ENDPOINT.
        raw: The bodies, decompressed.
        encodings: The Content-Encoding of each; "" without.
        status: With which it answers.
    """

    address: str = ""
    spans: list[Received] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    encodings: list[str] = field(default_factory=list)
    status: int = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take a request of OTLP."""
        assert (request.method, request.path) == ("POST", "/v1/traces")
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        if self.status == 200:
            self.raw.append(body)
            self.encodings.append(request.headers.get("Content-Encoding", ""))
            self.spans += decoded(body)
        return web.Response(status=self.status, content_type="application/x-protobuf")

    async def trace(self, trace_id: str, name: str = "") -> list[Received]:
        """All spans of a trace, once one of that name, or its first server span, has come."""

        def found() -> bool:
            return any(
                one.trace_id == trace_id and (one.name == name or (not name and is_server(one)))
                for one in self.spans
            )

        assert await settled(found), [one.name for one in self.spans]
        return [one for one in self.spans if one.trace_id == trace_id]


def is_server(span: Received) -> bool:
    """Whether it is a request that was served, which ends after all below it."""
    return span.kind == "SERVER"


def server_of(spans: Sequence[Received]) -> Received:
    """The one span of a request among others."""
    (found,) = filter(is_server, spans)
    return found


def decoded(body: bytes) -> list[Received]:
    """The spans of a request of OTLP."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    found = []
    for one in message.resource_spans:
        resource = values(one.resource.attributes)
        for scope in one.scope_spans:
            found += [span_of(span, resource) for span in scope.spans]
    return found


def span_of(span: ProtoSpan, resource: dict[str, Any]) -> Received:
    """A span with its numbers as names."""
    return Received(
        span.name,
        ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        values(span.attributes),
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        resource,
    )


def values(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    """Attributes by name."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on loopback, while inside."""
    receiver = Receiver()
    async with serving(receiver.answer) as address:
        receiver.address = address
        yield receiver
