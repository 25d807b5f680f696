"""From windows to figures: medians over rounds, ratios within the run, and which goal holds."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.render.candidates import INCIDENT, SHARED
from bench.render.measure import Life, Window
from bench.render.posters import REFERENCE

#: PNG "balanced" may be so much larger than Chrome's default.
SIZE_CLASS = 1.15


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all are not above; 0 when there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def median(values: Iterable[float]) -> float:
    """The median, 0 where there is nothing."""
    found = list(values)
    return statistics.median(found) if found else 0.0


@dataclass
class Figures:
    """One candidate and one poster over all rounds; times in ms, memory in bytes.

    Attributes:
        rates: Renders per second by callers, medians over rounds.
        cpu: CPU per render with one caller, all processes, medians over rounds.
        cpu_busy: The same at the number of callers with the best rate.
        own: CPU of the service's own process per render, over all windows.
    """

    p50: float = 0.0
    p99: float = 0.0
    samples: int = 0
    rates: dict[int, float] = field(default_factory=dict)
    cpu: float = 0.0
    cpu_by_tree: float = 0.0
    cpu_busy: float = 0.0
    own: float = 0.0
    size: int = 0
    failed: int = 0
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def best_rate(self) -> float:
        """The best of all numbers of callers."""
        return max(self.rates.values(), default=0.0)


def figures(windows: list[Window]) -> Figures:
    """The figures of one candidate's windows of one poster."""
    done = [one for one in windows if one.renders]
    alone = [one for one in done if one.callers == 1]
    latencies = [seconds * 1000 for one in alone for seconds in one.latencies]
    found = Figures(
        p50=median(latencies), p99=percentile(latencies, 0.99), samples=len(latencies),
        cpu=1000 * median(one.cpu_each for one in alone),
        cpu_by_tree=1000 * median(one.cpu_by_tree / one.renders for one in alone),
        failed=sum(one.failed for one in windows),
    )  # fmt: skip
    for callers in sorted({one.callers for one in done}):
        found.rates[callers] = median(one.rate for one in done if one.callers == callers)
    if done:
        busiest = max(found.rates, key=lambda callers: found.rates[callers])
        found.cpu_busy = 1000 * median(one.cpu_each for one in done if one.callers == busiest)
        found.own = 1000 * sum(one.own_cpu for one in done) / sum(one.renders for one in done)
        found.size = done[0].size
    for name in dict.fromkeys(name for one in alone for name in one.phases):
        found.phases[name] = median(one.phases.get(name, 0.0) for one in alone)
    return found


@dataclass
class Summary:
    """What a run found.

    Attributes:
        figures: By candidate and poster.
        refused: Why a candidate was not measured, by candidate.
        first: Worst time from the address to the first picture, in seconds, by candidate.
        rest, peak: Memory in bytes, by candidate.
        paced: Median latency from rest in ms, by candidate.
        ready: PSS of each of four ready Chromes in bytes, or why not, by candidate.
        cleaning: CPU and wall seconds of one ending, or why not.
        differs: Mean difference from the first candidate's picture, 0 to 255.
    """

    figures: dict[tuple[str, str], Figures] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    rest: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    paced: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float | str] = field(default_factory=dict)
    cleaning: dict[str, float] | str = "not asked for"
    differs: dict[tuple[str, str], float] = field(default_factory=dict)

    def of(self, candidate: str) -> Figures | None:
        """A candidate's figures of the reference poster; None when it was not measured."""
        return self.figures.get((candidate, REFERENCE.name))

    def as_json(self) -> dict[str, Any]:
        """All of it by names."""
        raw = {key: value for key, value in vars(self).items() if key not in ("figures", "differs")}
        raw["figures"] = {" ".join(key): vars(value) for key, value in self.figures.items()}
        raw["differs"] = {" ".join(key): value for key, value in self.differs.items()}
        return raw


def summarize(lives: list[Life]) -> Summary:
    """All that lives alone show."""
    found = Summary()
    for name in dict.fromkeys(life.candidate for life in lives):
        mine = [life for life in lives if life.candidate == name]
        if refusals := [life.refused for life in mine if life.refused]:
            found.refused[name] = refusals[0]
        windows = [window for life in mine for window in life.windows]
        for poster in dict.fromkeys(window.poster for window in windows if window.renders):
            found.figures[name, poster] = figures([w for w in windows if w.poster == poster])
        found.first[name] = max(life.first for life in mine)
        found.rest[name] = max(life.rest_pss for life in mine)
        found.peak[name] = max(life.peak_pss for life in mine)
        found.paced[name] = 1000 * median(s for life in mine for s in life.paced)
    return found


@dataclass(frozen=True)
class Verdict:
    """A goal and what became of it; `holds` is None where it could not be measured."""

    what: str
    goal: str
    measured: str
    holds: bool | None


def _subject(found: Summary, *names: str) -> tuple[str, Figures | None]:
    """The first of these that was measured."""
    for name in names:
        if (figures := found.of(name)) is not None:
            return name, figures
    return names[0], None


class Goals:
    """The goals of the issue, judged by one run; the stricter of both shared peers counts."""

    def __init__(self, found: Summary) -> None:
        self._found = found
        peers = {name: figures for name in SHARED if (figures := found.of(name))}
        self._peers = peers
        self._incident = found.of(INCIDENT)

    def all(self) -> list[Verdict]:
        """Every goal, in the order of the issue."""
        fast = _subject(self._found, "ours-fast", "ours")
        own = fast[1].own if fast[1] else None
        fifty = _subject(self._found, "ours-50-fast")
        balanced = _subject(self._found, "ours-balanced")
        return [
            self._at_most("p50, one caller", fast, "p50", 0.45),
            self._at_most("CPU per render", fast, "cpu", 0.70),
            self._at_least("renders per second, best", fast, self._peers, 1.6),
            self._size(balanced),
            self._at_most("CPU, same class of bytes", balanced, "cpu", 0.95),
            self._at_most("p50, same class of bytes", balanced, "p50", 0.75),
            self._at_most("CPU, 50 renders per Chrome", fifty, "cpu", 0.42),
            self._at_least("rate, 50 renders per Chrome", fifty, self._peers, 2.2),
            self._at_least(
                "rate against the incident", fast,
                {INCIDENT: self._incident} if self._incident else {}, 3.0, INCIDENT,
            ),
            self._plain("first render after the address", self._first(), 1.5, "s"),
            self._plain("CPU of our own Python per render", own, 8, "ms"),
            *self._memory(),
            *self._cleaning(fast[1]),
        ]  # fmt: skip

    def _missing(self, what: str, goal: str, name: str) -> Verdict:
        why = self._found.refused.get(name, "it or what it is compared with is not in this run")
        return Verdict(what, goal, f"not measured ({name}): {why}", None)

    def _at_most(
        self, what: str, subject: tuple[str, Figures | None], figure: str, most: float
    ) -> Verdict:
        name, mine = subject
        goal = f"at most {most} x shared"
        if mine is None or not self._peers:
            return self._missing(what, goal, name)
        ratios = {peer: _ratio(mine, theirs, figure) for peer, theirs in self._peers.items()}
        return Verdict(what, goal, _reported(name, ratios), max(ratios.values()) <= most)

    def _at_least(
        self, what: str, subject: tuple[str, Figures | None], peers: Mapping[str, Figures],
        least: float, against: str = "shared",
    ) -> Verdict:  # fmt: skip
        name, mine = subject
        goal = f"at least {least} x {against}"
        if mine is None or not peers:
            return self._missing(what, goal, name)
        ratios = {peer: _ratio(mine, theirs, "best_rate") for peer, theirs in peers.items()}
        return Verdict(what, goal, _reported(name, ratios), min(ratios.values()) >= least)

    def _size(self, subject: tuple[str, Figures | None]) -> Verdict:
        name, mine = subject
        what, goal = "bytes of PNG balanced", f"at most {SIZE_CLASS} x Chrome's default"
        if mine is None or not self._peers:
            return self._missing(what, goal, name)
        ratios = {peer: _ratio(mine, theirs, "size") for peer, theirs in self._peers.items()}
        return Verdict(what, goal, _reported(name, ratios), max(ratios.values()) <= SIZE_CLASS)

    def _plain(self, what: str, value: float | None, most: float, unit: str) -> Verdict:
        goal = f"at most {most:g} {unit}"
        if not value:
            return Verdict(what, goal, "not measured", None)
        return Verdict(what, goal, f"{value:.1f} {unit}", value <= most)

    def _first(self) -> float | None:
        ours = [s for name, s in self._found.first.items() if name.startswith("ours") and s]
        return max(ours, default=None)

    def _memory(self) -> list[Verdict]:
        verdicts = []
        for name, value in self._found.ready.items():
            what = f"PSS of each of four ready Chromes ({name})"
            if isinstance(value, str):
                verdicts.append(Verdict(what, "at most 110 MB", f"not measured: {value}", None))
            else:
                verdicts.append(self._plain(what, value / 1e6, 110, "MB"))
        return verdicts

    def _cleaning(self, mine: Figures | None) -> list[Verdict]:
        what, goal = "cleaning, share of CPU at saturation", "at most 8 %"
        cost = self._found.cleaning
        if isinstance(cost, str) or mine is None:
            why = cost if isinstance(cost, str) else "no figures of ours"
            return [Verdict(what, goal, f"not measured: {why}", None)]
        share = 100 * 1000 * cost["cpu"] / mine.cpu_busy
        reported = f"{share:.1f} % ({cost['cpu'] * 1000:.1f} of {mine.cpu_busy:.0f} ms)"
        return [Verdict(what, goal, reported, share <= 8)]


def _ratio(mine: Figures, theirs: Figures, figure: str) -> float:
    below = getattr(theirs, figure)
    return getattr(mine, figure) / below if below else math.nan


def _reported(name: str, ratios: Mapping[str, float]) -> str:
    return f"{name}: " + ", ".join(f"{ratio:.2f} x {peer}" for peer, ratio in ratios.items())
