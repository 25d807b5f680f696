"""The reference poster and the bundled templates at scale 1 and 2: figures, ratios, goals.

Its own file because the ratios are between posters of one design, and not between designs. The
tables are made of the written results, so that the docs have the same (`tools/docs`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.render.posters import REFERENCE, SCALED
from bench.render.summary import Summary

FILE = "scaled.json"
BASE, OURS = "puppeteer-context", "ours-fast"
TITLES = {BASE: "puppeteer, context per render", OURS: "poster-service, a Chrome per render"}


def write(out: Path, found: Summary, raw: dict[str, Any]) -> str:
    """Write the results; both tables."""
    out.mkdir(parents=True, exist_ok=True)
    results = {**raw, "summary": found.as_json()}
    (out / FILE).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return "\n".join(map(_markdown, (rows(results), goals(results))))


def _markdown(lines: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def figures(results: Mapping[str, Any], design: str, poster: str) -> Any:
    """What was measured of a design and a poster; None where it was not."""
    return results["summary"]["figures"].get(f"{design} {poster}")


def rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Each design and poster, after the names of the columns; relative to the first one."""
    base = figures(results, BASE, REFERENCE.name)
    head = [
        "design", "poster", "p50, ms", "CPU, ms", "relative", "own process, ms", "relative", "KB",
    ]  # fmt: skip
    lines = [head]
    for design, title in TITLES.items():
        for poster in SCALED:
            if (one := figures(results, design, poster.name)) is None:
                continue
            lines.append([
                title, poster.title, f"{one['p50']:.0f}", f"{one['cpu']:.0f}",
                f"{one['cpu'] / base['cpu']:.2f}" if base else "-", f"{one['own']:.1f}",
                f"{one['own'] / base['own']:.2f}" if base else "-", f"{one['size'] / 1000:.0f}",
            ])  # fmt: skip
    return lines


def goals(results: Mapping[str, Any]) -> list[list[str]]:
    """Each goal with what was measured, after the names of the columns."""

    def cpu(design: str, poster: str, figure: str = "cpu") -> float:
        one = figures(results, design, poster)
        return float(one[figure]) if one else 0.0

    asked = [
        ("CPU at scale 2, beside scale 1", cpu(OURS, "gradient-2"), cpu(OURS, "gradient"), 2.2),
        ("the same of the share poster", cpu(OURS, "share-poster-2"), cpu(OURS, "share-poster-1"),
         2.2),
        ("own process: share poster beside the reference poster as HTML",
         cpu(OURS, "share-poster-1", "own"), cpu(OURS, "gradient", "own"), 1.2),
        ("own process beside the node process of puppeteer",
         cpu(OURS, "gradient", "own"), cpu(BASE, "gradient", "own"), 0.5),
    ]  # fmt: skip
    lines = [["", "goal", "measured", "reached"]]
    for what, mine, theirs, bound in asked:
        if mine and theirs:
            reached = "yes" if mine / theirs <= bound else "**no**"
            lines.append([what, f"at most {bound:g} x", f"{mine / theirs:.2f} x", reached])
    return lines
