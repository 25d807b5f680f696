"""The results in three forms: JSON, Markdown for docs/benchmarks.md, a plot for each series."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pygal

from bench.render.measure import Window
from bench.render.report import drawn, machine, rows, style
from bench.render.summary import median, percentile
from bench.scaling.fit import growth, load_knee
from bench.scaling.series import Series

LINES = {"cpu_ms": "CPU of all processes", "p50_ms": "p50"}
STEPS = [mantissa * 10**power for power in range(7) for mantissa in (1, 2, 5)]
#: By size, the windows of all rounds.
Measured = dict[float, list[Window]]


def figures(windows: list[Window]) -> dict[str, float]:
    """Medians over rounds of one size, in milliseconds and renders per second."""
    latencies = [1000 * seconds for one in windows for seconds in one.latencies]
    done = [one for one in windows if one.renders]
    return {
        "cpu_ms": 1000 * median(one.cpu_each for one in done),
        "p50_ms": median(latencies), "p99_ms": percentile(latencies, 0.99),
        "rate": median(one.rate for one in done), "own_ms": 1000 * median(o.own_each for o in done),
        "kb": median(one.size for one in done) / 1000, "failed": sum(one.failed for one in windows),
    }  # fmt: skip


def measured_only(found: dict[float, dict[str, float]]) -> dict[float, dict[str, float]]:
    """Without sizes of which no render succeeded."""
    return {x: one for x, one in found.items() if one["cpu_ms"] > 0 and one["rate"] > 0}


def marks(values: Iterable[float]) -> list[dict[str, Any]]:
    """Labels of a logarithmic axis, which pygal does not have for both."""
    return [{"label": f"{value:g}", "value": math.log10(value)} for value in values]


def table(series: Series, found: dict[float, dict[str, float]]) -> str:
    """One line for each size."""
    head = [f"{series.title}, {series.unit}", "CPU, ms", "of it our Python", "p50, ms", "p99, ms",
            "renders/s", "KB", "failed"]  # fmt: skip
    lines = [
        [
            f"{x:g}", f"{one['cpu_ms']:.0f}", f"{one['own_ms']:.1f}", f"{one['p50_ms']:.0f}",
            f"{one['p99_ms']:.0f}", f"{one['rate']:.1f}", f"{one['kb']:.0f}",
            f"{one['failed']:.0f}",
        ]
        for x, one in found.items()
    ]  # fmt: skip
    return rows(head, lines)


def verdict(series: Series, found: dict[float, dict[str, float]]) -> dict[str, Any]:
    """How it grows, for programs and in words; only of sizes that were measured."""
    right = measured_only(found)
    if len(right) < 2:
        return {"words": "too few sizes were measured"}
    sizes = list(right)
    if series.by_load:
        knee = load_knee(sizes, [one["rate"] for one in right.values()])
        ratio = right[sizes[-1]]["cpu_ms"] / right[sizes[0]]["cpu_ms"]
        words = (
            f"{knee:g} {series.unit} reach 90 % of the best rate; CPU per render at"
            f" {sizes[-1]:g} is {ratio:.2f} x that at {sizes[0]:g}"
        )
        return {"knee": knee, "ratio": ratio, "words": words}
    reported = {key: _grown(series, right, key) for key in ("cpu_ms", "p50_ms")}
    words = "; ".join(
        f"{key.partition('_')[0]}: {one.pop('words')}" for key, one in reported.items()
    )
    return {**reported, "words": words}


def _grown(series: Series, found: dict[float, dict[str, float]], figure: str) -> dict[str, Any]:
    how = growth(list(found), [one[figure] for one in found.values()])
    linear = "never worse than linear" if how.is_linear else "**worse than linear somewhere**"
    knee = f"{how.knee:.3g} {series.unit}" if math.isfinite(how.knee) else "none"
    steps = ", ".join(f"{exponent:.2f}" for exponent in how.exponents)
    words = (
        f"{how.fixed:.0f} ms + {how.each:.3g} ms for each of {series.unit}, knee {knee},"
        f" exponents {steps} ({linear})"
    )
    return {
        "fixed": how.fixed, "each": how.each, "exponents": how.exponents, "linear": how.is_linear,
        "knee": how.knee if math.isfinite(how.knee) else None, "words": words,
    }  # fmt: skip


def plot(series: Series, found: dict[float, dict[str, float]]) -> str:
    """CPU and p50 over size, both axes logarithmic: linear growth is a slope of 1."""
    right = measured_only(found)
    low, high = (
        choose(one[key] for one in right.values() for key in LINES) for choose in (min, max)
    )
    chart = pygal.XY(
        js=[], disable_xml_declaration=True, width=700, height=420, style=style(),
        title=f"{series.title}: one render", x_title=series.unit, y_title="ms",
        legend_at_bottom=True, truncate_legend=-1, x_labels=marks(right),
        y_labels=marks(one for one in STEPS if low / 2.5 <= one <= high * 2.5),
    )  # fmt: skip
    for figure, title in LINES.items():
        points = [(math.log10(x), math.log10(one[figure])) for x, one in right.items()]
        chart.add(title, points)
    return drawn(chart, f"scaling-{series.name}")


def write(
    out: Path, measured: list[tuple[Series, Measured]], refused: dict[str, str], raw: dict[str, Any]
) -> str:
    """Write all three; the tables."""
    out.mkdir(parents=True, exist_ok=True)
    parts, reported = [f"{machine()}; {raw['chrome']}.\n"], []
    for series, windows in measured:
        found = {x: figures(of_size) for x, of_size in windows.items()}
        how = verdict(series, found)
        parts.append(f"{table(series, found)}\n{how['words']}.\n")
        if measured_only(found):
            (out / f"{series.name}.svg").write_text(plot(series, found) + "\n")
        each = {f"{x:g}": {**found[x], "windows": [vars(w) for w in windows[x]]} for x in windows}
        reported.append({"name": series.name, "unit": series.unit, "growth": how, "sizes": each})
    parts += [f"Not measured: {name}: {why}\n" for name, why in refused.items()]
    raw = {"machine": machine(), **raw, "refused": refused, "series": reported}
    (out / "results.json").write_text(json.dumps(raw, indent=1) + "\n")
    words = "\n".join(parts)
    (out / "table.md").write_text(words)
    return words
