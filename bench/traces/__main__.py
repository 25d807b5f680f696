"""What tracing costs: CPU a request with it off, on and not sampled, and on and sent.

    python -m bench.traces [--hits 1000] [--renders 60] [--rounds 9] [--before FOLDER] [--out FILE]

Five minutes, no privilege needed. Services as processes of their own run side by side and are asked
in turn, round after round, so that all meet the same machine: without the variables of
OpenTelemetry; with them and `OTEL_TRACES_SAMPLER=always_off`; and with every trace sent to a
collector, which is this process and only reads. With `--before`, the service of another checkout
too, such as one from before a change. CPU is of the service's process alone, all threads, without
its Chromes (proc_pid_schedstat). What counts is the median of the differences within a round. A
cache hit has the same span as a render, and little else, so it shows best what a span costs; sent,
a render has its phases too.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

from bench.hits.__main__ import answering, ask, running
from bench.own.__main__ import thread_times
from bench.rows import parser_of, write_rows

HTML = "<!doctype html><title>traces</title><p>A page without pictures"
SMALL = {"width": 100, "height": 100}
CACHED = json.dumps({"html": HTML, **SMALL}).encode()
PAINTED = json.dumps({"html": HTML, **SMALL, "cache_ttl": 0, "png_compression": "fast"}).encode()
OFF = "off"


@dataclass(frozen=True)
class Row:
    """One candidate asked for one thing.

    Attributes:
        candidate: How the service traces.
        request: "hit" or "render".
        cpu_ms: CPU a request, in milliseconds: the median of the rounds.
        more_ms: By how much more than with tracing off: the median of the rounds.
        least_ms: The first quartile of that.
        most_ms: The third quartile of that.
    """

    candidate: str
    request: str
    cpu_ms: float
    more_ms: float
    least_ms: float
    most_ms: float


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[int]]]:
    """A server that reads what it is sent: its address, and the sizes of that."""
    sizes: list[int] = []

    async def take(request: web.Request) -> web.Response:
        sizes.append(len(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", sizes
    finally:
        await runner.cleanup()


def commands(collector: str, before: Path | None) -> Iterator[tuple[str, list[str]]]:
    """The candidates, and how each is started."""
    serve = ["POSTER_ISOLATION=context", "POSTER_RENDERS_PER_CHROME=10000"]
    program = [sys.executable, "-P", "-m", "poster_service", "serve", "--port=0"]
    sent = f"OTEL_EXPORTER_OTLP_ENDPOINT={collector}"
    if before is not None:
        yield "before", ["env", f"PYTHONPATH={before}", *serve, *program]
    yield OFF, ["env", *serve, *program]
    yield "on, not sampled", ["env", sent, "OTEL_TRACES_SAMPLER=always_off", *serve, *program]
    yield "on, sent", ["env", sent, *serve, *program]


def cpu_ms(process: psutil.Process) -> float:
    """CPU of a process alone, of all its threads, in milliseconds."""
    return sum(ms for _, ms in thread_times(process.pid).values())


async def spent(service: tuple[str, psutil.Process], body: bytes, requests: int) -> float:
    """CPU milliseconds a request, asked one after the other."""
    address, process = service
    async with aiohttp.ClientSession() as client:
        before = cpu_ms(process)
        for _ in range(requests):
            await ask(client, address, body)
        return (cpu_ms(process) - before) / requests


async def main(given: argparse.Namespace) -> list[Row]:
    """Start the candidates, and ask them in turn."""
    async with contextlib.AsyncExitStack() as stack:
        address, sizes = await stack.enter_async_context(collector())
        services = {}
        for name, command in commands(address, given.before):
            where, process = await stack.enter_async_context(running(*command))
            services[name] = (where, answering(process))
            for body in (CACHED, PAINTED):
                await spent(services[name], body, 20)
        wanted = {"hit": (CACHED, given.hits), "render": (PAINTED, given.renders)}
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in wanted}
        for number in range(given.rounds):
            order = list(services) if number % 2 else list(reversed(services))
            for kind, (body, requests) in wanted.items():
                cpu = {name: await spent(services[name], body, requests) for name in order}
                found[kind].append(cpu)
        if not sizes:
            raise SystemExit("no trace was sent")
    return [row_of(kind, name, rounds) for kind, rounds in found.items() for name in services]


def row_of(kind: str, name: str, rounds: list[dict[str, float]]) -> Row:
    """A candidate's figures over all rounds."""
    more = [one[name] - one[OFF] for one in rounds]
    least, middle, most = statistics.quantiles(more, n=4)
    cpu = statistics.median(one[name] for one in rounds)
    return Row(name, kind, *(round(value, 3) for value in (cpu, middle, least, most)))


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| request | tracing | CPU ms | more than off, ms | quartiles |",
        "|---|---|--:|--:|--|",
    ]
    lines += [
        f"| {row.request} | {row.candidate} | {row.cpu_ms:.2f} | {row.more_ms:+.3f}"
        f" | {row.least_ms:+.3f} to {row.most_ms:+.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = parser_of("traces", __doc__, rounds=9)
    parser.add_argument("--hits", type=int, default=1000, help="cache hits a round and candidate")
    parser.add_argument("--renders", type=int, default=60, help="renders a round and candidate")
    parser.add_argument("--before", type=Path, help="a checkout to measure beside this one")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    measured = asyncio.run(main(asked))
    print(table(measured))
    write_rows(asked, measured)
