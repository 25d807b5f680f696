"""What cleaning costs, alone: CPU from the end of a lease to nothing left, by a control group.

    python -m bench.render.cleaning FILE_WITH_THE_CPU_OF_OUR_GROUP [ROUNDS]

Run by the bench inside a group of its own. It drives one Chrome at a time by the service's own
parts: while a lease ends nothing else goes on in the group, so the difference is the kernel's work
of ending Chrome's processes, the shim's of reaping them and removing the folder, and ours of
waiting. Prints a JSON object.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.render.accounts import used_seconds
from bench.render.environments import CHROME
from bench.render.posters import REFERENCE
from poster_service.browser.chrome import Chrome
from poster_service.browser.spec import ChromeSpec, Sandbox, new_instance
from poster_service.browser.types import CaptureOptions, PageOptions, Reply, Request

PICTURE = CaptureOptions(
    PageOptions(REFERENCE.width, REFERENCE.height, 1, (0, 0, 0, 0)),
    format="png", quality=None, full_page=False, background=(0, 0, 0, 0), max_pixels=10_000_000,
)  # fmt: skip
QUIET_SECONDS = 0.2


async def page(_: Request) -> Reply:
    """The reference poster."""
    html = REFERENCE.body["html"].encode()
    return Reply(200, (("Content-Type", "text/html; charset=utf-8"),), html)


async def measure(usage: Path, rounds: int, home: Path) -> dict[str, float]:
    """Medians over so many Chromes that have painted."""
    sandbox = Sandbox.OFF if os.geteuid() == 0 else Sandbox.ON
    spec = ChromeSpec(Path(CHROME), sandbox, home, new_instance(), 30)
    cpu, wall = [], []
    for lease in range(1, rounds + 1):
        one = await Chrome.start(spec, lease)
        await one.page.set_up(PICTURE.page)
        await one.page.loading.load(page)
        await one.page.wait_painted()
        await one.page.capture(PICTURE)
        await asyncio.sleep(QUIET_SECONDS)
        before, begin = used_seconds(usage), time.perf_counter()
        one.end()
        ending = await one.wait_gone()
        wall.append(time.perf_counter() - begin)
        await asyncio.sleep(0.02)  # the shim's own exit
        cpu.append(used_seconds(usage) - before)
        assert ending.clean, ending
    return {"cpu": statistics.median(cpu), "wall": statistics.median(wall), "rounds": rounds}


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory(prefix="pb-") as home:
        print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), rounds, Path(home)))))


if __name__ == "__main__":
    main()
