"""The report in three forms: JSON, one self-contained HTML page, a poster by the service itself.

None of them refers to the network or contains a script: a report can be opened years later, or sent
by mail.
"""

import asyncio
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pygal
from pygal.style import Style

from poster_service.loadtest.callers import PATIENCE_SECONDS, code_of
from poster_service.loadtest.display import FIGURES, ZEROS, by_case, headline
from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.outcomes import Verdict, percentile, summary
from poster_service.loadtest.run import Result

#: Points of a plot at most; more are merged.
POINTS = 240
STYLE = Style(
    background="transparent", plot_background="transparent", font_family="sans-serif",
    colors=("#0b6e4f", "#d1495b", "#00798c", "#edae49", "#66507a"), opacity=".9",
)  # fmt: skip
CSS = """
body{font:16px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1b1f}
h1{font-size:1.6rem} .ok{color:#0b6e4f} .bad{color:#b3123a} svg{width:100%;height:auto}
table{border-collapse:collapse;margin:1rem 0} td,th{padding:.2rem .8rem;text-align:right;
border-bottom:1px solid #ddd} td:first-child,th:first-child{text-align:left}
li{font-family:monospace;overflow-wrap:anywhere}
"""


def as_json(result: Result) -> dict[str, Any]:
    """The whole result, for programs."""
    plan = result.plan
    return {
        "ok": result.ok, "headline": headline(result), "target": result.target,
        "plan": {name: value for name, value in vars(plan).items() if name != "token"},
        "begun": result.begun, "seconds": round(result.seconds, 2),
        "requests": len(result.judged), "outcomes": summary(result.judged),
        "refusals": result.outcomes.refusals, "cases": by_case(result),
        "isolation": dict(result.outcomes.isolation()),
        "hits": dict(result.hits), "restarts": len(result.outcomes.restarts),
        "checked": result.checked,
        "left": {kind: result.left_by_kind()[kind] for kind in ZEROS},
        "left_listed": [each.as_json() for each in result.left], "problems": result.problems,
        "flatness": result.flatness(), "resources": result.resources(), "samples": result.numbers,
    }  # fmt: skip


def write_json(result: Result, file: Path) -> None:
    """Write the JSON report."""
    file.write_text(json.dumps(as_json(result), ensure_ascii=False, indent=1) + "\n", "utf-8")


def write_html(result: Result, file: Path) -> None:
    """Write the page."""
    file.write_text(page(result), "utf-8")


def page(result: Result) -> str:
    """The report as one HTML page."""
    wrong = [str(one) for one in result.left] + result.problems
    items = "".join(f"<li>{html.escape(line)}</li>" for line in wrong)
    plots = "".join(f"<h2>{html.escape(name)}</h2>{svg}" for name, svg in charts(result))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Load test</title>"
        f"<style>{CSS}</style><h1>Load test of {html.escape(result.target)}</h1>"
        f"<p class={'ok' if result.ok else 'bad'}><b>{html.escape(headline(result))}</b></p>"
        f"<p>Seed {result.plan.seed}, {result.plan.concurrency} callers,"
        f" {'with' if result.plan.chaos else 'without'} chaos, {result.seconds:.0f} s.</p>"
        f"{'<ul class=bad>' + items + '</ul>' if items else ''}{_tables(result)}{plots}</html>\n"
    )


def _tables(result: Result) -> str:
    cases = by_case(result)
    counted = [list(pair) for pair in summary(result.judged).items()]
    left = [[kind, result.left_by_kind()[kind]] for kind in ZEROS]
    flat = [
        [FIGURES[name], f"{first:.0f}", f"{last:.0f}"]
        for name, (first, last) in result.flatness().items() if name in FIGURES
    ]  # fmt: skip
    hits = [[what, count] for what, count in sorted(result.hits.items())]
    return "".join((
        table(["left behind", "number"], left) if result.checked else "",
        table(list(cases[0]) if cases else [], [list(line.values()) for line in cases]),
        table(["how requests ended", "number"], counted),
        table(["hits", "number"], hits) if hits else "",
        table(["first against last tenth", "first", "last"], flat) if flat else "",
    ))  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table."""
    top = "".join(f"<th>{html.escape(name)}" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape('–' if v is None else str(v))}" for v in row)
        for row in rows
    )
    return f"<table><tr>{top}{body}</table>"


def charts(result: Result) -> list[tuple[str, str]]:
    """Name and SVG of each plot over time."""
    numbers = thin(result.numbers)
    seconds = [round(one["at"]) for one in numbers]

    def seen(name: str, scale: float = 1.0) -> list[float]:
        return [round(one.get(name, 0) * scale, 2) for one in numbers]

    times, rates, middles, worst = per_second(result)
    found = [
        ("Pictures per second", chart(times, {"pictures/s": rates})),
        ("Latency, ms", chart(times, {"p50": middles, "p95": worst})),
    ]
    if numbers:
        memory = {"service PSS": "service_pss_kib", "init PSS": "init_pss_kib"}
        counts = {"service descriptors": "service_fds", "service threads": "service_threads"}
        found += [
            ("Processes", chart(seconds, {"all": seen("processes"), "Chrome": seen("tagged")})),
            ("Zombies and orphans",
             chart(seconds, {"zombies": seen("zombies"), "orphans": seen("orphans")})),
            ("Memory, MiB",
             chart(seconds, {label: seen(name, 1 / 1024) for label, name in memory.items()})),
            ("Descriptors and threads",
             chart(seconds, {label: seen(name) for label, name in counts.items()})),
        ]  # fmt: skip
    return found


def thin(numbers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `POINTS` points; of merged ones the one with the most zombies stays."""
    step = max(1, math.ceil(len(numbers) / POINTS))
    groups = (numbers[begin : begin + step] for begin in range(0, len(numbers), step))
    return [max(group, key=lambda one: float(one["zombies"])) for group in groups]


def per_second(result: Result) -> tuple[list[int], list[float], list[float], list[float]]:
    """Times, pictures per second, p50 and p95 in ms, in steps of one second or more."""
    width = max(1, math.ceil(result.seconds / POINTS))
    bins: dict[int, list[float]] = {}
    for one in result.judged:
        if one.verdict is Verdict.RENDERED:
            bins.setdefault(int(one.outcome.end // width), []).append(one.outcome.seconds * 1000)
    span = range(int(result.seconds // width) + 1)
    ordered = [sorted(bins.get(number, [])) for number in span]
    return (
        [number * width for number in span],
        [round(len(found) / width, 2) for found in ordered],
        [round(percentile(found, 0.5)) for found in ordered],
        [round(percentile(found, 0.95)) for found in ordered],
    )


def chart(seconds: Sequence[int], lines: dict[str, list[float]], height: int = 260) -> str:
    """A line plot as SVG, without script and without a reference to anywhere."""
    plot = pygal.Line(
        js=[], disable_xml_declaration=True, show_dots=False, width=1000, height=height,
        style=STYLE, include_x_axis=True, legend_at_bottom=True, x_title="s",
        show_minor_x_labels=False, x_labels_major_count=11, truncate_legend=-1, truncate_label=-1,
    )  # fmt: skip
    plot.x_labels = [str(second) for second in seconds]
    for name, values in lines.items():
        plot.add(name, values)
    drawn: str = plot.render(is_unicode=True)
    return without_script(drawn)


def without_script(svg: str) -> str:
    """The SVG without pygal's scripts for its viewer, and without comments that name sites."""
    return re.sub(r"<script.*?</script>|<!--.*?-->", "", svg, flags=re.DOTALL)


def poster(result: Result) -> str:
    """The headline as a page of 1200 x 630 for the service to render."""
    left = sum(result.left_by_kind().values())
    zombies = max((one["zombies"] for one in result.numbers), default=0)
    times, rates, _, _ = per_second(result)
    colour = "#0b6e4f" if result.ok else "#b3123a"
    verdict = "nothing left behind" if result.ok else "FAILED"
    figures = (
        (len(result.judged), "requests"), (result.count(Verdict.RENDERED), "pictures"),
        (sum(result.hits.values()), "Chromes hit"), (zombies, "zombies at most"), (left, "left"),
    )  # fmt: skip
    cells = "".join(f"<div><b>{number}</b><br>{name}</div>" for number, name in figures)
    return (
        "<!doctype html><meta charset=utf-8><style>*{box-sizing:border-box}body{margin:0;"
        "width:1200px;height:630px;padding:44px 56px;font:26px sans-serif;background:#fbfaf6;"
        f"color:#1b1b1f}}h1{{margin:0;color:{colour};font-size:54px}}.f{{display:flex;gap:48px;"
        "margin:26px 0}.f b{font-size:48px}svg{width:1088px;height:290px}</style>"
        f"<h1>{verdict}</h1><div>{html.escape(result.target)}, seed {result.plan.seed},"
        f" {result.seconds:.0f} s, pictures per second:</div><div class=f>{cells}</div>"
        f"{chart(times, {'pictures/s': rates})}"
    )


async def write_poster(
    result: Result, address: str, file: Path, headers: Mapping[str, str]
) -> None:
    """Have the service render the headline.

    Raises:
        CannotTest: The service did not.
    """
    body = {"html": poster(result), "width": 1200, "height": 630, "timeout_ms": 15_000}
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as client,
            client.post(f"{address}/render", json=body) as answer,
        ):
            picture, status = await answer.read(), answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CannotTest(f"the poster was not rendered: {error}") from error
    if status != 200:
        raise CannotTest(f"the poster was not rendered: {status} {code_of(picture)}")
    await asyncio.to_thread(file.write_bytes, picture)
