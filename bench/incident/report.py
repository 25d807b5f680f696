"""The results in three forms: JSON, a table for docs/incident.md, a plot that refers to nothing."""

import copy
import json
import os
import platform
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pygal
from pygal.style import Style

from bench.incident.engine import STOP_S
from bench.incident.measure import Result, Series

HEAD = (
    "PID 1", "zombies per render: closed / killed", "after {renders}: closed / killed",
    "TERM: the application", "`docker stop -t {stop}`, s", "status",
    "killed, `--pids-limit {limit}`",
)  # fmt: skip
SIGTERM_WORDS = {
    "finished": "cleaned up", "cut off": "received, **clean-up cut off**",
    "never told": "**not received**",
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
    if short:
        return words
    return f"**{words}**: {series.message.removeprefix('Error: ')[:80]}"


def cells(result: Result, renders: int) -> tuple[str, ...]:
    """One line of the table."""
    closed, killed = result.closed, result.killed
    return (
        result.row.title,
        f"{closed.per_render(renders):.1f} / {killed.per_render(renders):.1f}",
        f"{closed.after(renders)} / {killed.after(renders)}",
        SIGTERM_WORDS[result.reported],
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


def in_the_log(results: list[Result]) -> str:
    """What the logs of the failing rows say of it, which no caller gets."""
    lines = sorted({line for result in results for line in result.killed.log})
    return "".join(f"In the log of a failing row: `{line}`\n" for line in lines[:4])


STYLE = Style(
    background="#ffffff", plot_background="#ffffff", font_family="sans-serif",
    foreground="#333333", foreground_strong="#111111", foreground_subtle="#666666",
    guide_stroke_color="#dddddd", major_guide_stroke_color="#dddddd", guide_stroke_dasharray="1",
    major_guide_stroke_dasharray="1", label_font_size=13, major_label_font_size=13,
    legend_font_size=14, title_font_size=17, stroke_opacity="1", opacity="1",
)  # fmt: skip
WARM = ("#fbd3a8", "#f5a25d", "#e4572e", "#a4161a", "#3d0408")  # rows in which a render failed
COOL = (  # the others
    "#e3e3e3", "#bdbdbd", "#d8eef5", "#a5d5e8", "#6fb4d6", "#3b87c0", "#1f5a9c", "#bfe3c0",
    "#6cbf73", "#0b6e4f", "#9a86c9",
)  # fmt: skip
NO_DOT = r'<g class="dots"><circle [^>]*r="0.0"[^>]*/></g>'
THINNEST, WIDEST, STEP = 2.5, 24.0, 3.0


def bundle(results: list[Result], colours: tuple[str, ...]) -> list[tuple[Result, str, float]]:
    """Rows that share one course, each with a colour and a width: wide below, thin above.

    They leave the very same number, so that lines of one width would hide each other.
    """
    step = min(STEP, (WIDEST - THINNEST) / max(1, len(results) - 1))
    widths = [THINNEST + step * at for at in range(len(results))]
    return [
        (result, colours[(at - len(results)) % len(colours)], width)
        for at, (result, width) in enumerate(zip(results, reversed(widths), strict=True))
    ]


def points(series: Series) -> list[dict[str, Any]]:
    """The course of a row; a failure is a dot at its end."""
    pairs = [(0, 0), *enumerate(series.zombies, start=1)]
    radii = [0.0] * (len(pairs) - 1) + [6.0 if series.failed_at else 0.0]
    return [
        {"value": pair, "node": {"r": radius}} for pair, radius in zip(pairs, radii, strict=True)
    ]


def plot(results: list[Result], limit: int) -> str:
    """Zombies over renders, one line for each PID 1, as SVG without script or reference."""
    failing = [result for result in results if result.killed.failed_at]
    working = [result for result in results if not result.killed.failed_at]
    lines = bundle(failing, WARM) + bundle(working, COOL)
    most = max(len(result.killed.zombies) for result in results)
    top = max(max(result.killed.zombies) for result in results)
    style = copy.copy(STYLE)
    style.colors = tuple(colour for _, colour, _ in lines)
    chart = pygal.XY(
        js=[], disable_xml_declaration=True, width=1000, height=700, style=style,
        title=f"Zombies over renders: a Chrome killed per render, at most {limit} pids",
        x_title="renders (a dot: this one failed; lines that coincide lie in each other)",
        legend_at_bottom=True, legend_at_bottom_columns=2, truncate_legend=-1, xrange=(0, most),
        x_labels=list(range(0, most + 1, max(1, most // 12))), range=(0, max(top, 10)),
        y_labels=list(range(0, max(top, 10) + 1, 20 if top > 40 else 5)),
    )  # fmt: skip
    for result, _, width in lines:
        name = f"{result.row.plain_title}: {failure(result.killed, short=True)}"
        chart.add(name, points(result.killed), stroke_style={"width": width, "linecap": "butt"})
    chart.uuid = "incident"  # or each run would change every line of the file
    drawn: str = chart.render(is_unicode=True)
    for useless in (r"<script.*?</script>", r"<!--.*?-->", r"<desc.*?</desc>", NO_DOT):
        drawn = re.sub(useless, "", drawn, flags=re.DOTALL)
    # What pygal says of things under the mouse outdoes the widths asked for.
    return re.sub(r"(\.reactive\{[^}]*);stroke-width:1\}", r"\1}", drawn)


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
        "options": " ".join(result.row.options), **figures, "term": result.reported,
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
    words += f"\n{reported}" if (reported := in_the_log(results)) else ""
    (out / "table.md").write_text(words)
    (out / "plot.svg").write_text(plot(results, limit) + "\n")
    return words
