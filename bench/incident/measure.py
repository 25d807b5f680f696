"""What is measured of one row: two containers, one after the other.

In the first every Chrome is closed the library's way, then the container is stopped. In the second
every Chrome's leader is killed, under a limit of pids, until a render fails.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.incident.engine import Container
from bench.incident.rows import Row

PAGE = {
    "html": "<body style='background: #0a0; font: 40px sans-serif'>A card", "width": 600,
    "height": 300,
}  # fmt: skip
SETTLE_S = 10.0  # under load a killed process took 4 s to finish exiting
MOST = 3  # times the renders of the first container: so many are tried in the second
#: How the kernel's refusal to fork reads in Chrome's, Node's and Python's words.
REFUSALS = ("Resource temporarily unavailable", "EAGAIN", "Goodbye", "Cannot fork", "Can't fork")


@dataclass
class Series:
    """A run of renders that end in one way."""

    zombies: list[int] = field(default_factory=list)  # after each render
    used: list[int] = field(default_factory=list)  # pids in use after each
    names: dict[str, int] = field(default_factory=dict)  # whose zombies, at the end
    refused_at: int = 0  # the render in which the kernel first refused to fork
    failed_at: int = 0  # the render that had no picture, or 0
    message: str = ""  # the error that its caller got
    log: dict[str, int] = field(default_factory=dict)  # words of refusal in the log, how often

    @property
    def pictures(self) -> int:
        """Renders that worked."""
        return len(self.zombies) - (1 if self.failed_at else 0)

    def after(self, renders: int) -> int:
        """Zombies after so many renders, or after the last that there was."""
        return self.zombies[min(renders, self.pictures) - 1] if self.pictures else 0

    def per_render(self, renders: int) -> float:
        """Zombies that one render leaves."""
        counted = min(renders, self.pictures)
        return self.after(renders) / counted if counted else 0.0


@dataclass
class Result:
    """All that was measured of a row."""

    row: Row
    closed: Series
    killed: Series
    reported: str  # what the callers got: a key of report.HEARD
    stop_s: float
    status: int
    seconds: float


def settle(container: Container) -> dict[str, Any]:
    """The count once no Chrome is alive and nothing changes any more."""
    end = time.monotonic() + SETTLE_S
    before: dict[str, Any] = {}
    found = container.look()
    while (found["alive"] or found != before) and time.monotonic() < end:
        time.sleep(0.1)
        before, found = found, container.look()
    return found


def first_line(text: str) -> str:
    """The line of an answer that says most: a traceback's last, a stack's first."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return "an empty answer"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def words_of_refusal(log: str) -> dict[str, int]:
    """Lines that tell of a refused fork, without what differs from one to the next."""
    lines = (line.rpartition("] ")[2] for line in log.splitlines())
    return dict(Counter(line for line in lines if any(word in line for word in REFUSALS)))


def series(container: Container, ending: str, renders: int) -> Series:
    """Render until one fails, at most so many."""
    found = Series()
    for number in range(1, renders + 1):
        failure = container.render(ending, PAGE)
        seen = settle(container)
        found.zombies.append(sum(seen["zombies"].values()))
        found.used.append(seen["used"])
        found.names = seen["zombies"]
        if seen["refused"] > 0 and not found.refused_at:
            found.refused_at = number
        if failure:
            found.failed_at, found.message = number, first_line(failure)
            break
    found.log = words_of_refusal(container.logs())
    return found


def reported(log: str) -> str:
    """What became of the application's clean-up, by its own words."""
    lines = log.splitlines()
    if "cleaned up" in lines:
        return "finished"
    return "cut off" if "told" in lines else "never told"


def measure(row: Row, renders: int, pids_limit: int) -> Result:
    """Both containers of a row."""
    begun = time.monotonic()
    with Container(row) as container:
        closed = series(container, "closed", renders)
        stop_s, status = container.stop()
        heard = reported(container.logs())
    with Container(row, pids_limit) as container:
        killed = series(container, "killed", renders * MOST)
    seconds = time.monotonic() - begun
    return Result(row, closed, killed, heard, stop_s, status, seconds)
