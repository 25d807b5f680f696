"""Tables of the isolation levels beside puppeteer, from one run of bench/render."""

from typing import Any

from tools.docs.benchmarks import REFERENCE, best_rate, measured, results, yes
from tools.docs.markdown import table

RESULTS = "render/results/levels/results.json"
CONTEXTS, PAGES = "puppeteer-context", "puppeteer-page-fast"
#: Every design that was measured, as a reader would say it.
DESIGNS = {
    CONTEXTS: "puppeteer, shared Chrome, context per render",
    PAGES: "puppeteer, pages shared by all renders, fast PNG",
    "ours-fast": "HTML, level `process`, PNG fast",
    "ours-50-fast": "HTML, level `context`, PNG fast",
    "ours-process-fast": "a template, level `process`, PNG fast",
    "ours-context-fast": "a template, level `context`, PNG fast",
    "ours-page-fast": "a template, level `page`, PNG fast",
    "ours-page-jpeg": "a template, level `page`, JPEG",
}
#: What was aimed at: what, ours, theirs, and the bounds of CPU, p50 (at most) and rate (at least);
#: None where none was set.
GOALS: tuple[tuple[str, str, str, tuple[float | None, float, float]], ...] = (
    ("`page`, PNG fast", "ours-page-fast", CONTEXTS, (0.22, 0.24, 5.0)),
    ("`page`, JPEG", "ours-page-jpeg", CONTEXTS, (0.17, 0.19, 6.5)),
    ("`page`, PNG fast, beside shared pages", "ours-page-fast", PAGES, (1.0, 1.0, 1.0)),
    ("`context`, HTML", "ours-50-fast", CONTEXTS, (0.50, 0.32, 2.6)),
    ("`process`, HTML", "ours-fast", CONTEXTS, (None, 0.45, 1.75)),
)
#: The same for CPU of our own process, beside the node process of puppeteer's contexts.
OWN_GOALS = (("`process`, HTML", "ours-fast", 0.50), ("`page`, PNG fast", "ours-page-fast", 0.35))
#: The design that shows what a level costs.
LEVELS = {"process": "ours-fast", "context": "ours-50-fast", "page": "ours-page-fast"}


def _figures() -> Any:
    found = results(RESULTS)["summary"]["figures"]
    return {design: found[f"{design} {REFERENCE}"] for design in DESIGNS}


def machine() -> str:
    """Where and when it was measured."""
    return measured(results(RESULTS))


def levels() -> str:
    """Every design with the reference poster; the last column is of the service's own process."""
    all_figures = _figures()
    base = all_figures[CONTEXTS]
    rows = []
    for design, title in DESIGNS.items():
        found = all_figures[design]
        rows.append([
            title, f"{found['p50']:.0f} / {found['p99']:.0f}", f"{best_rate(found):.1f}",
            f"{found['cpu']:.0f}", f"{found['cpu'] / base['cpu']:.2f}", f"{found['own']:.1f}",
        ])  # fmt: skip
    head = ["design", "p50 / p99, ms", "renders/s", "CPU, ms", "relative", "own process, ms"]
    return table(head, rows, 1)


def goals() -> str:
    """What was aimed at, and what was reached."""
    figures = _figures()
    rows = []
    for what, ours, theirs, (cpu, p50, rate) in GOALS:
        mine, base = figures[ours], figures[theirs]
        if cpu is not None:
            rows.append(_at_most(f"{what}: CPU", mine["cpu"] / base["cpu"], cpu))
        rows.append(_at_most(f"{what}: p50", mine["p50"] / base["p50"], p50))
        ratio = best_rate(mine) / best_rate(base)
        rows.append(
            [f"{what}: renders/s", f"at least {rate:g} x", f"{ratio:.2f} x", yes(ratio >= rate)]
        )
    rows += [
        _at_most(
            f"{what}: own process beside node's",
            figures[ours]["own"] / figures[CONTEXTS]["own"],
            to,
        )
        for what, ours, to in OWN_GOALS
    ]
    return table(["", "goal", "measured", "reached"], rows, 1)


def _at_most(what: str, ratio: float, bound: float) -> list[str]:
    return [what, f"at most {bound:g} x", f"{ratio:.3f} x", yes(ratio <= bound)]


def replicas() -> str:
    """How many cores one service can keep busy, by isolation level."""
    figures = _figures()
    rows = []
    for level, design in LEVELS.items():
        found = figures[design]
        rows.append([
            f"`{level}`", f"{found['cpu']:.0f}", f"{found['own']:.1f}",
            f"{found['cpu'] / found['own']:.0f}",
        ])  # fmt: skip
    head = ["isolation level", "CPU per render, ms", "of it the service's own, ms", "cores"]
    return table(head, rows, 1)
