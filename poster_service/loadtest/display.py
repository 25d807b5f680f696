"""What the load test prints: progress while it runs, tables at the end."""

import asyncio
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from poster_service.loadtest.outcomes import Verdict, percentile
from poster_service.loadtest.run import Result, Run

#: How often the bar moves, and how often a line is written where there is no terminal, in seconds.
BAR_PERIOD, LINE_PERIOD = 0.25, 5.0
#: Seconds over which the rate is computed.
RATE_SECONDS = 5.0
FIGURES = {
    "processes": "processes", "tagged": "Chrome processes", "zombies": "zombies",
    "orphans": "orphans", "folders": "lease folders", "service_rss_kib": "service RSS, KiB",
    "service_pss_kib": "service PSS, KiB", "service_fds": "service descriptors",
    "service_threads": "service threads", "init_rss_kib": "init RSS, KiB",
    "init_pss_kib": "init PSS, KiB", "init_fds": "init descriptors",
    "init_threads": "init threads",
}  # fmt: skip
#: Everything that must be zero, in this order.
ZEROS = ("zombie", "orphan", "process", "escaped", "lease folder", "file", "shared memory")


def status_line(run: Run) -> str:
    """The state of the run in one line."""
    now = run.clock()
    since = max(0.0, now - RATE_SECONDS)
    rate = run.outcomes.rendered_since(since) / max(now - since, 0.1)
    ordered = run.outcomes.latencies()
    percentiles = " ".join(
        f"p{share} {percentile(ordered, share / 100) * 1000:.0f}" for share in (50, 95, 99)
    )
    return f"{rate:.1f}/s, {percentiles} ms, {_seen(run)}"


def _seen(run: Run) -> str:
    snapshot = run.watch.latest if run.watch else None
    if snapshot is None:
        return "processes not inspected"
    return f"{len(snapshot.living)} processes, {len(snapshot.zombies)} zombies"


async def show(run: Run) -> None:
    """A bar on a terminal, plain lines elsewhere, until cancelled."""
    if sys.stderr.isatty():
        await _bar(run)
    else:
        await _lines(run)


async def _bar(run: Run) -> None:
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(), BarColumn(30), TextColumn("{task.completed} of {task.fields[of]}"),
        TextColumn("{task.description}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1000, of=run.plan.renders or "any")
        while True:
            progress.update(task, description=status_line(run), total=_total(run))
            progress.update(task, completed=len(run.outcomes.all))
            await asyncio.sleep(BAR_PERIOD)


def _total(run: Run) -> float:
    """How many requests there will be, as an estimate."""
    done, share = len(run.outcomes.all), run.progress()
    return run.plan.renders or (done / share if share else None) or 1000.0


async def _lines(run: Run) -> None:
    of = f" of {run.plan.renders}" if run.plan.renders else ""
    while True:
        await asyncio.sleep(LINE_PERIOD)
        done = len(run.outcomes.all)
        line = f"{run.clock():6.0f} s  {done}{of}  {status_line(run)}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the command's own output


def print_result(result: Result, console: Console) -> None:
    """Print the tables at the end, and what is wrong."""
    console.print(_requests(result))
    if result.checked:
        console.print(_left(result))
        console.print(_flat(result))
    else:
        console.print("Leftovers were not checked (--no-census).")
    for line in (*map(str, result.left), *result.problems):
        console.print(Text(f"! {line}", "red"), soft_wrap=True)
    console.print(Text(headline(result), "bold green" if result.ok else "bold red"))


def headline(result: Result) -> str:
    """The result in one sentence."""
    pictures = result.count(Verdict.RENDERED)
    rate = pictures / result.seconds if result.seconds else 0.0
    load = f"{len(result.judged)} requests, {pictures} pictures, {rate:.1f}/s"
    if not result.checked:
        return f"{load}; {'no undisturbed render failed' if result.ok else 'FAILED'}"
    if result.ok:
        return f"{load}; left behind: nothing"
    kinds = result.left_by_kind()
    left = ", ".join(f"{kinds[kind]} {kind}" for kind in ZEROS if kinds[kind])
    return f"{load}; left behind: {left or 'nothing'}; {len(result.problems)} other problems"


def by_case(result: Result) -> list[dict[str, Any]]:
    """Numbers and percentiles (ms) of each kind of request, by name, "all" last."""
    found: dict[str, list[Any]] = {}
    for one in result.judged:
        found.setdefault(one.outcome.case.name, []).append(one)
    return [_line(name, ones) for name, ones in (*sorted(found.items()), ("all", result.judged))]


def _line(name: str, ones: list[Any]) -> dict[str, Any]:
    ordered = sorted(one.outcome.seconds for one in ones if one.verdict is Verdict.RENDERED)
    return {
        "name": name, "requests": len(ones), "rendered": len(ordered),
        "failed": sum(one.verdict is Verdict.FAILED for one in ones),
        **{f"p{share}": _milliseconds(ordered, share) for share in (50, 95, 99)},
    }  # fmt: skip


def _milliseconds(ordered: list[float], share: int) -> int | None:
    """A percentile in ms; None where nothing was rendered."""
    return round(percentile(ordered, share / 100) * 1000) if ordered else None


def _requests(result: Result) -> Table:
    table = Table(title=f"{result.target}, seed {result.plan.seed}", title_justify="left")
    for name in ("request", "number", "pictures", "failed", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(name, justify="left" if name == "request" else "right")
    for line in by_case(result):
        table.add_row(*("–" if value is None else str(value) for value in line.values()))
    others = [verdict for verdict in Verdict if verdict is not Verdict.RENDERED]
    ends = ", ".join(f"{count} {verdict}" for verdict in others if (count := result.count(verdict)))
    refusals = result.outcomes.refusals
    table.caption = f"{ends or 'all rendered'}; {refusals} refusals, obeyed and retried"
    return table


def _left(result: Result) -> Table:
    table = Table(title="left behind", title_justify="left")
    table.add_column("what")
    table.add_column("left", justify="right")
    table.add_column("most at once", justify="right")
    kinds = result.left_by_kind()
    most = {"zombie": "zombies", "orphan": "orphans", "process": "processes",
            "lease folder": "folders"}  # fmt: skip
    for kind in ZEROS:
        peak = max((one[most[kind]] for one in result.numbers), default=0) if kind in most else ""
        table.add_row(kind, str(kinds[kind]), str(peak))
    hits = ", ".join(f"{count} x {what}" for what, count in sorted(result.hits.items()))
    table.caption = f"hits: {hits or 'none'}; {len(result.outcomes.restarts)} restarts"
    return table


def _flat(result: Result) -> Table:
    table = Table(title="first against last tenth (medians)", title_justify="left")
    for name in ("figure", "first", "last"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    flat = result.flatness()
    for name, label in FIGURES.items():
        if name in flat:
            table.add_row(label, *(f"{value:.0f}" for value in flat[name]))
    return table
