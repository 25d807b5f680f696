"""What the queue costs: a batch of small posters beside the same renders over POST /render.

    python -m bench.jobs [--quick] [--items 200] [--rounds 3] [--intake 100000] [--out FILE.json]

Ten minutes, with `--quick` some three, no privilege needed; `redis-server` must be there. Three
ways in turn, round after round, so that all meet the same machine: POST /render with `store` at one
service; a batch that one worker renders, accepted by a service that renders nothing; the same with
two workers. Each renders as many at once (the two workers half each), stores into a folder, and
every item is another picture. CPU is of all processes of each way, Redis, dead Chromes and the
accepting service included. Figures compare within one run only; the ratio of CPU is what repeats.

Then one batch of many items is sent to a service that does not render: the memory of the service,
and of Redis for each item that waits, and for each that has ended.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import psutil

from bench.render.accounts import tree_seconds
from bench.rows import parser_of, write_rows
from tests.web.redis_server import Server

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
COMMON = {
    "html": "<body style='margin: 0; background: #fff; font: 20px sans-serif'>{{ n }}",
    "width": 120,
    "height": 60,
}
#: Items, rounds, items of the large batch.
QUICK = (60, 1, 20_000)
NDJSON = {"Content-Type": "application/x-ndjson"}
START_SECONDS, END_SECONDS = 120.0, 1800.0
IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Row:
    """One way in.

    Attributes:
        way: How the renders were asked for.
        cpu_ms: CPU of all its processes for each render, in milliseconds: the median of the rounds.
        rate: Renders a second, likewise.
        parts: The CPU of each process with its children, in the last round.
        idle: CPU of each in a second in which nothing is to be done, in milliseconds.
    """

    way: str
    cpu_ms: float
    rate: float
    parts: dict[str, float]
    idle: dict[str, float]


@dataclass(frozen=True)
class Memory:
    """A batch of many items that wait.

    Attributes:
        items: How many.
        intake_seconds: Until the batch was accepted.
        service_mib: Resident memory of the service before, and the most while it received them.
        redis_bytes: Of Redis for each item that waits.
        ended_bytes: Of Redis for each item that has ended, in the batches measured above.
    """

    items: int
    intake_seconds: float
    service_mib: tuple[float, float]
    redis_bytes: float
    ended_bytes: float


@dataclass
class Way:
    """Processes that render together, and where to ask them.

    Attributes:
        name: Of the row.
        address: Of the service that accepts.
        roots: The processes whose trees count, by what they are.
    """

    name: str
    address: str
    roots: dict[str, int]

    def cpu(self) -> dict[str, float]:
        """CPU so far of each, in seconds."""
        return {name: tree_seconds(pid) for name, pid in self.roots.items()}


@contextlib.asynccontextmanager
async def started(command: str, port: int, **settings: str) -> AsyncIterator[tuple[str, int]]:
    """A service or a worker that is ready; its address and its process."""
    program = str(Path(sys.executable).with_name("poster-service"))
    given = {f"POSTER_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        program, command, "--port", str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **given, "POSTER_LOG_LEVEL": "error"},
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as client, asyncio.timeout(START_SECONDS):
            while True:
                if await is_ready(client, address):
                    break
                await asyncio.sleep(0.1)
        yield address, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def is_ready(client: aiohttp.ClientSession, address: str) -> bool:
    """Whether a service says so."""
    with contextlib.suppress(aiohttp.ClientError):
        async with client.get(f"{address}/readyz") as answer:
            return answer.status == 200
    return False


def free_port() -> int:
    """A port that was free a moment ago."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def by_request(way: Way, first: int, items: int) -> float:
    """Render by POST /render, as many at once as have a slot and one that waits; the seconds."""
    left = iter(range(first, first + items))

    async def caller(client: aiohttp.ClientSession) -> None:
        for number in left:
            page = COMMON["html"].replace("{{ n }}", str(number))  # type: ignore[attr-defined]
            given = {**COMMON, "html": page, "store": True}
            async with client.post(f"{way.address}/render", json=given) as answer:
                if answer.status != 201:
                    raise SystemExit(f"{answer.status}: {await answer.text()}")

    begin = time.perf_counter()
    async with aiohttp.ClientSession() as client:
        await asyncio.gather(*(caller(client) for _ in range(AT_ONCE + 1)))
    return time.perf_counter() - begin


def lines(first: int, items: int) -> Iterator[bytes]:
    """A batch of so many items."""
    yield json.dumps({"common": COMMON}).encode() + b"\n"
    for number in range(first, first + items):
        yield json.dumps({"id": f"item-{number}", "data": {"n": number}}).encode() + b"\n"


async def by_batch(way: Way, first: int, items: int) -> float:
    """Render by a batch; the seconds until its last item has ended, asked for once a second."""
    begin = time.perf_counter()
    async with aiohttp.ClientSession() as client, asyncio.timeout(END_SECONDS):
        batch = await accepted(client, way.address, b"".join(lines(first, items)))
        while True:
            async with client.get(f"{way.address}/batches/{batch}") as answer:
                found = await answer.json()
            if found["finished"]:
                break
            await asyncio.sleep(1)
    if found["counts"]["done"] != items:
        raise SystemExit(f"not all were rendered: {found}")
    return time.perf_counter() - begin


async def accepted(client: aiohttp.ClientSession, address: str, body: bytes) -> str:
    """The id of a batch."""
    async with client.post(f"{address}/batches", data=body, headers=NDJSON) as answer:
        found = await answer.json()
        if answer.status != 202:
            raise SystemExit(f"{answer.status}: {found}")
        return str(found["id"])


async def compare(folder: Path, given: argparse.Namespace) -> tuple[list[Row], float]:
    """All three ways in turn; and the bytes of Redis for each item that has ended."""
    found: dict[str, list[tuple[float, float]]] = {}
    redis_bytes: list[float] = []
    parts: dict[str, dict[str, float]] = {}
    idle: dict[str, dict[str, float]] = {}
    number = 0
    for _ in range(given.rounds):
        for workers in (0, 1, 2):
            async with contextlib.AsyncExitStack() as stack:
                way = await ways(stack, folder, workers)
                work = by_batch if workers else by_request
                await work(way, number, AT_ONCE * 4)  # warm
                number += AT_ONCE * 4
                idle[way.name] = await idling(way)
                before, memory = way.cpu(), used(folder) if workers else 0
                seconds = await work(way, number, given.items)
                number += given.items
                each = {name: one - before[name] for name, one in way.cpu().items()}
                parts[way.name] = {
                    name: round(one * 1000 / given.items, 1) for name, one in each.items()
                }
                cpu = sum(each.values())
                if workers:
                    redis_bytes.append((used(folder) - memory) / given.items)
                found.setdefault(way.name, []).append(
                    (cpu * 1000 / given.items, given.items / seconds)
                )
                figures = (f"{one:.1f}" for one in found[way.name][-1])
                print(way.name, *figures, parts[way.name], idle[way.name], file=sys.stderr)
    rows = [
        Row(
            name,
            round(statistics.median(cpu for cpu, _ in rounds), 1),
            round(statistics.median(rate for _, rate in rounds), 2),
            parts[name],
            idle[name],
        )
        for name, rounds in found.items()
    ]
    return rows, statistics.median(redis_bytes)


async def idling(way: Way) -> dict[str, float]:
    """CPU of each of its processes in a second, in milliseconds, while nothing is to be done."""
    await asyncio.sleep(2)  # of the renders before it Chromes end
    before = way.cpu()
    await asyncio.sleep(IDLE_SECONDS)
    return {
        name: round((one - before[name]) * 1000 / IDLE_SECONDS, 1)
        for name, one in way.cpu().items()
    }


async def ways(stack: contextlib.AsyncExitStack, folder: Path, workers: int) -> Way:
    """Start the processes of one way: a service that renders, or one that accepts and workers."""
    work = [folder / f"w{place}" for place in range(workers + 1)]
    for one in work:
        one.mkdir(exist_ok=True)
    shared = {"storage": f"file://{folder}/results", "cache_bytes": "0", "max_ready_chromes": "2"}
    if not workers:
        begun = started(
            "serve", free_port(), work_dir=str(work[0]), concurrency=str(AT_ONCE), **shared
        )
        address, pid = await stack.enter_async_context(begun)
        return Way("POST /render", address, {"service": pid})
    redis = Server(folder)
    stack.callback(redis.stop)
    shared["jobs_redis"] = redis.address
    begun = started(
        "serve", free_port(), work_dir=str(work[0]), concurrency="1", jobs_concurrency="0", **shared
    )
    address, pid = await stack.enter_async_context(begun)
    roots = {"service": pid, "redis": redis_pid(folder)}
    for place in range(workers):
        slots = str(AT_ONCE // workers)
        begun = started(
            "work", free_port(), work_dir=str(work[place + 1]), concurrency=slots, **shared
        )
        roots[f"worker {place + 1}"] = (await stack.enter_async_context(begun))[1]
    return Way(f"a batch, {workers} worker{'s' * (workers > 1)}", address, roots)


def redis_pid(folder: Path) -> int:
    """The process of the Redis in a folder."""
    from redis import Redis

    with Redis(unix_socket_path=str(folder / "redis.sock")) as client:
        return int(client.info("server")["process_id"])


def used(folder: Path) -> int:
    """Bytes that the Redis in a folder has in use."""
    from redis import Redis

    with Redis(unix_socket_path=str(folder / "redis.sock")) as client:
        return int(client.info("memory")["used_memory"])


async def intake(folder: Path, items: int, ended_bytes: float) -> Memory:
    """Send a batch of many items that no worker takes."""
    async with contextlib.AsyncExitStack() as stack:
        redis = Server(folder)
        stack.callback(redis.stop)
        begun = started(
            "serve", free_port(), work_dir=str(folder / "w0"), concurrency="1",
            jobs_concurrency="0", jobs_redis=redis.address, storage=f"file://{folder}/results",
            batch_items=str(max(items, 1000)),
        )  # fmt: skip
        address, pid = await stack.enter_async_context(begun)
        first = psutil.Process(pid)  # init, or the service itself where init runs already
        service = next((one for one in first.children() if "serve" in one.cmdline()), first)
        async with aiohttp.ClientSession() as client:
            await accepted(client, address, b"".join(lines(0, 1000)))  # warm
            await asyncio.sleep(1)
            before, memory = service.memory_info().rss, used(folder)
            most = before

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, service.memory_info().rss)
                    await asyncio.sleep(0.05)

            watching = asyncio.create_task(watch())
            begin = time.perf_counter()
            await accepted(client, address, b"".join(lines(0, items)))
            seconds = time.perf_counter() - begin
            await asyncio.sleep(2)
            watching.cancel()
        redis_bytes = (used(folder) - memory) / items
    mib = round(before / 2**20, 1), round(most / 2**20, 1)
    return Memory(items, round(seconds, 1), mib, round(redis_bytes), round(ended_bytes))


async def main(given: argparse.Namespace) -> tuple[list[Row], Memory]:
    """Everything."""
    with tempfile.TemporaryDirectory(prefix="b-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        rows, ended = await compare(folder, given)
        return rows, await intake(folder, given.intake, ended)


def table(rows: list[Row], memory: Memory) -> str:
    """The result as Markdown."""
    first = rows[0]
    text = ["| renders by | CPU ms | x | renders/s | x |", "|---|--:|--:|--:|--:|"]
    text += [
        f"| {row.way} | {row.cpu_ms:.0f} | {row.cpu_ms / first.cpu_ms:.2f} | {row.rate:.1f}"
        f" | {row.rate / first.rate:.2f} |"
        for row in rows
    ]
    before, most = memory.service_mib
    text += [f"\n{row.way}: {row.parts}; idle, ms a second: {row.idle}" for row in rows]
    text.append(
        f"\n{memory.items} items accepted in {memory.intake_seconds:g} s; service {before:g} MiB"
        f" before, {most:g} MiB at most; Redis {memory.redis_bytes:g} bytes for an item that waits,"
        f" {memory.ended_bytes:g} for one that has ended"
    )
    return "\n".join(text)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = parser_of("jobs", __doc__, rounds=3)
    parser.add_argument("--items", type=int, default=200, help="renders of each way in a round")
    parser.add_argument("--intake", type=int, default=100_000, help="items of the large batch")
    parser.add_argument("--quick", action="store_true", help="60 items, one round, 20,000 items")
    found = parser.parse_args()
    if found.quick:
        found.items, found.rounds, found.intake = QUICK
    return found


if __name__ == "__main__":
    asked = arguments()
    measured, large = asyncio.run(main(asked))
    print(table(measured, large))
    write_rows(asked, measured, memory=asdict(large))
