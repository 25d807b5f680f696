"""Hits Chrome processes of the service under test: SIGKILL or SIGSTOP, by kind.

Only ever a process with the tag of that service's leases; the tag is read again with a pidfd open
before the signal is sent.
"""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Sequence

from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.mix import Case
from poster_service.loadtest.outcomes import Outcomes, Span
from poster_service.loadtest.proctable import Row
from poster_service.loadtest.watch import Watch

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
#: How often to check whether the shim of a hit Chrome is gone, in seconds.
PERIOD = 0.05


def kind_of(one: Row) -> str:
    """What part of Chrome a process is, for choosing evenly and for the table."""
    words = one.command.split()
    types = [word.removeprefix("--type=") for word in words if word.startswith("--type=")]
    if "crashpad" in one.name or "crashpad-handler" in types:
        return "crash handler"
    if not types:
        return "leader" if one.group == one.pid else "helper"
    if types[0] == "utility":
        return "network" if "network" in one.command else "utility"
    return types[0].removesuffix("-process")


def choose(rows: Sequence[Row], which: float) -> Row | None:
    """One of the processes: first a kind, all with equal chance, then one of that kind."""
    kinds: dict[str, list[Row]] = {}
    for one in sorted(rows, key=lambda row: row.key):
        kinds.setdefault(kind_of(one), []).append(one)
    if not kinds:
        return None
    place = which * len(kinds)
    of_kind = kinds[sorted(kinds)[int(place)]]
    return of_kind[int(place % 1 * len(of_kind))]


class Chaos:
    """Carries out the hits of the cases and records from when to when each has effects."""

    def __init__(self, watch: Watch, outcomes: Outcomes, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._watch = watch
        self._outcomes = outcomes
        self._clock = clock
        self._following: set[asyncio.Task[None]] = set()

    async def hit(self, case: Case) -> None:
        """Wait the case's delay, then hit one process, if there is one to be seen."""
        await asyncio.sleep(case.delay)
        with contextlib.suppress(CannotTest):
            await self._hit(case)

    async def _hit(self, case: Case) -> None:
        snapshot = await self._watch.snapshot()
        one = choose(snapshot.chromes, case.which)
        if one is None:
            return
        shim = snapshot.shim_of(snapshot.leases()[one.tag])
        # Recorded before the signal is sent: what fails of it must find it here.
        span = Span(self._clock())
        self._outcomes.hits.append(span)
        asked = self._watch.view.ask("hit", pid=one.pid, tag=one.tag, number=SIGNALS[case.hit])
        if not (await asked)["hit"]:
            self._outcomes.hits.remove(span)
            return
        self.counts[f"{case.hit} {kind_of(one)}"] += 1
        follow = asyncio.create_task(self._until_gone(span, one, shim))
        self._following.add(follow)
        follow.add_done_callback(self._following.discard)

    async def _until_gone(self, span: Span, one: Row, shim: Row | None) -> None:
        """A hit has effects until its lease, and with it its shim, is gone."""
        last = shim or one
        view = self._watch.view
        while (await view.ask("alive", pid=last.pid, start=last.start))["alive"]:  # noqa: ASYNC110
            await asyncio.sleep(PERIOD)  # another process's end: there is no event to wait for
        span.end = self._clock()

    async def close(self) -> None:
        """Stop following; hits that still have effects stay open."""
        for task in list(self._following):
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
