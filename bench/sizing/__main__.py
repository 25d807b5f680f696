"""What the image needs: memory and CPU for each render at once, time to start, size.

    eval "$(tools/engine.sh up)"; python -m bench.sizing [--renders 40] [--out FILE.json]

The figures of docker/README.md, from outside: PSS (proc_pid_smaps(5)) by /proc of the host, CPU and
peak memory by the container's control group, to which the kernel charges a page that many read
(Chrome's program) only where it was read first. It needs root, for other users' memory. CPU repeats
within some per cent; times are those of the machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.image.harness import IMAGE, ROOT, SECCOMP, Container, Engine, container, find_engine
from tests.image.harness import sample as sample_of

MIB = 1 << 20
CONCURRENCY = (1, 2, 4)
SAMPLE_SECONDS = 0.02


def pss(process: psutil.Process) -> int:
    """Proportional set size in bytes; 0 when it is gone."""
    with suppress(OSError, psutil.Error):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def group_file(one: Container, first: tuple[str, str], second: str) -> str:
    """The text of a file of the container's control group, of either version (cgroups(7))."""
    for line in Path(f"/proc/{one.pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if first[0] in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{first[0]}{path}/{first[1]}").read_text()
        if not controllers:
            with suppress(OSError):
                return Path(f"/sys/fs/cgroup{path}/{second}").read_text()
    raise SystemExit("sizing: the container's control group cannot be read here")


def cpu_seconds(one: Container) -> float:
    """CPU that all of the container has used, dead processes too."""
    text = group_file(one, ("cpuacct", "cpuacct.usage"), "cpu.stat")
    if text.startswith("usage_usec"):
        return int(text.split()[1]) / 1e6
    return int(text) / 1e9


def peak_bytes(one: Container) -> int:
    """The most memory that the container ever held, page cache too."""
    return int(group_file(one, ("memory", "memory.max_usage_in_bytes"), "memory.peak"))


def chromes(one: Container) -> list[int]:
    """PSS of each Chrome with its shim, one sum for each shim."""
    service = psutil.Process(one.pid).children()[0]
    try:
        shims = [[shim, *shim.children(recursive=True)] for shim in service.children()]
    except psutil.Error:  # one has just gone
        return []
    return [sum(map(pss, parts)) for parts in shims]


@asynccontextmanager
async def sampling(one: Container) -> AsyncIterator[list[int]]:
    """The largest Chrome of each of many looks, while inside."""
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(max(await asyncio.to_thread(chromes, one), default=0))
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def render_all(one: Container, count: int, at_once: int) -> None:
    """So many posters, so many at a time."""
    gate = asyncio.Semaphore(at_once)

    async def render() -> None:
        async with gate:
            await one.picture(**sample_of("share-poster"))

    await asyncio.gather(*(render() for _ in range(count)))


async def measure(engine: Engine, at_once: int, renders: int) -> dict[str, Any]:
    """One container with so many renders at once."""
    options = (f"--env=POSTER_CONCURRENCY={at_once}", f"--security-opt={SECCOMP}", "--tmpfs=/tmp")
    begin = time.monotonic()
    async with container(engine, *options) as one:
        started = time.monotonic() - begin
        await render_all(one, 2 * at_once, at_once)
        await one.at_rest()
        service = psutil.Process(one.pid).children()[0]
        rest = {
            "init_mib": pss(psutil.Process(one.pid)) / MIB,
            "service_mib": pss(service) / MIB,
            "ready_chrome_mib": max(chromes(one)) / MIB,
        }
        before, begin = cpu_seconds(one), time.monotonic()
        await render_all(one, renders, at_once)
        await one.at_rest()
        cpu, took = cpu_seconds(one) - before, time.monotonic() - begin
        async with sampling(one) as seen:  # apart from the CPU, which looking costs too
            await render_all(one, max(8, renders // 4), at_once)
        return {
            "at_once": at_once, **rest, "start_seconds": started,
            "rendering_chrome_mib": max(seen) / MIB,
            "rendering_chrome_median_mib": statistics.median(seen) / MIB,
            "cpu_ms_per_render": cpu / renders * 1000, "renders_per_second": renders / took,
            "peak_mib": peak_bytes(one) / MIB,
        }  # fmt: skip


def main() -> None:
    """Measure, print a table, keep the raw figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sizing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--renders", type=int, default=40, metavar="N", help="renders counted (40)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    engine = find_engine()
    if engine is None or os.geteuid() != 0:
        sys.exit('sizing: needs root and a Docker engine: eval "$(tools/engine.sh up)"')
    dockerfile = str(ROOT / "docker" / "Dockerfile")
    engine.ask("build", "--file", dockerfile, "--tag", IMAGE, str(ROOT), seconds=1500)
    found: dict[str, Any] = {
        "image_bytes": int(engine.inspect(IMAGE, ".Size")),
        "runs": [asyncio.run(measure(engine, each, options.renders)) for each in CONCURRENCY],
    }
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"image: {found['image_bytes'] / 1e6:.0f} MB")
    for run in found["runs"]:
        reported = (f"{name} {value:.1f}" for name, value in run.items())
        print(", ".join(reported))


if __name__ == "__main__":
    main()
