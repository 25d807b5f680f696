"""Traces: a service that sends them in OTLP to a real receiver, over real Chrome."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.semconv import attributes as semconv
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from poster_service import telemetry
from tests.conftest import settled
from tests.jobs.receiver import new_secret
from tests.web.local_web import LocalServer, local_server
from tests.web.otlp_receiver import Received, Receiver, receiving, server_of
from tests.web.raw_http import answer, connected
from tests.web.service import Service, running_in_own_folder

SMALL = {"width": 20, "height": 10}
#: Of what a page fetches, nothing may name a trace.
TRACING_HEADERS = {"traceparent", "tracestate", "baggage", "b3", "x-b3-traceid"}
PHASES = ["queue", "lease", "setup", "load", "wait", "capture"]


@dataclass
class Traced:
    """A service, and where its traces go."""

    service: Service
    receiver: Receiver

    async def render(self, **options: Any) -> tuple[Any, list[Received]]:
        """A render that is part of a trace of its own: its answer, and all spans of that trace."""
        trace, headers = begun()
        response = await self.service.client.post(
            f"{self.service.address}/render", json={**SMALL, **options}, headers=headers
        )
        await response.read()
        return response, await self.receiver.trace(trace)

    async def spans_of(self, job: str, count: int = 1) -> list[Received]:
        """The spans of a job, or of the items of a batch, once as many have come."""

        def found() -> list[Received]:
            spans = [one for one in self.receiver.spans if one.name == "process job"]
            return [one for one in spans if one.attributes["poster.request_id"].startswith(job)]

        assert await settled(lambda: len(found()) == count)
        return found()


def begun(*, is_sampled: bool = True) -> tuple[str, dict[str, str]]:
    """The id of a new trace, and the headers of a caller that has begun it."""
    trace = secrets.token_hex(16)
    return trace, {"traceparent": f"00-{trace}-00f067aa0ba902b7-{is_sampled:02x}"}


@pytest.fixture(scope="module")
async def traced() -> AsyncIterator[Traced]:
    """With everything that OpenTelemetry's variables say, and a cache."""
    async with receiving() as receiver:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
            patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
            patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")
            with telemetry.running():
                async with running_in_own_folder(
                    cache_bytes=1 << 20,
                    allow_private="127.0.0.0/8",
                    storage="memory://",
                    webhook_secrets=f"all={new_secret()}",
                    webhook_retry_seconds="0",
                ) as service:
                    yield Traced(service, receiver)


@pytest.fixture(scope="module")
async def local() -> AsyncIterator[LocalServer]:
    """A web of pages."""
    async with local_server() as server:
        yield server


async def test_a_render_is_a_server_span_with_its_phases_below(traced: Traced) -> None:
    """They are those of Server-Timing, with the same times, and one after the other."""
    response, spans = await traced.render(html="<p>phases", format="webp", cache_ttl=0)
    span = server_of(spans)
    assert (span.name, span.parent_id) == ("POST /render", "00f067aa0ba902b7")
    below = sorted((one for one in spans if one is not span), key=lambda one: one.begin)
    assert {one.parent_id for one in below} == {span.span_id}
    assert [one.name for one in below] == PHASES
    assert {one.kind for one in below} == {"INTERNAL"}
    timing = dict(re.findall(r"(\w+);dur=([0-9.]+)", response.headers["Server-Timing"]))
    assert list(timing) == PHASES
    for one in below:
        assert abs(one.milliseconds - float(timing[one.name])) <= 0.11, one  # it is rounded
    edges = [span.begin, *(edge for one in below for edge in (one.begin, one.end)), span.end]
    assert edges == sorted(edges)


async def test_a_span_says_what_was_asked_and_rendered(traced: Traced) -> None:
    """By the names of the HTTP conventions, and by ours for what they have no name for."""
    response, spans = await traced.render(html="<p>said", device_scale_factor=2, cache_ttl=0)
    known = dict(server_of(spans).attributes)
    host, port = traced.service.address.removeprefix("http://").split(":")
    assert re.fullmatch(r"\d+(\.\d+){3}", known.pop("chrome.version"))
    assert known.pop("user_agent.original").startswith("Python")
    assert known == {
        "http.request.method": "POST",
        "http.route": "/render",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/render",
        "network.protocol.version": "1.1",
        "server.address": host,
        "server.port": int(port),
        "client.address": "127.0.0.1",
        "poster.request_id": response.headers["X-Request-Id"],
        "poster.outcome": "ok",
        "poster.source": "html",
        "poster.format": "png",
        "poster.cache": "bypass",
        "poster.isolation": "process",
        "poster.bytes": int(response.headers["Content-Length"]),
        "poster.device_pixels": 40 * 20,
    }
    resource = server_of(spans).resource
    assert resource["service.name"] == "poster-service"
    assert resource["deployment.environment.name"] == "tests"


async def test_names_are_those_of_the_conventions(traced: Traced) -> None:
    """Of the package that OpenTelemetry makes of them; only ours begin otherwise."""
    await traced.render(html="<p>names")
    await traced.render(html="<p>names", width=0)
    own = ("poster.", "chrome.")
    sent = {name for span in traced.receiver.spans for name in span.attributes}
    assert {name for name in sent if not name.startswith(own)} <= stable_names()
    assert {"http.route", "url.path", "user_agent.original"} <= sent


def stable_names() -> set[str]:
    """All names of attributes that are stable."""
    import importlib
    import pkgutil

    modules = pkgutil.iter_modules(semconv.__path__, f"{semconv.__name__}.")
    found = [vars(importlib.import_module(one.name)) for one in modules]
    return {value for one in found for name, value in one.items() if name.isupper()}


@pytest.mark.slow
async def test_a_template_a_hit_and_all_outputs_are_named(traced: Traced) -> None:
    """A picture out of the cache has no phases, and says so."""
    given = {"template": "share-poster", "data": await sample(traced.service)}
    _, painted = await traced.render(**given)
    _, cached = await traced.render(**given)
    first, second = server_of(painted).attributes, server_of(cached).attributes
    assert first["poster.template"] == second["poster.template"] == "share-poster"
    assert (first["poster.cache"], second["poster.cache"]) == ("miss", "hit")
    assert [one.name for one in cached] == ["POST /render"]
    outputs = [{"device_scale_factor": 2, "name": "large"}, {"format": "jpeg", "name": "plain"}]
    answered, several = await traced.render(html="<p>several", outputs=outputs, cache_ttl=0)
    assert answered.status == 200, await answered.text()
    known = server_of(several).attributes
    assert known["poster.format"] == "several"
    assert known["poster.device_pixels"] == 40 * 20 + 20 * 10


async def sample(service: Service) -> Any:
    """The sample of the share poster."""
    listing = await (await service.get("/templates")).json()
    return next(one["sample"] for one in listing["templates"] if one["name"] == "share-poster")


@pytest.mark.slow
async def test_who_waits_for_the_render_of_another_names_it(traced: Traced) -> None:
    """By a link, since the phases are that one's."""
    html = "<style>body { color: #123456 }</style>" + "<p>together" * 200
    both = await asyncio.gather(traced.render(html=html), traced.render(html=html))
    spans = {response.headers["X-Cache"]: spans for response, spans in both}
    if set(spans) == {"miss", "coalesced"}:  # as a rule; a slow client gets a hit
        painted = server_of(spans["miss"])
        assert server_of(spans["coalesced"]).links == [(painted.trace_id, painted.span_id)]
        assert len(spans["coalesced"]) == 1
    else:
        assert set(spans) == {"miss", "hit"}


async def test_a_fault_of_the_caller_is_no_error_and_a_timeout_is_one(traced: Traced) -> None:
    """As the conventions have it for servers: from status 500 on, with the code as error.type."""
    _, refused = await traced.render(html="<p>x", width=0)
    _, late = await traced.render(html="<script>for(;;);</script>", timeout_ms=1500)
    first, second = server_of(refused), server_of(late)
    assert first.status == "UNSET"
    assert first.attributes["http.response.status_code"] == 400
    assert first.attributes["poster.outcome"] == "invalid_field"
    assert "error.type" not in first.attributes
    assert second.status == "ERROR"
    assert second.attributes["http.response.status_code"] == 504
    assert second.attributes["error.type"] == second.attributes["poster.outcome"]
    assert second.attributes["error.type"] == "render_timeout"


async def test_what_a_caller_makes_up_makes_no_names(traced: Traced) -> None:
    """Neither an unknown path nor a method of its own; bytes that are no text lose no span."""
    trace, headers = begun()
    lines = ["PROPFIND /no/such?token=hunter2 HTTP/1.1", "Host: localhost",
             f"traceparent: {headers['traceparent']}"]  # fmt: skip
    head = "\r\n".join(lines).encode() + b"\r\nUser-Agent: \xff\xfe\r\n\r\n"
    async with connected(traced.service) as streams:
        streams[1].write(head)
        assert (await answer(streams))[0] == 404
    span = server_of(await traced.receiver.trace(trace))
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PROPFIND"
    assert span.attributes["url.path"] == "/no/such"
    assert "http.route" not in span.attributes


async def test_a_trace_that_is_not_sampled_is_not_sent(traced: Traced) -> None:
    """Nor is one of the probes; a caller's headers that are not valid begin a new trace."""
    trace, headers = begun(is_sampled=False)
    address = traced.service.address
    for path in ("/templates", "/healthz", "/readyz", "/metrics"):
        async with traced.service.client.get(address + path, headers=headers) as response:
            assert response.status == 200
    broken, _ = begun()
    for path in ("/healthz", "/metrics", "/fonts"):
        more = {"traceparent": f"00-{broken}-0000000000000000-01"}
        async with traced.service.client.get(address + path, headers=more) as response:
            assert response.status == 200
    await traced.render(html="<p>after")
    assert trace not in {one.trace_id for one in traced.receiver.spans}
    assert broken not in {one.trace_id for one in traced.receiver.spans}
    names = {one.name for one in traced.receiver.spans}
    assert "GET /fonts" in names
    assert names.isdisjoint({"GET /healthz", "GET /readyz", "GET /metrics"})


async def test_no_page_learns_of_a_trace_and_a_destination_does(
    traced: Traced, local: LocalServer
) -> None:
    """Through the real fetcher: the page itself, what it loads, its frames, what is added to it."""
    inside = local.page("/inside", "<img src='/in-frame.svg'>")
    page = local.page(
        "/page",
        "<link rel=stylesheet href='/a.css'><img src='/a.svg'><script src='/a.js'></script>"
        f"<iframe src='{inside}'></iframe><script>fetch('/by-script')</script>",
    )
    destination = f"{local.address}/in?signature=hunter2"
    response, spans = await traced.render(
        url=page, wait_until="networkidle0",
        styles=[{"url": f"{local.address}/added.css"}],
        headers={"X-Own": "1"}, destination={"url": destination},
    )  # fmt: skip
    assert response.status == 201, await response.text()
    sent = [one for one in local.received if one.method == "PUT"]
    fetched = [one for one in local.received if one.method != "PUT"]
    paths = {"/page", "/inside", "/a.css", "/a.svg", "/a.js", "/in-frame.svg", "/by-script",
             "/added.css"}  # fmt: skip
    assert paths <= {one.path for one in fetched}
    for one in fetched:
        assert TRACING_HEADERS.isdisjoint(one.headers), one
    (put,) = (one for one in spans if one.name == "PUT")
    assert [one.headers["traceparent"] for one in sent] == [f"00-{put.trace_id}-{put.span_id}-01"]
    assert put.kind == "CLIENT"
    assert put.parent_id == server_of(spans).span_id
    port = local.address.rpartition(":")[2]
    assert put.attributes["url.full"] == f"http://127.0.0.1:{port}/REDACTED"
    assert put.attributes["http.response.status_code"] == 200


@pytest.mark.slow
async def test_a_destination_gets_a_callers_own_header_instead(
    traced: Traced, local: LocalServer
) -> None:
    """What a caller has written for its own address is not replaced, in any spelling."""
    own = f"00-{'ab' * 16}-{'cd' * 8}-00"
    to = {"url": f"{local.address}/own", "headers": {"TraceParent": own}}
    response, _ = await traced.render(html="<p>own", destination=to)
    assert response.status == 201
    assert [one.headers["traceparent"] for one in local.got("/own")] == [own]


async def test_a_stored_result_is_a_span(traced: Traced) -> None:
    """Below the request's."""
    _, spans = await traced.render(html="<p>stored", store=True)
    (store,) = (one for one in spans if one.name == "store")
    assert store.parent_id == server_of(spans).span_id
    assert store.attributes == {"poster.objects": 1}


async def test_a_job_is_a_trace_of_its_own_with_a_link_to_the_request(traced: Traced) -> None:
    """Of the request that asked for it, which ended long before; its phases are the job's."""
    trace, headers = begun()
    given = {"html": "<p>a job", **SMALL}
    address = f"{traced.service.address}/jobs"
    async with traced.service.client.post(address, json=given, headers=headers) as response:
        assert response.status == 202, await response.text()
        job = await response.json()
    asked = server_of(await traced.receiver.trace(trace))
    assert asked.name == "POST /jobs"

    (span,) = await traced.spans_of(job["id"])
    assert (span.kind, span.parent_id) == ("CONSUMER", "")
    assert span.links == [(trace, asked.span_id)]
    assert span.attributes["poster.request_id"] == job["id"]
    assert span.attributes["poster.outcome"] == "ok"
    below = {one.name for one in traced.receiver.spans if one.parent_id == span.span_id}
    assert {*PHASES, "store"} <= below


@pytest.mark.slow
async def test_a_webhook_is_linked_to_its_job_and_has_its_own_trace(
    traced: Traced, local: LocalServer
) -> None:
    """Which the receiver goes on with; a refusal marks it; the address is not recorded."""
    given = {"html": "<p>a webhook", **SMALL}
    sent = {}
    for path in ("/hook", "/status"):
        url = f"{local.address}{path}?code=400&token=hunter2"
        body = {**given, "webhook": {"url": url}}
        async with traced.service.client.post(
            f"{traced.service.address}/jobs", json=body
        ) as response:
            assert response.status == 202, await response.text()
            job = (await response.json())["id"]
        assert await settled(lambda path=path: bool(local.got(path)))  # type: ignore[misc]
        traceparent = local.got(path)[0].headers["traceparent"]
        _, trace, span_id, _ = traceparent.split("-")
        (span,) = await traced.receiver.trace(trace, "POST")
        assert (span.kind, span.span_id, span.parent_id) == ("CLIENT", span_id, "")
        assert "hunter2" not in str(span)
        sent[path] = span
        (worked,) = await traced.spans_of(job)
        assert span.links == [(worked.trace_id, worked.span_id)]
    assert (sent["/hook"].status, sent["/status"].status) == ("UNSET", "ERROR")
    assert sent["/status"].attributes["error.type"] == "400"
    assert sent["/hook"].attributes["http.response.status_code"] == 200


@pytest.mark.slow
async def test_each_item_of_a_batch_is_linked_to_the_request(traced: Traced) -> None:
    """Each a trace of its own."""
    trace, headers = begun()
    given = {"html": "<p>{{ name }}", **SMALL, "items": [{"data": {"name": "a"}}] * 2}
    address = f"{traced.service.address}/batches"
    async with traced.service.client.post(address, json=given, headers=headers) as response:
        assert response.status == 202, await response.text()
        batch = (await response.json())["id"]
    asked = server_of(await traced.receiver.trace(trace))

    items = await traced.spans_of(batch, 2)
    assert [one.links for one in items] == [[(trace, asked.span_id)]] * 2
    assert len({one.trace_id for one in items}) == 2


async def test_no_secret_and_no_page_is_in_what_was_sent(traced: Traced) -> None:
    """Of all that the tests of this file have sent."""
    marker = "ONLY-IN-THIS-PAGE"
    await traced.render(html=f"<p>{marker}")
    response = await traced.service.get("/render?html=hunter2&signature=hunter2")
    assert response.status in (404, 405)
    await traced.render(html="<p>last")
    sent = b"".join(traced.receiver.raw)
    assert len(sent) > 1000
    for secret in (marker, "hunter2"):
        assert secret.encode() not in sent


async def test_metrics_name_a_trace_where_the_scraper_can_read_it(traced: Traced) -> None:
    """As an exemplar, in OpenMetrics alone; that of the request and that of the render."""
    _, spans = await traced.render(html="<p>exemplar", format="jpeg", cache_ttl=0)
    accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"
    address = f"{traced.service.address}/metrics"
    async with traced.service.client.get(address, headers={"Accept": accept}) as response:
        assert response.content_type == "application/openmetrics-text"
        text = await response.text()
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    ids = {server_of(spans).trace_id}
    assert exemplars(families, "poster_render_seconds", format="jpeg") == ids
    route = {"http_request_method": "POST", "http_route": "/render"}
    requests = "http_server_request_duration_seconds"
    assert ids <= exemplars(families, requests, **route, http_response_status_code="200")
    plain = await traced.service.get("/metrics")
    assert plain.content_type == "text/plain"
    text = await plain.text()
    assert "trace_id" not in text
    assert "# EOF" not in text


def exemplars(families: list[Any], name: str, **labels: str) -> set[str]:
    """The traces that a metric names."""
    samples = [sample for family in families if family.name == name for sample in family.samples]
    return {
        sample.exemplar.labels["trace_id"]
        for sample in samples
        if sample.exemplar and labels.items() <= sample.labels.items()
    }
