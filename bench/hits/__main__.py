"""What a cache hit costs, beside a bare aiohttp handler that answers with the same bytes.

    python -m bench.hits [--requests 2000] [--callers 16] [--rounds 3] [--out FILE.json]

A minute, no privilege needed. The service and the bare handler run as processes of their own, one
event loop each, and are asked in turn by the same client, round after round, so that both meet the
same machine. CPU is of the process that answers (utime and stime of proc_pid_stat(5)), a request;
the rate depends on the client too, which takes the other core. Requests: the sample of the bundled
share poster as template and data, and the reference poster as HTML. Each is painted once before.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from bench.render.posters import REFERENCE, html
from bench.rows import parser_of, write_rows

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
START_SECONDS, STOP_SECONDS = 60.0, 20.0
#: Answers every POST with the bytes of a file; the least that aiohttp can do.
BARE = """
import asyncio, sys
from pathlib import Path
from aiohttp import web

body = Path(sys.argv[1]).read_bytes()


async def answer(request):
    await request.read()
    return web.Response(body=body, content_type="image/png")


async def main():
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/render", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
"""


@dataclass(frozen=True)
class Row:
    """One candidate asked for one thing.

    Attributes:
        candidate: "service" or "bare aiohttp".
        request: What was asked for.
        bytes: Of the answer.
        cpu_ms: CPU of the answering process a request, in milliseconds: the median of the rounds.
        rate: Answers a second: the median of the rounds.
    """

    candidate: str
    request: str
    bytes: int
    cpu_ms: float
    rate: float


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Start a server that prints its address; gives the address and its process."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "POSTER_LOG_LEVEL": "info"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            while (found := ADDRESS.search((await process.stdout.readline()).decode())) is None:
                if process.stdout.at_eof():
                    raise SystemExit(f"{command[0]} ended before it served")
        draining = asyncio.create_task(drain(process.stdout))
        yield found[0], psutil.Process(process.pid)
        draining.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def drain(stream: asyncio.StreamReader) -> None:
    """Read what a server logs, so that it never waits for its pipe."""
    while await stream.read(1 << 16):
        pass


def answering(process: psutil.Process) -> psutil.Process:
    """The process that answers: init's child where the service has its own init before it."""
    named = [one for one in process.children() if "serve" in one.cmdline()]
    return named[0] if named else process


def cpu_seconds(process: psutil.Process) -> float:
    """CPU of a process alone, without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def ask(client: aiohttp.ClientSession, address: str, body: bytes) -> tuple[bytes, str]:
    """One answer, and its cache status."""
    headers = {"Content-Type": "application/json"}
    async with client.post(f"{address}/render", data=body, headers=headers) as answer:
        data = await answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {data[:300]!r}")
        return data, answer.headers.get("X-Cache", "")


async def round_of(
    address: str, process: psutil.Process, body: bytes, requests: int, callers: int
) -> tuple[float, float]:
    """CPU milliseconds a request, and requests a second."""
    left = iter(range(requests))

    async def caller(client: aiohttp.ClientSession) -> None:
        for _ in left:
            _, status = await ask(client, address, body)
            if status not in ("", "hit"):
                raise SystemExit(f"not a hit: {status}")

    connector = aiohttp.TCPConnector(limit=callers)
    async with aiohttp.ClientSession(connector=connector) as client:
        begin, used = time.perf_counter(), cpu_seconds(process)
        await asyncio.gather(*(caller(client) for _ in range(callers)))
        seconds, used = time.perf_counter() - begin, cpu_seconds(process) - used
    return used * 1000 / requests, requests / seconds


def bodies() -> Mapping[str, bytes]:
    """The requests by name."""
    sample = json.loads((ROOT / "templates/share-poster/sample.json").read_text())
    return {
        "share poster, template and data": json.dumps(
            {"template": "share-poster", "data": sample}
        ).encode(),
        "reference poster, HTML": json.dumps({"html": html(REFERENCE.name)}).encode(),
    }


async def measure(
    name: str, body: bytes, service: tuple[str, psutil.Process], given: argparse.Namespace
) -> list[Row]:
    """Both candidates, asked for one thing in turn."""
    address, process = service
    async with aiohttp.ClientSession() as client:
        for _ in range(2):
            picture, status = await ask(client, address, body)
        if status != "hit":
            raise SystemExit(f"{name}: not cached: {status}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "picture")
        file.write_bytes(picture)
        async with running(sys.executable, "-c", BARE, str(file)) as bare:
            found: dict[str, list[tuple[float, float]]] = {"service": [], "bare aiohttp": []}
            for _ in range(given.rounds):
                for who, (at, one) in (("service", (address, process)), ("bare aiohttp", bare)):
                    found[who].append(await round_of(at, one, body, given.requests, given.callers))
    return [
        Row(
            who, name, len(picture),
            round(statistics.median(cpu for cpu, _ in rounds), 3),
            round(statistics.median(rate for _, rate in rounds), 1),
        )
        for who, rounds in found.items()
    ]  # fmt: skip


async def main(given: argparse.Namespace) -> list[Row]:
    """Start the service, and measure each request."""
    program = str(Path(sys.executable).with_name("poster-service"))
    async with running(program, "serve", "--port", "0") as (address, process):
        service = address, answering(process)
        rows = [await measure(name, body, service, given) for name, body in bodies().items()]
    return [row for pair in rows for row in pair]


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table; ratios are to the bare handler of the same request."""
    lines = [
        "| request | answered by | bytes | CPU ms | x | answers/s | x |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        (bare,) = (one for one in rows if one.request == row.request and "bare" in one.candidate)
        lines.append(
            f"| {row.request} | {row.candidate} | {row.bytes} | {row.cpu_ms:.2f}"
            f" | {row.cpu_ms / bare.cpu_ms:.2f} | {row.rate:.0f} | {row.rate / bare.rate:.2f} |"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = parser_of("hits", __doc__, rounds=3)
    parser.add_argument("--requests", type=int, default=2000, help="requests a round and candidate")
    parser.add_argument("--callers", type=int, default=16, help="requests at once")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    measured = asyncio.run(main(asked))
    print(table(measured))
    write_rows(asked, measured)
