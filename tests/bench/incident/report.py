"""The results in three forms: JSON, a table for the README, a plot that refers to nothing."""

import json
import os
import platform
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pygal
from pygal.style import Style

from tests.bench.incident.engine import STOP_S
from tests.bench.incident.measure import Result, Series

HEAD = (
    "PID 1", "zombies per render: closed / killed", "after {renders}: closed / killed",
    "TERM: the application", "`docker stop -t {stop}`, s", "status",
    "killed, `--pids-limit {limit}`",
)  # fmt: skip
HEARD = {
    "finished": "cleaned up", "cut off": "told, **cut off**", "never told": "**never told**",
}  # fmt: skip


def machine() -> str:
    """Where this was measured, in words that name nothing of it."""
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{len(os.sched_getaffinity(0))} shared cores, kernel {kernel}"


def failure(series: Series, short: bool = False) -> str:
    """What the limit of pids did to a row."""
    if not series.failed_at:
        return f"all {series.pictures} renders work"
    words = f"render {series.failed_at} fails"
    return words if short else f"**{words}**: {series.message[:80]}"


def cells(result: Result, renders: int) -> tuple[str, ...]:
    """One line of the table."""
    closed, killed = result.closed, result.killed
    return (
        result.row.title,
        f"{closed.per_render(renders):.1f} / {killed.per_render(renders):.1f}",
        f"{closed.after(renders)} / {killed.after(renders)}",
        HEARD[result.told],
        f"{result.stop_s:.1f}",
        str(result.status),
        failure(killed),
    )


def table(results: list[Result], renders: int, limit: int) -> str:
    """The table in Markdown."""
    head = [title.format(renders=renders, stop=STOP_S, limit=limit) for title in HEAD]
    lines = [head, ["---"] + ["---:"] * 2 + ["---"] + ["---:"] * 2 + ["---"]]
    lines += [list(cells(result, renders)) for result in results]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


STYLE = Style(
    background="#ffffff", plot_background="#ffffff", font_family="sans-serif",
    foreground="#333333", foreground_strong="#111111", foreground_subtle="#999999",
    colors=(
        "#d1495b", "#edae49", "#66507a", "#e07a2f", "#8c6d31", "#1f77b4", "#17becf", "#7f7f7f",
        "#b279a2", "#a50f15", "#9acd32", "#0b6e4f",
    ),
    label_font_size=13, major_label_font_size=13, legend_font_size=14, title_font_size=20,
    stroke_width=2, stroke_opacity="1", opacity=".9",
)  # fmt: skip


def plot(results: list[Result], limit: int) -> str:
    """Zombies over renders, one line for each PID 1, as SVG without script or reference."""
    most = max(len(result.killed.zombies) for result in results)
    chart = pygal.XY(
        js=[], disable_xml_declaration=True, no_prefix=True, width=1000, height=640, style=STYLE,
        title=f"Zombies, a Chrome killed per render, --pids-limit {limit}", x_title="renders",
        legend_at_bottom=True, legend_at_bottom_columns=2, truncate_legend=-1, dots_size=2.5,
        xrange=(0, most), x_labels=list(range(0, most + 1, max(1, most // 12))), range=None,
        show_x_guides=False, print_values=False, explicit_size=False,
    )  # fmt: skip
    for result in results:
        points = [(0, 0), *enumerate(result.killed.zombies, start=1)]
        name = f"{result.row.plain_title.replace('**', '')}: {failure(result.killed, short=True)}"
        chart.add(name, points)
    drawn: str = chart.render(is_unicode=True)
    return re.sub(r"<script.*?</script>|<!--.*?-->", "", drawn, flags=re.DOTALL)


def as_json(result: Result, renders: int) -> dict[str, Any]:
    """A row for programs: the derived figures beside the raw ones."""
    figures = {
        ending: {
            "per_render": round(series.per_render(renders), 2), "after": series.after(renders),
            "pictures": series.pictures, **asdict(series),
        }
        for ending, series in (("closed", result.closed), ("killed", result.killed))
    }  # fmt: skip
    return {
        "name": result.row.name, "command": " ".join(result.row.command),
        "docker_init": result.row.docker_init, **figures, "term": result.told,
        "stop_s": round(result.stop_s, 2), "status": result.status,
        "seconds": round(result.seconds, 1),
    }  # fmt: skip


def write(out: Path, results: list[Result], facts: dict[str, Any]) -> str:
    """Write all three into a folder; the table with its heading line."""
    out.mkdir(parents=True, exist_ok=True)
    renders, limit = facts["renders"], facts["pids_limit"]
    rows = [as_json(result, renders) for result in results]
    raw = {"machine": machine(), **facts, "stop_patience_s": STOP_S, "rows": rows}
    (out / "results.json").write_text(json.dumps(raw, indent=1) + "\n")
    words = f"{machine()}; {facts['versions'][0]}.\n\n{table(results, renders, limit)}"
    (out / "table.md").write_text(words)
    (out / "plot.svg").write_text(plot(results, limit) + "\n")
    return words
