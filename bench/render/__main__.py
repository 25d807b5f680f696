"""Ours beside the peers: latency, rate, CPU, memory and bytes, in interleaved rounds.

    python -m bench.render [--quick | --scaled | --profile] [--only NAME] [--out FOLDER]

Sets up the peers (puppeteer, playwright, pyppeteer, each in its own environment in a cache outside
the tree), then measures every candidate in turn, round after round, so that what moves the machine
moves all. Writes results.json, table.md and plot.svg; with --scaled, scaled.json. Leaves the cache
and nothing else running.
Never part of the suite.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.render import environments, report, scaled
from bench.render.candidates import CANDIDATES, NAMES, SHARED, Candidate
from bench.render.measure import Life, Measurement, Plan, cleaning, ready_memory
from bench.render.posters import POSTERS, REFERENCE, SCALED
from bench.render.service import Refused
from bench.render.stopping import until_signal
from bench.render.summary import Summary, summarize

FULL = Plan(renders=20, share=8, levels=(2, 4, 8), other_renders=6)
QUICK = Plan(renders=8, share=4, levels=(2, 4), other_renders=4)
SCALED_PLAN = Plan(renders=12, share=0, levels=(), other_renders=0, alike=True)
#: Who is measured at scale 2: the base of all ratios, and ours.
SCALED_NAMES = (SHARED[0], "ours-fast")
PROFILE = Plan(renders=40, share=0, levels=(), other_renders=0)
#: The other posters are measured in the first rounds only.
ROUNDS_OF_OTHERS = 2


def options() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.render", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="one poster, two rounds: some 3 minutes")
    how.add_argument(
        "--scaled", action="store_true",
        help="the reference poster and the bundled templates at scale 1 and 2: some 5 minutes",
    )  # fmt: skip
    how.add_argument("--profile", action="store_true", help="only the phases of ours; writes none")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (3; 2 with --quick)")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME",
        help=f"just this candidate; may be given several times: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--cache", type=Path, default=environments.default_cache(), metavar="FOLDER",
        help="where the peers' environments are kept (poster-bench in the user's cache)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER",
        help="where the results go (the bench's own folder results)",
    )  # fmt: skip
    return parser


def print_progress(words: str) -> None:
    """A line of progress."""
    print(words, file=sys.stderr, flush=True)


def reported(life: Life) -> str:
    """A life in a line."""
    if life.refused:
        return f"  {life.candidate}: refused: {life.refused}"
    windows = [window for window in life.windows if window.poster == REFERENCE.name]
    rates = ", ".join(f"{window.callers}: {window.rate:.1f}/s" for window in windows)
    return f"  {life.candidate}: CPU {windows[0].cpu_each * 1000:.0f} ms, {rates}"


async def all_lives(
    candidates: list[Candidate], rounds: int, given: argparse.Namespace
) -> tuple[list[Life], Measurement]:
    """Every candidate in every round; one that refused is not asked again."""
    plan = PROFILE if given.profile else QUICK if given.quick else FULL
    plan = SCALED_PLAN if given.scaled else plan
    measurement = Measurement(plan, given.cache)
    lives: list[Life] = []
    refused: set[str] = set()
    for number in range(1, rounds + 1):
        whole = number <= ROUNDS_OF_OTHERS and not (given.quick or given.profile)
        posters = list(POSTERS) if whole else [REFERENCE]
        posters = list(SCALED) if given.scaled else posters
        print_progress(f"round {number} of {rounds}")
        for candidate in candidates:
            if candidate.name in refused:
                continue
            life = await measurement.live(candidate, number, posters)
            lives.append(life)
            print_progress(reported(life))
            if life.refused:
                refused.add(candidate.name)
    return lives, measurement


async def about_ours(found: Summary, candidates: list[Candidate], cache: Path, rounds: int) -> None:
    """What only ours has: ready Chromes and their cleaning. One for each way to start it."""
    ours = {
        tuple(sorted(c.env.items())): c for c in reversed(candidates) if c.is_ours and not c.api
    }
    for candidate in ours.values():
        try:
            found.ready[candidate.name] = await ready_memory(candidate, cache)
        except Refused as refused:
            found.ready[candidate.name] = str(refused)
    if ours:
        try:
            found.cleaning = await cleaning(rounds)
        except Refused as refused:
            found.cleaning = str(refused)


def compare(found: Summary, pictures: dict[tuple[str, str], bytes]) -> None:
    """See that all painted the same."""
    for (name, poster), picture in pictures.items():
        if (reference := pictures.get((SHARED[0], poster))) and name != SHARED[0]:
            found.differs[name, poster] = report.difference(reference, picture)


async def run(given: argparse.Namespace) -> str:
    """Set up, measure, write; the tables. Raises CannotSetUp."""
    all_names = SCALED_NAMES if given.scaled else NAMES
    wanted = given.only or (["ours"] if given.profile else all_names)
    candidates = [candidate for candidate in CANDIDATES if candidate.name in wanted]
    programs = {candidate.program for candidate in candidates}
    for program in sorted(programs):
        print_progress(f"setting up {program}")
        environments.set_up(program, given.cache)
    began, begin = datetime.now(UTC), time.monotonic()
    rounds = given.rounds or (1 if given.profile else 2 if given.quick else 3)
    lives, measurement = await all_lives(candidates, rounds, given)
    found = summarize(lives)
    if given.profile:
        return "\n".join(
            report.phases(name, figures) for (name, _), figures in found.figures.items()
        )
    compare(found, measurement.pictures)
    if not given.scaled:
        await about_ours(found, candidates, given.cache, 8 if given.quick else 20)
    raw: dict[str, Any] = {
        "machine": report.machine(), "versions": environments.versions(programs, given.cache),
        "began": began.isoformat(timespec="seconds"), "seconds": round(time.monotonic() - begin),
        "quick": given.quick, "rounds": rounds, "lives": [life.as_json() for life in lives],
    }  # fmt: skip
    if given.scaled:
        return scaled.write(given.out, found, raw)
    return report.write(given.out, found, raw, candidates)


def main() -> int:
    """0 measured, 1 where a peer could not be set up, 143 stopped by TERM."""
    given = options().parse_args()
    with contextlib.suppress(asyncio.CancelledError):
        try:
            print(asyncio.run(until_signal(run(given))), end="")
        except environments.CannotSetUp as missing:
            print_progress(str(missing))
            return 1
        return 0
    return 143


if __name__ == "__main__":
    sys.exit(main())
