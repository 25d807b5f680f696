"""Cost as the work grows: area, HTML, pictures, callers, a queue; and where the knee is.

    python -m bench.scaling [--quick] [--only NAME] [--option NAME=VALUE] [--out FOLDER]

Starts our service for each series and measures its sizes one after the other, round after round.
Writes results.json, table.md and a plot for each series. Leaves nothing running. Never part of the
suite.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from bench.render import environments
from bench.render.candidates import Candidate
from bench.render.measure import Window, each, service_of, warm, window
from bench.render.posters import jpeg
from bench.render.service import Refused
from bench.render.stopping import until_signal
from bench.scaling import report
from bench.scaling.report import Measured
from bench.scaling.series import SERIES, SIDE, Series

NAMES = [series.name for series in SERIES]
#: Before a window of many callers, so many at most, to fill the pool.
WARMING = 8


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE, for argparse."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(text)
    return name, value


pair.__name__ = "NAME=VALUE"  # for the error message of argparse


def options() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few sizes, one round: some 2 minutes")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (3; 1 with --quick)")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME",
        help=f"just this series; may be given several times: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--option", action="append", type=pair, default=[], metavar="NAME=VALUE",
        help="an option of each render, e.g. png_compression=fast",
    )  # fmt: skip
    parser.add_argument(
        "--env", action="append", type=pair, default=[], metavar="NAME=VALUE",
        help="a setting of the service, e.g. POSTER_ISOLATION=context",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER",
        help="where the results go (the bench's own folder results)",
    )  # fmt: skip
    return parser


def print_progress(words: str) -> None:
    """A line of progress."""
    print(words, file=sys.stderr, flush=True)


@asynccontextmanager
async def picture_server() -> AsyncIterator[str]:
    """The address of a server of pictures by number, here, without a lifetime."""

    async def answer(request: web.Request) -> web.Response:
        body = jpeg(int(request.match_info["number"]), SIDE, SIDE)
        headers = {"Cache-Control": "no-store"}
        return web.Response(body=body, content_type="image/jpeg", headers=headers)

    app = web.Application()
    app.router.add_get(r"/{number:\d+}.jpg", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def measure(series: Series, rounds: int, address: str, given: argparse.Namespace) -> Measured:
    """One series with a service of its own. Raises Refused."""
    points = series.points(address)
    if given.quick:
        points = [points[index] for index in series.few]
    ours = Candidate(series.name, series.title, "ours", {**series.env, **dict(given.env)})
    found: Measured = {point.x: [] for point in points}
    async with service_of(ours, environments.default_cache()) as service:
        for _ in range(min(rounds, series.most_rounds)):
            for point in points:
                body: Mapping[str, object] = {**point.body, **dict(given.option)}
                some = min(point.callers, WARMING)
                await each(some, some, lambda body=body: warm(service, body))  # type: ignore[misc]
                one = Window(series.name, point.callers)
                await window(service, body, one, point.renders)
                found[point.x].append(one)
                print_progress(reported(series, point.x, one))
    return found


def reported(series: Series, x: float, one: Window) -> str:
    """A window in a line."""
    words = f"  {series.name} {x:g}: CPU {one.cpu_each * 1000:.0f} ms, {one.rate:.1f}/s"
    return words + (f", {one.failed} failed: {one.stderr_tail}" if one.failed else "")


async def run(given: argparse.Namespace) -> str:
    """Measure every series and write; the tables."""
    began, begin = datetime.now(UTC), time.monotonic()
    rounds = given.rounds or (1 if given.quick else 3)
    measured: list[tuple[Series, Measured]] = []
    refused: dict[str, str] = {}
    async with picture_server() as address:
        for series in SERIES:
            if given.only and series.name not in given.only:
                continue
            print_progress(series.title)
            try:
                measured.append((series, await measure(series, rounds, address, given)))
            except Refused as why:
                refused[series.name] = str(why)
                print_progress(f"  {why}")
    raw = {
        "chrome": environments.versions(set(), Path())["chrome"],
        "began": began.isoformat(timespec="seconds"), "seconds": round(time.monotonic() - begin),
        "quick": given.quick, "rounds": rounds, "options": dict(given.option),
        "env": dict(given.env),
    }  # fmt: skip
    return report.write(given.out, measured, refused, raw)


def main() -> int:
    """0 measured, 143 stopped by TERM."""
    given = options().parse_args()
    with contextlib.suppress(asyncio.CancelledError):
        print(asyncio.run(until_signal(run(given))), end="")
        return 0
    return 143


if __name__ == "__main__":
    sys.exit(main())
