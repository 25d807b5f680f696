"""The incident, reproduced: one launch-per-render service under every usual PID 1, in Docker.

    python -m bench.incident [--renders N] [--only NAME] [--out FOLDER]

Each row has two fresh containers. In the first, Chromes are closed the library's way, and the
container is stopped; in the second, Chromes are killed as a time-out handler does, under a limit
of pids, until a render fails or three times --renders have worked. Writes results.json, table.md
and plot.svg. Leaves the image `poster-incident`, and nothing else. Never part of the suite.
"""

import argparse
import signal
import sys
from pathlib import Path

from bench.incident import engine, report
from bench.incident.measure import Result, measure
from bench.incident.rows import ROWS, Row

NAMES = [row.name for row in ROWS]


def at_least_one(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


at_least_one.__name__ = "whole number from 1 on"  # for the error message of argparse


def options() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.incident", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--renders", type=at_least_one, default=20, metavar="N",
        help="renders with a clean close; at most three times as many with a kill (20)",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME",
        help="just this row; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--pids-limit", type=at_least_one, default=200, metavar="N",
        help="processes and threads that the second container may have (200)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER",
        help="where the results go (the bench's own folder results)",
    )  # fmt: skip
    parser.add_argument(
        "--no-build", action="store_true", help="take the image as it is, from an earlier run"
    )
    parser.add_argument("--list", action="store_true", help="name the rows and leave")
    return parser


def print_progress(words: str) -> None:
    """A line of progress."""
    print(words, file=sys.stderr, flush=True)


def one(row: Row, renders: int, pids_limit: int) -> Result:
    """Measure a row and say what was found."""
    result = measure(row, renders, pids_limit)
    print_progress(
        f"{row.name}: {result.closed.per_render(renders):.1f} zombies per render closed,"
        f" {result.killed.per_render(renders):.1f} killed;"
        f" {report.failure(result.killed, short=True)}; TERM {result.reported},"
        f" stopped in {result.stop_s:.1f} s with {result.status} ({result.seconds:.0f} s)"
    )
    return result


def run(given: argparse.Namespace) -> str:
    """Build, measure, write; the table. Raises engine.Failed."""
    if not given.no_build:
        print_progress(f"building the image {engine.IMAGE} (minutes the first time)")
        engine.build()
    facts = {
        "renders": given.renders, "pids_limit": given.pids_limit, "versions": engine.versions(),
    }  # fmt: skip
    rows = [row for row in ROWS if given.only is None or row.name in given.only]
    results = [one(row, given.renders, given.pids_limit) for row in rows]
    return report.write(given.out, results, facts)


def main() -> int:
    """0 measured, 1 where something in between failed, 2 without an engine."""
    given = options().parse_args()
    if given.list:
        print("\n".join(f"{row.name:12} {row.plain_title}" for row in ROWS))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the containers go all the same
    if not engine.answers():
        print_progress(engine.NO_ENGINE)
        return 2
    try:
        print(run(given), end="")
    except engine.Failed as failed:
        print_progress(str(failed))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
