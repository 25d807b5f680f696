"""What is measured of one candidate in one round: a fresh start, then windows of renders.

A window is a number of renders by a number of callers, from rest to rest: what was started ahead
before it is started ahead again after it, so that CPU per render is whole, cleaning included.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.render import as_template, environments
from bench.render.candidates import Candidate
from bench.render.grouped import run_in_group
from bench.render.posters import REFERENCE, Poster
from bench.render.service import Picture, Refused, Service

READY = 4  # Chromes whose memory at rest is divided by their number
SAMPLE_SECONDS = 0.03
#: The time of a caller that no phase of Server-Timing covers.
OUTSIDE = "HTTP, and what no phase covers"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        renders: In the window of one caller, which latency and CPU are taken from.
        share: Renders for each caller in windows of more callers.
        levels: Callers at once, beyond the one.
        other_renders: Renders in each of the two windows of the other posters.
        alike: Whether all posters are measured as the first.
    """

    renders: int
    share: int
    levels: tuple[int, ...]
    other_renders: int
    alike: bool = False


@dataclass
class Window:
    """Some renders of one poster; times in seconds, sizes in bytes."""

    poster: str
    callers: int
    renders: int = 0
    failed: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    cpu_by_tree: float = 0.0
    own_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)
    size: int = 0
    phases: dict[str, float] = field(default_factory=dict)  # medians in milliseconds
    stderr_tail: str = ""

    @property
    def rate(self) -> float:
        """Renders per second."""
        return self.renders / self.wall if self.wall else 0.0

    @property
    def cpu_each(self) -> float:
        """CPU per render in seconds."""
        return self.cpu / self.renders if self.renders else 0.0

    @property
    def own_each(self) -> float:
        """CPU of the service's own process per render, in seconds."""
        return self.own_cpu / self.renders if self.renders else 0.0


@dataclass
class Life:
    """All that was measured between one start and its end."""

    candidate: str
    round: int
    refused: str = ""
    windows: list[Window] = field(default_factory=list)
    grouped: bool = False
    first: float = 0.0  # seconds from the address to the first picture
    paced: list[float] = field(default_factory=list)  # latencies, each from rest
    rest_pss: int = 0
    peak_pss: int = 0

    def as_json(self) -> dict[str, Any]:
        """Everything, with the derived figures beside the raw ones."""
        raw = asdict(self)
        for window, entry in zip(self.windows, raw["windows"], strict=True):
            entry["rate"] = round(window.rate, 3)
            entry["cpu_ms_each"] = round(window.cpu_each * 1000, 2)
        return raw


async def each(callers: int, renders: int, act: Callable[[], Awaitable[None]]) -> None:
    """Do something so often, by so many at once; each begins again when it is done."""
    left = iter(range(renders))

    async def call() -> None:
        for _ in left:
            await act()

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())


async def window(
    service: Service, request_body: Mapping[str, Any], window: Window, renders: int
) -> list[Picture]:
    """Fill a window; the pictures. A render that fails is counted, and its words are kept."""
    pictures: list[Picture] = []

    async def act() -> None:
        try:
            pictures.append(await service.ask(request_body))
        except Refused as refused:
            window.failed += 1
            window.stderr_tail = str(refused)

    await service.at_rest()
    cpu, tree, own = service.cpu_seconds(), service.tree_seconds(), service.own_seconds()
    begin = time.perf_counter()
    await each(window.callers, renders, act)
    window.wall = time.perf_counter() - begin
    await service.at_rest()
    window.cpu = service.cpu_seconds() - cpu
    window.cpu_by_tree = service.tree_seconds() - tree
    window.own_cpu = service.own_seconds() - own
    window.renders = len(pictures)
    window.latencies = [picture.seconds for picture in pictures]
    window.size = len(pictures[0].body) if pictures else 0
    window.phases = medians([whole(picture) for picture in pictures])
    return pictures


def whole(picture: Picture) -> Mapping[str, float]:
    """Its phases, and what no phase covers; nothing where there are none."""
    if not picture.timing:
        return {}
    rest = picture.seconds * 1000 - sum(picture.timing.values())
    return {**picture.timing, OUTSIDE: rest}


def medians(timings: list[Mapping[str, float]]) -> dict[str, float]:
    """The median of each phase, in the order they came."""
    names = dict.fromkeys(name for timing in timings for name in timing)
    return {
        name: round(statistics.median(timing.get(name, 0.0) for timing in timings), 2)
        for name in names
    }


def service_of(candidate: Candidate, cache: Path, env: Mapping[str, str] | None = None) -> Service:
    """A candidate's service, not started yet; all drive the same Chrome."""
    more = {"CHROME": environments.CHROME}
    if candidate.is_ours:
        more = {"POSTER_CHROME": environments.CHROME}
    if candidate.is_template:
        more["POSTER_TEMPLATES"] = str(as_template.write(cache))
    folder = cache / candidate.program
    return Service(
        environments.command(candidate, cache), {**more, **candidate.env, **(env or {})}, folder,
        candidate.api,
    )  # fmt: skip


class Measurement:
    """Measures lives; keeps one picture of each candidate and poster for comparison."""

    def __init__(self, plan: Plan, cache: Path) -> None:
        self._plan = plan
        self._cache = cache
        self.pictures: dict[tuple[str, str], bytes] = {}

    async def live(self, candidate: Candidate, number: int, posters: list[Poster]) -> Life:
        """One life: start, first render, windows, memory in the first round, end."""
        life = Life(candidate.name, number)
        try:
            async with service_of(candidate, self._cache) as service:
                life.grouped = service.grouped
                first = await service.ask_first(self._body(candidate, REFERENCE))
                if candidate.level not in ("", first.level):
                    raise Refused(f"it renders at level {first.level}")
                life.first = service.first_seconds
                for poster in [REFERENCE] if candidate.is_template else posters:
                    if poster.is_template and (candidate.api or not candidate.is_ours):
                        continue
                    await self._windows(service, candidate, poster, life)
                if number == 1 and not self._plan.alike:
                    await self._memory(service, candidate, life)
                    await self._pace(service, candidate, life)
        except Refused as refused:
            life.refused = str(refused)
        return life

    @staticmethod
    def _body(candidate: Candidate, poster: Poster) -> dict[str, Any]:
        request_body = poster.body
        if candidate.is_template:
            request_body = {"template": poster.name, "data": {}}
        return {**request_body, **candidate.options}

    async def _windows(
        self, service: Service, candidate: Candidate, poster: Poster, life: Life
    ) -> None:
        plan, request_body = self._plan, self._body(candidate, poster)
        if poster is REFERENCE or plan.alike:
            wanted = [(1, plan.renders), *((n, n * plan.share) for n in plan.levels)]
        else:
            wanted = [(1, plan.other_renders), (2, plan.other_renders)]
        for callers, renders in wanted:
            await each(callers, 2 * callers, lambda: warm(service, request_body))
            one = Window(poster.name, callers)
            life.windows.append(one)
            pictures = await window(service, request_body, one, renders)
            if pictures:
                self.pictures[candidate.name, poster.name] = pictures[0].body

    async def _memory(self, service: Service, candidate: Candidate, life: Life) -> None:
        """At rest, and the most while two callers render; apart from CPU, which looking costs."""
        request_body = self._body(candidate, REFERENCE)
        await service.at_rest()
        life.rest_pss = service.pss()
        seen = [life.rest_pss]

        async def look() -> None:
            while True:
                seen.append(await asyncio.to_thread(service.pss))
                await asyncio.sleep(SAMPLE_SECONDS)

        task = asyncio.create_task(look())
        await each(2, 8, lambda: warm(service, request_body))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        life.peak_pss = max(seen)

    async def _pace(self, service: Service, candidate: Candidate, life: Life) -> None:
        """Renders each of which begins at rest: no cleaning and no start goes on beside them."""
        for _ in range(self._plan.other_renders):
            await service.at_rest()
            life.paced.append((await service.ask(self._body(candidate, REFERENCE))).seconds)


async def warm(service: Service, request_body: Mapping[str, Any]) -> None:
    """A render that is not counted."""
    with suppress(Refused):
        await service.ask(request_body)


async def ready_memory(candidate: Candidate, cache: Path) -> float:
    """PSS of each of four ready Chromes, its shim included, in bytes. Raises Refused."""
    async with service_of(candidate, cache, {"POSTER_READY_CHROMES": str(READY)}) as service:
        end = time.monotonic() + 30
        while (count := len((await service.status())["leases"])) < READY:
            if time.monotonic() > end:
                raise Refused(f"{count} Chromes are ready, not {READY}")
            await asyncio.sleep(0.2)
        await service.at_rest()
        return service.pss_of_chromes() / READY


async def cleaning(rounds: int) -> dict[str, float]:
    """CPU and wall seconds of ending one Chrome that has painted. Raises Refused."""
    found: dict[str, float] = await run_in_group(f"{__package__}.cleaning", str(rounds))
    return found
