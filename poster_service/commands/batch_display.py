"""What `poster-service batch` prints while it runs: a bar on a terminal, lines elsewhere."""

import asyncio
import collections
import sys
import time
from collections.abc import Callable
from typing import Protocol

#: How often the bar moves, and how often a line is written where there is no terminal, in seconds.
BAR_PERIOD, LINE_PERIOD = 0.25, 5.0
#: Seconds over which the rate is computed.
RATE_SECONDS = 10.0


class Numbers(Protocol):
    """What is known of a batch that runs; `total` and `left` are None if that is not known."""

    @property
    def total(self) -> int | None: ...  # noqa: D102
    @property
    def left(self) -> int | None: ...  # noqa: D102
    @property
    def done(self) -> int: ...  # noqa: D102
    @property
    def rendered(self) -> int: ...  # noqa: D102
    @property
    def present(self) -> int: ...  # noqa: D102
    @property
    def failed(self) -> int: ...  # noqa: D102


class Rate:
    """How many items are rendered in a second, over the last seconds."""

    def __init__(self, numbers: Numbers, clock: Callable[[], float] = time.monotonic) -> None:
        self._numbers, self._clock = numbers, clock
        self._seen = collections.deque([(clock(), 0)])

    def per_second(self) -> float:
        """The rate now; what was there already does not count."""
        now = self._clock()
        self._seen.append((now, self._numbers.rendered + self._numbers.failed))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RATE_SECONDS:
            self._seen.popleft()
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - begin) if end > begin else 0.0


def line_of(numbers: Numbers, rate: float) -> str:
    """The state of a batch in one line: what is done, the rate, what is left, what has failed."""
    of = "" if numbers.total is None else f" of {numbers.total}"
    parts = [f"{numbers.done}{of}", f"{rate:.1f}/s", f"{numbers.failed} failed"]
    if numbers.present:
        parts.append(f"{numbers.present} were there")
    if numbers.left is not None:
        parts.append(f"{numbers.left} left{_time(numbers.left, rate)}")
    return ", ".join(parts)


async def show(numbers: Numbers) -> None:
    """Show the numbers on stderr as they change, until cancelled."""
    rate = Rate(numbers)
    if sys.stderr.isatty():
        try:
            await _bar(numbers, rate)
            return
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "rich":
                raise
    while True:
        await asyncio.sleep(LINE_PERIOD)
        print(line_of(numbers, rate.per_second()), file=sys.stderr, flush=True)  # noqa: T201


async def _bar(numbers: Numbers, rate: Rate) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(), BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=numbers.total)
        while True:
            text = line_of(numbers, rate.per_second())
            progress.update(task, completed=numbers.done, total=numbers.total, description=text)
            await asyncio.sleep(BAR_PERIOD)


def _time(left: int, rate: float) -> str:
    """How long the rest will take at this rate."""
    if not left or rate <= 0:
        return ""
    minutes, seconds = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f" ({hours}:{minutes:02}:{seconds:02})"
