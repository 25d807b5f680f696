"""The results as JSON, as Markdown for docs/benchmarks.md, and as a plot that refers to nothing."""

import copy
import io
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import pygal
from PIL import Image, ImageChops, ImageStat

from bench.incident.report import STYLE
from bench.render.candidates import CANDIDATES, SHARED, Candidate
from bench.render.posters import POSTERS, REFERENCE
from bench.render.summary import Figures, Goals, Summary

COLOURS = ("#e4572e", "#3b87c0", "#0b6e4f", "#f5a25d", "#6fb4d6", "#a4161a", "#6cbf73")


def machine() -> str:
    """Where this was measured: CPU, cores, kernel."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    cpu = model.group(1) if model else platform.machine()
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores, kernel {kernel}"


def difference(one: bytes, other: bytes) -> float:
    """Mean difference of two pictures, 0 (the same) to 255; of other size is 255."""
    first, second = (Image.open(io.BytesIO(each)).convert("RGB") for each in (one, other))
    if first.size != second.size:
        return 255.0
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


def rows(head: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown, figures to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *lines])


def _mib(value: float) -> str:
    return f"{value / (1 << 20):.0f}" if value else "-"


def comparison(found: Summary, candidates: list[Candidate]) -> str:
    """All peers with the reference poster."""
    base = found.of(SHARED[0])
    levels = sorted(
        {n for (_, p), f in found.figures.items() if p == REFERENCE.name for n in f.rates}
    )
    head = [
        "reference poster", "p50 / p99, ms", *(f"{n} at once, /s" for n in levels),
        "CPU, ms", "relative", "own process, ms", "PSS rest / peak, MiB", "KB", "first, s",
    ]  # fmt: skip
    lines = [
        _line(found, candidate, figures, base, levels)
        for candidate in candidates
        if (figures := found.of(candidate.name))
    ]
    return rows(head, lines)


def _line(
    found: Summary, candidate: Candidate, mine: Figures, base: Figures | None, levels: list[int]
) -> list[str]:
    name = candidate.name
    return [
        candidate.title + (f" ({mine.failed} failed)" if mine.failed else ""),
        f"{mine.p50:.0f} / {mine.p99:.0f}",
        *(f"{mine.rates[n]:.1f}" if n in mine.rates else "-" for n in levels),
        f"{mine.cpu:.0f}",
        f"{mine.cpu / base.cpu:.2f}" if base else "-",
        f"{mine.own:.1f}",
        f"{_mib(found.rest[name])} / {_mib(found.peak[name])}",
        f"{mine.size / 1000:.0f}",
        f"{found.first[name]:.2f}",
    ]


def by_poster(found: Summary, candidates: list[Candidate]) -> str:
    """p50, CPU and bytes for each poster."""
    posters = [one for one in POSTERS if any(p == one.name for _, p in found.figures)]
    head = ["p50, ms / CPU, ms / KB", *(one.title for one in posters)]
    lines = []
    for candidate in candidates:
        cells = [_cell(found.figures.get((candidate.name, one.name))) for one in posters]
        if any(cell != "-" for cell in cells):
            lines.append([candidate.title, *cells])
    return rows(head, lines)


def _cell(mine: Figures | None) -> str:
    return f"{mine.p50:.0f} / {mine.cpu:.0f} / {mine.size / 1000:.0f}" if mine else "-"


def goals(found: Summary) -> str:
    """The goals, and which of them hold."""
    words = {True: "yes", False: "**no**", None: "?"}
    lines = [[one.what, one.goal, one.measured, words[one.holds]] for one in Goals(found).all()]
    return rows(["goal", "", "measured", "holds"], lines)


def phases(name: str, mine: Figures) -> str:
    """Where the milliseconds of one render go: the median of each phase of Server-Timing."""
    lines = [
        [phase, f"{took:.1f}", f"{100 * took / mine.p50:.0f} %"]
        for phase, took in mine.phases.items()
    ]
    lines.append(["**p50**", f"{mine.p50:.1f}", f"{mine.samples} renders"])
    return rows([f"one render, {name}", "ms", "share"], lines)


def notes(found: Summary) -> str:
    """What a table does not tell: who was not measured, whose picture differs."""
    remarks = [f"Not measured: {name}: {why}\n" for name, why in found.refused.items()]
    remarks += [
        f"{name}, {poster}: its picture differs from {SHARED[0]}'s by {mean:.1f} of 255 a pixel.\n"
        for (name, poster), mean in found.differs.items()
        if mean > 1
    ]
    remarks += [
        f"{name}: from rest p50 {paced:.0f} ms, back to back {mine.p50:.0f} ms.\n"
        for name, paced in found.paced.items()
        if name.startswith("ours") and paced and (mine := found.of(name))
    ]
    if not isinstance(found.cleaning, str):
        cpu, wall = (1000 * found.cleaning[key] for key in ("cpu", "wall"))
        remarks.append(f"Ending a Chrome that has painted: {cpu:.1f} ms of CPU, {wall:.1f} ms.\n")
    return "\n".join(remarks)


def plain(title: str) -> str:
    """A title without Markdown."""
    return re.sub(r"[*`]", "", title)


def drawn(chart: Any, name: str) -> str:
    """A chart as SVG without script or reference, the same for the same figures."""
    chart.uuid = name
    svg: str = chart.render(is_unicode=True)
    for useless in (r"<script.*?</script>", r"<!--.*?-->", r"<desc.*?</desc>"):
        svg = re.sub(useless, "", svg, flags=re.DOTALL)
    return svg


def style() -> Any:
    """The look of the plots."""
    look = copy.copy(STYLE)
    look.colors = COLOURS
    return look


def plot(found: Summary, candidates: list[Candidate]) -> str:
    """p50, CPU and rate relative to puppeteer with a shared browser; nothing without it."""
    base = found.of(SHARED[0])
    if base is None:
        return ""
    shown = [(c, figures) for c in candidates if (figures := found.of(c.name))]
    chart = pygal.HorizontalBar(
        js=[], disable_xml_declaration=True, width=1000, height=140 + 62 * len(shown),
        style=style(), title=f"Relative to {plain(CANDIDATES[0].title)} (= 1)", print_values=True,
        formatter=lambda value: f"{value:.2f}", legend_at_bottom=True, truncate_label=-1,
    )  # fmt: skip
    shown.reverse()  # the first at the top
    chart.x_labels = [plain(candidate.title) for candidate, _ in shown]
    for title, figure in (
        ("p50, one caller (less is better)", "p50"), ("CPU per render (less is better)", "cpu"),
        ("renders per second (more is better)", "best_rate"),
    ):  # fmt: skip
        chart.add(title, [getattr(f, figure) / getattr(base, figure) for _, f in shown])
    return drawn(chart, "render")


def write(out: Path, found: Summary, raw: dict[str, Any], candidates: list[Candidate]) -> str:
    """Write all three; the tables."""
    out.mkdir(parents=True, exist_ok=True)
    reported = {**raw, "summary": found.as_json()}
    (out / "results.json").write_text(json.dumps(reported, indent=1, ensure_ascii=False) + "\n")
    versions = ", ".join(f"{name} {version}" for name, version in raw["versions"].items())
    parts = [f"{machine()}; {versions}.\n", comparison(found, candidates)]
    parts += [by_poster(found, candidates), goals(found)]
    profiled = next((n for n in ("ours-fast", "ours") if found.of(n)), None)
    if profiled and (mine := found.of(profiled)):
        parts.append(phases(profiled, mine))
    parts.append(notes(found))
    words = "\n".join(part for part in parts if part)
    (out / "table.md").write_text(words)
    if svg := plot(found, candidates):
        (out / "plot.svg").write_text(svg + "\n")
    return words
