"""Where the CPU of a render in a Chrome of its own goes, step by step, beside a raw Chrome's life.

    python -m bench.phases [--rounds 6] [--lives 4] [--out FILE]

Needs root, or a control group that it can write to; a few minutes. In each round, in turn: lives of
a Chrome by the raw protocol (`raw.py`); lives by the service's own parts, as it starts them by
default and as root without a sandbox (`own.py`); browser contexts of one Chrome in both ways;
renders of a whole service over HTTP. Medians of all lives. Figures compare within one run only.
Never part of the suite.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.phases.meter import Step
from bench.render.environments import CHROME
from bench.render.grouped import run_in_group
from bench.render.posters import REFERENCE
from bench.render.service import Refused, Service
from poster_service.browser import page_cache

ROOT = Path(__file__).parents[2]
#: Who lives: the module that drives it, and what it gets beside the file and the number of lives.
DRIVERS: Mapping[str, tuple[str, ...]] = {
    "raw": ("bench.phases.raw",),
    "root": ("bench.phases.own", "root"),
    "own": ("bench.phases.own",),
    "raw contexts": ("bench.phases.raw", "context"),
    "own contexts": ("bench.phases.own", "context"),
}
RENDERS = 10
WARMING = 4
#: Longer than reading Chrome's program into the page cache takes, in seconds.
ENOUGH = 60.0


async def lives(driver: tuple[str, ...], number: int) -> list[dict[str, Step]]:
    """So many lives of a driver, in a control group of its own. Raises Refused."""
    module, *more = driver
    found: list[dict[str, Step]] = await run_in_group(module, str(number), *more)
    return found


async def served(service: Service, renders: int) -> Step:
    """Milliseconds of CPU of a render over HTTP, from rest to rest, and what it took."""
    body = {**REFERENCE.body, "png_compression": "fast"}
    await service.at_rest()
    cpu, own, begin = service.cpu_seconds(), service.own_seconds(), time.perf_counter()
    for _ in range(renders):
        await service.ask(body)
    wall = time.perf_counter() - begin
    await service.at_rest()
    own = service.own_seconds() - own
    cpu = service.cpu_seconds() - cpu - own
    each = {"others": cpu, "own": own, "wall": wall}
    return {name: 1000 * value / renders for name, value in each.items()}


def medians(found: list[dict[str, Step]]) -> dict[str, Step]:
    """The median of each figure of each step, and of the sum of all steps."""
    steps: dict[str, Step] = {}
    for step in found[0]:
        steps[step] = {
            figure: round(statistics.median(one[step][figure] for one in found), 2)
            for figure in ("others", "own", "wall")
        }
    sums = [sum(step["others"] for step in one.values()) for one in found]
    owns = [sum(step["own"] for step in one.values()) for one in found]
    steps["whole"] = {
        "others": round(statistics.median(sums), 2), "own": round(statistics.median(owns), 2),
    }  # fmt: skip
    return steps


async def measure(rounds: int, number: int) -> dict[str, Any]:
    """Everything, in interleaved rounds."""
    found: dict[str, list[dict[str, Step]]] = {name: [] for name in DRIVERS}
    windows: list[Step] = []
    command = (sys.executable, "-m", "poster_service", "serve", "--port=0")
    env = {"POSTER_CHROME": CHROME, "PYTHONPATH": str(ROOT)}
    await asyncio.to_thread(page_cache.refill, Path(CHROME), ENOUGH)
    with tempfile.TemporaryDirectory() as folder:
        async with Service(command, env, Path(folder)) as service:
            await served(service, WARMING)
            for at in range(rounds):
                for name, driver in DRIVERS.items():
                    found[name] += await lives(driver, number)
                windows.append(await served(service, RENDERS))
                print(f"round {at + 1} of {rounds}", file=sys.stderr, flush=True)
    names = ("others", "own", "wall")
    http = {name: round(statistics.median(one[name] for one in windows), 2) for name in names}
    return {
        "machine": f"{os.cpu_count()} shared cores, kernel {platform.release().split('-')[0]},"
        f" Python {platform.python_version()}",
        "rounds": rounds, "lives": number,
        "steps": {name: medians(lives_of) for name, lives_of in found.items()},
        "http": http,
    }  # fmt: skip


def main() -> int:
    """Measure, print, write; 1 where it cannot be measured."""
    options = argparse.ArgumentParser(prog="python -m bench.phases", description=__doc__)
    options.add_argument("--rounds", type=int, default=6, help="rounds (6)")
    options.add_argument("--lives", type=int, default=4, help="lives of each way in a round (4)")
    options.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    given = options.parse_args()
    try:
        found = json.dumps(asyncio.run(measure(given.rounds, given.lives)), indent=1)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    given.out.write_text(found + "\n")
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
