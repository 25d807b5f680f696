"""Traces of `poster-service serve`, a process of its own: its start, its log, its end."""

import asyncio
import contextlib
import json
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import settled, short_folder
from tests.processes import end
from tests.web.otlp_receiver import receiving, server_of
from tests.web.served import environment, left_of

pytestmark = pytest.mark.slow


@dataclass
class Traced:
    """A service and the lines of its log.

    Attributes:
        serves: Set when the log names its address, or has ended.
    """

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""
    serves: asyncio.Event = field(default_factory=asyncio.Event)

    async def render(self, address: str, **headers: str) -> None:
        """One render that must succeed."""
        async with aiohttp.ClientSession(headers=headers) as client:
            given = {"html": "<p>x", "width": 20, "height": 10}
            async with client.post(f"{address}/render", json=given) as response:
                assert response.status == 200, await response.text()
                await response.read()

    async def read(self) -> None:
        """Read the log until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if line.startswith(b"{"):
                self.lines.append(json.loads(line))
                if found := re.search(r"http://\S+", self.lines[-1]["message"]):
                    self.address = found[0]
                    self.serves.set()
        self.serves.set()

    def logged(self, message: str) -> list[dict[str, Any]]:
        """The lines with a message."""
        return [one for one in self.lines if one["message"] == message]

    async def stop(self) -> int:
        """End it by SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@contextlib.asynccontextmanager
async def serving(work_dir: Path, **variables: str) -> AsyncIterator[tuple[Traced, str]]:
    """A service with variables of OpenTelemetry, and its address; what it started has ended."""
    plain = {name: value for name, value in environment(work_dir).items() if "OTEL_" not in name}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "poster_service", "serve", "--port=0", "--log-format=json",
        "--log-stream=stdout",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=plain | variables,
    )  # fmt: skip
    traced = Traced(process)
    reading = asyncio.create_task(traced.read())

    try:
        await traced.serves.wait()
        assert traced.address, traced.lines
        yield traced, traced.address
    finally:
        assert await end(process), "the service had to be killed"
        await reading
    assert await settled(lambda: left_of(work_dir) == []), left_of(work_dir)


async def test_the_last_spans_are_sent_at_the_stop_and_log_lines_have_the_trace() -> None:
    """With a batch that is due in ten minutes; compressed as the variables say."""
    trace, above = secrets.token_hex(16), secrets.token_hex(8)
    with short_folder() as work_dir:
        async with receiving() as receiver:
            variables = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
                "OTEL_BSP_SCHEDULE_DELAY": "600000",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                "OTEL_SERVICE_NAME": "posters",
            }
            async with serving(work_dir, **variables) as (traced, address):
                await traced.render(address, traceparent=f"00-{trace}-{above}-01")
                assert receiver.spans == []
                assert await traced.stop() == 0
            assert receiver.encodings == ["gzip"]
            (span,) = (server_of([one]) for one in receiver.spans if one.kind == "SERVER")
    assert (span.trace_id, span.parent_id) == (trace, above)
    assert span.resource["service.name"] == "posters"
    (line,) = (one for one in traced.logged("render") if "trace_id" in one)  # not the probe
    assert (line["trace_id"], line["span_id"]) == (trace, span.span_id)
    assert line["request_id"] == span.attributes["poster.request_id"]


async def test_a_collector_that_never_answers_delays_neither_render_nor_stop() -> None:
    """It takes the connection and says nothing; the stop goes on after its second."""
    waiting: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.append(writer)
        await reader.read()  # to the end of what is sent, which comes when the service has ended

    collector = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = collector.sockets[0].getsockname()[1]
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3600",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    try:
        with short_folder() as work_dir:
            async with serving(work_dir, **variables) as (traced, address):
                await traced.render(address)
                assert await settled(lambda: bool(waiting))
                await traced.render(address)
                assert await traced.stop() == 0
    finally:
        for writer in waiting:
            writer.transport.abort()
        collector.close()
        await collector.wait_closed()


async def test_a_collector_that_is_not_there_is_logged_once() -> None:
    """However many batches fail; the service serves and stops."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",  # discard; nothing listens
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",  # for one retry
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    with short_folder() as work_dir:
        async with serving(work_dir, **variables) as (traced, address):
            await traced.render(address)
            assert await settled(lambda: bool(traced.logged("traces cannot be sent")))
            for _ in range(3):
                await traced.render(address)
            assert await traced.stop() == 0
    (line,) = traced.logged("traces cannot be sent")
    assert (line["level"], line["reason"]) == ("warning", "ConnectionError")
    assert not [one for one in traced.lines if one["logger"].startswith("opentelemetry")]
