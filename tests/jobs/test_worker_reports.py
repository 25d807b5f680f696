"""A worker alone renders, delivers the webhook and sends its spans: no service is left to help."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import short_folder
from tests.jobs.fleet import clean_folder
from tests.jobs.receiver import Delivery, WebhookReceiver, new_secret
from tests.jobs.receiver import receiving as receiving_webhooks
from tests.jobs.waiting import until
from tests.web.otlp_receiver import Received, Receiver, server_of
from tests.web.otlp_receiver import receiving as receiving_spans
from tests.web.redis_server import Server
from tests.web.served import started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SECRET = new_secret()
PHASES = {"queue", "lease", "setup", "load", "wait", "capture", "store"}


@dataclass
class Reports:
    """Who takes what is reported, and the variables of the processes that report.

    Attributes:
        hooks: Takes webhooks.
        traces: Takes spans.
        variables: Of the environment.
    """

    hooks: WebhookReceiver
    traces: Receiver
    variables: dict[str, str]

    def of_process(self, name: str) -> dict[str, str]:
        """The variables of a process that calls itself so in its spans."""
        return {**self.variables, "OTEL_SERVICE_NAME": name}

    def spans(self, name: str) -> list[Received]:
        """Those of that name, in the order in which they came."""
        return [one for one in self.traces.spans if one.name == name]


def variables_of(redis: Server, results: Path, traces: Receiver) -> dict[str, str]:
    """What a service and its workers have in common."""
    return {
        "POSTER_JOBS_REDIS": redis.address,
        "POSTER_STORAGE": f"file://{results}",
        "POSTER_ALLOW_PRIVATE": "127.0.0.0/8",
        "POSTER_WEBHOOK_SECRETS": f"all={SECRET}",
        "POSTER_WEBHOOK_RETRY_SECONDS": "0,0",
        "POSTER_READY_CHROMES": "1",
        "POSTER_MAX_READY_CHROMES": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.address,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }


async def submitted(reports: Reports, work_dir: Path, trace: str, **options: Any) -> str:
    """The id of a job that a service accepted, which runs none and has ended since."""
    accepting = {**reports.of_process("accepting"), "POSTER_JOBS_CONCURRENCY": "0"}
    body = {"width": 20, "height": 10, "webhook": {"url": reports.hooks.address}, **options}
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    async with (
        started(work_dir, **accepting) as service,
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{service.address}/jobs", json=body) as response,
    ):
        found = await response.json()
        assert response.status == 202, found
        return str(found["id"])


async def delivered_by_a_worker(reports: Reports) -> Delivery:
    """What a worker delivers; it has ended since, and so has sent all its spans."""
    with clean_folder() as folder:
        working = reports.of_process("working")
        async with started(folder, command="work", **working) as worker:
            (found, *_) = await reports.hooks.wait_for(1)

            async def is_counted() -> bool:
                async with worker.client.get(f"{worker.address}/metrics") as response:
                    text = await response.text()
                return 'poster_webhook_attempts_total{outcome="ok"} 1.0' in text

            await until(is_counted)
    assert worker.process.returncode == 0
    return found


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"html": "<p>rendered"}, "render.succeeded"),
        ({"html": "<p>lost", "selector": "#none"}, "render.failed"),
    ],
)
async def test_a_worker_delivers_the_webhook_and_its_spans(
    redis: Server, tmp_path: Path, options: dict[str, Any], kind: str
) -> None:
    """Verified by the reference; linked from the webhook to the job, and to the request."""
    trace = secrets.token_hex(16)
    async with receiving_webhooks() as hooks, receiving_spans() as traces:
        reports = Reports(hooks, traces, variables_of(redis, tmp_path / "results", traces))
        with short_folder() as folder:
            job = await submitted(reports, folder, trace, **options)
        hook = await delivered_by_a_worker(reports)
    message = hook.verified(SECRET)
    assert (message["type"], message["data"]["job"]) == (kind, job)
    assert len(hooks.got) == 1
    asked = server_of([one for one in traces.spans if one.trace_id == trace])
    assert asked.resource["service.name"] == "accepting"
    (worked,) = reports.spans("process job")
    assert worked.resource["service.name"] == "working"
    assert (worked.kind, worked.links) == ("CONSUMER", [(trace, asked.span_id)])
    assert worked.attributes["poster.request_id"] == job
    below = {one.name for one in traces.spans if one.parent_id == worked.span_id}
    (sent,) = reports.spans("POST")
    assert sent.resource["service.name"] == "working"
    assert sent.links == [(worked.trace_id, worked.span_id)]
    assert hook.headers["traceparent"] == f"00-{sent.trace_id}-{sent.span_id}-01"
    if kind == "render.succeeded":
        assert below >= PHASES
        assert worked.attributes["poster.outcome"] == "ok"
    else:
        assert worked.attributes["poster.outcome"] == message["data"]["problem"]["code"]
