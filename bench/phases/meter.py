"""CPU and time of each step of a life, by the usage of a control group and the driver's own clock.

After each step the driver pauses, so that what a step sets off in Chrome counts for that step.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from bench.render.accounts import used_seconds

#: The pause after each step, in seconds.
QUIET_SECONDS = 0.12
#: The steps of a life, in their order, and what a reader calls them.
STEPS: Mapping[str, str] = {
    "start": "start: the process, until it answers on its pipe",
    "page": "open the page",
    "ready": "be ready for a while",
    "load": "viewport, document, load event",
    "wait": "fonts, pictures, findings",
    "capture": "a frame, and its PNG",
    "end": "end: kill, reap, remove the folder",
}

#: Milliseconds of a step: of Chrome and all others, of the driver itself, and of the clock.
Step = dict[str, float]


class Meter:
    """Measures one life, step by step: `start`, then `stop`, a pause and `note` for each step."""

    def __init__(self, usage: Path) -> None:
        """`usage` is the file with the CPU of the control group that the driver is in."""
        self._usage = usage
        self.steps: dict[str, Step] = {}
        self._wall = 0.0
        self._before = self._now()
        self._begin = time.perf_counter()

    def _now(self) -> tuple[float, float]:
        own = time.process_time()
        return used_seconds(self._usage) - own, own

    def stop(self) -> None:
        """The step is done; what it has set off may go on for the length of a pause."""
        self._wall = time.perf_counter() - self._begin

    def note(self, step: str) -> None:
        """Note what the step has cost, and begin the next."""
        now = self._now()
        others, own = (1000 * (new - old) for new, old in zip(now, self._before, strict=True))
        self.steps[step] = {"others": others, "own": own, "wall": 1000 * self._wall}
        self._before = self._now()
        self._begin = time.perf_counter()
