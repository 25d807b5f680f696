"""Where the service's own CPU goes for a render: by thread, and by part of the code.

    python -m bench.own [--renders 100] [--poster NAME]

One caller, level `process`, PNG as Chrome gives it. First without a profiler, by the clocks of the
kernel, then with one, which more than doubles the CPU: of that only the shares count. Posters are
those of `python -m bench.render --scaled`. Never part of the suite.
"""

import argparse
import asyncio
import pstats
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.own.profiled import WARMING
from bench.render import environments
from bench.render.posters import SCALED, Poster
from bench.render.service import Service

ROOT = Path(__file__).parents[2]
SHOWN = 14


def thread_times(pid: int) -> dict[str, tuple[str, float]]:
    """CPU in ms of each thread of a process (proc_pid_schedstat), by its number, with its name."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            spent = int((task / "schedstat").read_text().split()[0]) / 1e6
            title = "event loop" if int(task.name) == pid else "a worker thread"
            found[task.name] = title, spent
    return found


async def measured(body: dict[str, Any], renders: int, *prefix: str) -> list[tuple[str, float]]:
    """CPU in ms a render of each thread, with the service started by a module and its arguments."""
    command = (sys.executable, "-P", "-m", *(prefix or ("poster_service",)), "serve", "--port=0")
    env = {"POSTER_CHROME": environments.CHROME, "PYTHONPATH": str(ROOT)}
    async with Service(command, env, ROOT) as service:
        for _ in range(WARMING):
            await service.ask(body)
        await service.at_rest()
        before = thread_times(service.own)
        for _ in range(renders):
            await service.ask(body)
        await service.at_rest()
        after = thread_times(service.own)
        await service.ask(body)  # ends the profile
    spent = [(title, ms - before.get(key, ("", 0.0))[1]) for key, (title, ms) in after.items()]
    return [(title, ms / renders) for title, ms in spent if ms / renders > 0.05]


def part_of(file: str) -> str:
    """The part of the code that a file belongs to; "" for what is built in."""
    if "poster_service/" in file:
        return "poster_service/" + file.rpartition("poster_service/")[2].partition("/")[0]
    if "site-packages/" in file:
        return file.rpartition("site-packages/")[2].partition("/")[0]
    folder = Path(file).parent.name
    return "" if file == "~" else Path(file).name if folder.startswith("python") else folder


def shares(profile: Path, renders: int) -> list[str]:
    """Lines: each part's share of the CPU and its calls a render; built-ins count for callers."""
    spent: defaultdict[str, float] = defaultdict(float)
    calls: defaultdict[str, int] = defaultdict(int)
    stats: Any = pstats.Stats(str(profile))
    for (file, _, _), (_, count, own, _, callers) in stats.stats.items():
        if part := part_of(file):
            spent[part] += own
            calls[part] += count
        else:
            for (caller, _, _), (_, many, by_this, _) in callers.items():
                spent[part_of(caller) or "other"] += by_this
                calls[part_of(caller) or "other"] += many
    whole = sum(spent.values())
    order = sorted(spent, key=lambda part: -spent[part])[:SHOWN]
    return [
        f"| {part} | {100 * spent[part] / whole:.0f} % | {calls[part] / renders:.0f} |"
        for part in order
    ]


async def run(poster: Poster, renders: int) -> None:
    """Measure and print."""
    body = {**poster.body, "png_compression": "fast"}
    print("| thread | ms of CPU a render |\n|---|--:|")
    for title, ms in await measured(body, renders):
        print(f"| {title} | {ms:.1f} |")
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile"
        await measured(body, renders, "bench.own.profiled", str(profile), str(renders))
        print("\n| part of the event loop's thread | share | calls a render |\n|---|--:|--:|")
        print("\n".join(shares(profile, renders)))


def main() -> None:
    """Take the options and measure."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.own", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    posters = {one.name: one for one in SCALED}
    parser.add_argument("--renders", type=int, default=100, help="renders of each run (100)")
    parser.add_argument("--poster", choices=posters, default="gradient", help="which (gradient)")
    given = parser.parse_args()
    asyncio.run(run(posters[given.poster], given.renders))


if __name__ == "__main__":
    main()
