"""What hygiene costs: a census at 500 processes, the end of a lease, a shim.

`python -m bench.hygiene [--out FILE]`; a few minutes, no privilege needed. Wall times of a
shared machine vary; what they are compared with is measured in the same run. Never part of the
suite.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from poster_service.browser.chrome import Chrome
from poster_service.browser.spec import ChromeSpec, Sandbox, new_instance
from poster_service.browser.types import CaptureOptions, PageOptions, Reply, Request
from poster_service.process import census
from poster_service.process.spawn import Command, Group
from tests.conftest import settled
from tests.process.harness import server_up

INSTANCE = 0xBE7C4
PROGRAMS = ("/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium")
CARD = b"<!doctype html><body style='background: #0a0; font: 40px sans-serif'>A card"
PICTURE = CaptureOptions(
    PageOptions(750, 1334, 1, (0, 0, 0, 0)),
    format="png", quality=None, full_page=False, background=(0, 0, 0, 0), max_pixels=10_000_000,
)  # fmt: skip


async def card(_: Request) -> Reply:
    """The page of every render."""
    return Reply(200, (("Content-Type", "text/html"),), CARD)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and p99 in milliseconds."""
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {
        "median_ms": round(statistics.median(ordered) * 1000, 1),
        "p99_ms": round(last * 1000, 1),
    }


async def measure_census(home: Path, processes: int, looks: int) -> dict[str, Any]:
    """How long one count takes with so many processes of one lease, beside all others there are."""
    folder = home / "census"
    folder.mkdir()
    script = f"for i in $(seq {processes}); do sleep 86400 & done; wait"
    tag = census.make_tag(INSTANCE, 1)
    argv = ("/bin/sh", "-c", script)
    group = Group.start(Command(argv, folder, tag, {"PATH": os.environ["PATH"]}))
    assert await settled(lambda: len(census.snapshot(INSTANCE, home).alive) >= processes)
    begin = time.process_time()
    seconds = [census.snapshot(INSTANCE, home).seconds for _ in range(looks)]
    cpu = (time.process_time() - begin) / looks
    group.end()
    await group.wait_gone()
    return {"processes": processes, "cpu_ms": round(cpu * 1000, 1), **percentiles(seconds)}


async def measure_endings(home: Path, program: str, rounds: int) -> dict[str, Any]:
    """From the moment the picture is there to the end of the lease: no process, no folder."""
    off = Sandbox.OFF if os.geteuid() == 0 else Sandbox.ON
    spec = ChromeSpec(Path(program), off, home, new_instance(), 30)
    seconds = []
    for lease in range(1, rounds + 1):
        one = await Chrome.start(spec, lease)
        await one.page.set_up(PICTURE.page)
        await one.page.loading.load(card)
        await one.page.wait_painted()
        await one.page.capture(PICTURE)
        begin = time.perf_counter()
        one.end()
        ending = await one.wait_gone()
        seconds.append(time.perf_counter() - begin)
        assert ending.clean, ending
    return {"program": Path(program).name, "rounds": rounds, **percentiles(seconds)}


async def measure_shim(home: Path, rounds: int, *, forked: bool) -> dict[str, Any]:
    """CPU of a whole shim around `true`, start and end, less that of a bare `true`.

    A forked one's includes its share of the server, the start of that too.
    """

    def children() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = children()
    server = await server_up() if forked else None
    for number in range(rounds):
        folder = home / f"shim{number}"
        folder.mkdir()
        await Group.start(Command(("/bin/true",), folder, 0, {}), server).wait_gone()
    if server is not None:
        server.close()
    with_shim = children() - before
    before = children()
    for _ in range(rounds):
        subprocess.run(["/bin/true"], check=True)  # what it is measured against
    bare = children() - before
    cpu = round((with_shim - bare) / rounds * 1000, 1)
    return {"how": "forked" if forked else "by path", "cpu_ms": cpu, "rounds": rounds}


async def measure(rounds: int) -> dict[str, Any]:
    """Everything, in one run."""
    with tempfile.TemporaryDirectory(prefix="h-") as folder:
        home = Path(folder)
        return {
            "machine": f"{os.cpu_count()} shared cores, kernel {platform.release().split('-')[0]},"
            f" Python {platform.python_version()}",
            "census": [await measure_census(home, count, 30) for count in (50, 500)],
            "shim": [await measure_shim(home, rounds, forked=how) for how in (True, False)],
            "endings": [
                await measure_endings(home, program, rounds)
                for program in PROGRAMS
                if Path(program).exists()
            ],
        }


def main() -> None:
    """Measure, print, keep."""
    options = argparse.ArgumentParser(prog="python -m bench.hygiene", description=__doc__)
    options.add_argument("--rounds", type=int, default=100, help="renders per Chrome")
    options.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    given = options.parse_args()
    found = json.dumps(asyncio.run(measure(given.rounds)), indent=2)
    given.out.write_text(found + "\n")
    sys.stdout.write(found + "\n")


if __name__ == "__main__":
    main()
