"""Tables of the incident: what each usual PID 1 leaves of a Chrome that a render launched."""

from collections.abc import Mapping
from typing import Any

from tools.docs import markdown
from tools.docs.benchmarks import best_rate, figures, results

#: Every row of the experiment, as a reader would say it.
TITLES = {
    "node": "`node server.js`",
    "npm": "`npm start`",
    "python": "`python server.py`",
    "sh": "`sh -c 'node server.js'` (dash)",
    "bash": "`bash -c 'node server.js'` (bash replaces itself by node)",
    "bash-more": "`bash -c 'node server.js; echo ended'` (bash stays)",
    "tini": "`tini -- node server.js`",
    "dumb-init": "`dumb-init -- node server.js`",
    "tini-npm": "`tini -- npm start`",
    "dumb-init-npm": "`dumb-init -- npm start`",
    "docker-init": "`docker run --init`, `node server.js`",
    "systemd": "systemd, `node server.js` as a unit",
    "manager": "a process manager that reaps only its own child, `node server.js`",
    "subreaper": "the same manager, `poster-init -- node server.js`",
    "ours-npm": "`poster-init -- npm start`",
    "ours": "`poster-init -- node server.js`",
}
#: What became of the application's clean-up of 300 ms; other endings mean that none began.
TERM = {
    "finished": "received, clean-up finished",
    "cut off": "received, **clean-up cut off**",
}


def table() -> str:
    """The whole experiment, one row for each PID 1.

    Raises:
        KeyError: The results have a row without a title here.
    """
    found = results("incident/results/results.json")
    head = [
        "PID 1", "zombies per render, closed / killed",
        f"zombies after {found['renders']} renders, closed / killed",
        "SIGTERM in the application", f"`docker stop -t {found['stop_patience_s']}`",
        f"Chromes killed, `--pids-limit {found['pids_limit']}`",
    ]  # fmt: skip
    rows = [
        [
            TITLES[row["name"]], _zombies(row, "per_render"), _zombies(row, "after"),
            TERM.get(row["term"], "**not received**"),
            f"{row['stop_s']:.1f} s, status {row['status']}",
            _limit(row["killed"]),
        ]
        for row in found["rows"]
    ]  # fmt: skip
    return markdown.table(head, rows)


def why() -> str:
    """The table of the README: what a render leaves, what it costs, what renders share."""
    rows = {row["name"]: row for row in results("incident/results/results.json")["rows"]}
    head = [
        "", "zombies per render, closed / killed", "renders share", "median, ms",
        "renders/s, 2 cores",
    ]  # fmt: skip
    lines = [
        ["a Chrome launched per render (pyppeteer), no init",
         _zombies(rows["python"], "per_render"), "nothing", *_speed("pyppeteer-launch")],
        ["a shared Chrome (puppeteer), a context per render", "none until Chrome ends",
         "the browser process", *_speed("puppeteer-context")],
        ["**poster-service**, default", "**0 / 0**", "nothing", *_speed("ours-fast")],
        ["**poster-service**, 50 renders per Chrome", "**0 / 0**", "the browser process",
         *_speed("ours-50-fast")],
    ]  # fmt: skip
    return markdown.table(head, lines, 3)


def _zombies(row: Mapping[str, Any], figure: str) -> str:
    return f"{row['closed'][figure]:g} / {row['killed'][figure]:g}"


def _limit(killed: Mapping[str, Any]) -> str:
    if killed["failed_at"]:
        return (
            f"**render {killed['failed_at']} fails**: {killed['message'].removeprefix('Error: ')}"
        )
    return f"all {killed['pictures']} renders succeed"


def _speed(design: str) -> list[str]:
    found = figures(design, "gradient")
    return [f"{found['p50']:.0f}", f"{best_rate(found):.1f}"]
