"""`poster-service loadtest`: its options, and its exit status.

0: nothing is left and no undisturbed render failed. 1: something is left or failed, and is listed.
2: wrong usage, or a service that cannot be reached or inspected, in one line.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from poster_service.loadtest import display, report
from poster_service.loadtest.callers import headers_of
from poster_service.loadtest.command_target import TOKEN_VARIABLE, CommandTarget, SelfTarget
from poster_service.loadtest.docker_target import DockerTarget
from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.run import Plan, Result, Run
from poster_service.loadtest.targets import Target, UrlTarget

RENDERS = 200
#: Columns of the tables where stdout is not a terminal, so that no name is wrapped.
WIDE = 110


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `poster-service loadtest`."""
    _add_target_options(parser)
    _add_load_options(parser)
    out = parser.add_argument_group("report")
    out.add_argument("--json", type=Path, metavar="FILE", help="write the whole result as JSON")
    out.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write an HTML page with plots"
    )
    out.add_argument(
        "--poster",
        type=Path,
        metavar="FILE.png",
        help="have the service under test render a summary",
    )


def _add_target_options(parser: argparse.ArgumentParser) -> None:
    _add_targets(parser)
    parser.add_argument(
        "--docker-arg",
        action="append",
        default=[],
        metavar="ARG",
        help="an additional argument of docker run, e.g. --docker-arg=--init; repeatable",
    )
    parser.add_argument(
        "--no-census",
        action="store_true",
        help="do not check for leftovers (with --url, for a service on another machine)",
    )
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE, ""),
        metavar="TOKEN",
        help="bearer token to send, if the service requires one; better set the variable"
        f" {TOKEN_VARIABLE}, which no process list shows",
    )


def _add_targets(parser: argparse.ArgumentParser) -> None:
    """What is tested: one of these."""
    target = parser.add_argument_group("target").add_mutually_exclusive_group()
    target.add_argument(
        "--self",
        action="store_true",
        dest="own",
        help="start `poster-service serve` and stop it afterwards (default)",
    )
    target.add_argument(
        "--url", metavar="URL", help="test a service that is already running on this machine"
    )
    target.add_argument(
        "--docker",
        metavar="IMAGE",
        help="run this image with the local Docker and test the container",
    )
    target.add_argument(
        "--command",
        nargs=argparse.REMAINDER,
        metavar="CMD",
        dest="words",
        help="run a command that serves POST /render on $PORT; takes the rest of the line",
    )


def _add_load_options(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("load")
    load.add_argument(
        "--renders",
        type=positive,
        metavar="N",
        help=f"requests to send (default {RENDERS}, or no limit with --duration)",
    )
    load.add_argument("--duration", type=seconds, metavar="S", help="stop the load after S seconds")
    load.add_argument(
        "--concurrency",
        type=positive,
        default=4,
        metavar="N",
        help="concurrent requests (default 4)",
    )
    load.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="the same seed sends the same requests (default 1)",
    )
    load.add_argument(
        "--chaos",
        action="store_true",
        help="disturb the service: kill and stop Chrome processes, send hostile pages, hang up, and"
        " (with --self) restart it by SIGTERM during the load",
    )
    load.add_argument(
        "--settle",
        type=seconds,
        default=10.0,
        metavar="S",
        help="seconds after which nothing may be left (default 10)",
    )


def positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be above 0")
    return number


def run(options: argparse.Namespace) -> int:
    """Run the load test; returns the exit status, 130 when it was interrupted."""
    try:
        check(options)
        return asyncio.run(_interruptible(options))
    except CannotTest as error:
        print(f"poster-service loadtest: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130


def check(options: argparse.Namespace) -> None:
    """Check what argparse cannot.

    Raises:
        CannotTest: With what is wrong, in one line.
    """
    if options.words is not None and not options.words:
        raise CannotTest("--command: must be followed by a command")
    if options.no_census and not options.url:
        raise CannotTest("--no-census: allowed only with --url")
    if options.docker_arg and not options.docker:
        raise CannotTest("--docker-arg: allowed only with --docker")
    if not options.token.isascii() or not options.token.isprintable() or " " in options.token:
        raise CannotTest("--token: must be printable ASCII without blanks")
    for file in (options.json, options.report, options.poster):
        if file is not None and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
            raise CannotTest(f"{file}: its folder must exist and be writable")


def target_of(options: argparse.Namespace) -> Target:
    """The target that the options choose."""
    if options.url:
        return UrlTarget(options.url, census=not options.no_census)
    if options.docker:
        return DockerTarget(options.docker, extra=options.docker_arg)
    return CommandTarget(options.words) if options.words else SelfTarget()


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan that the options describe."""
    unlimited = options.duration is not None
    return Plan(
        renders=options.renders or (None if unlimited else RENDERS), duration=options.duration,
        concurrency=options.concurrency, seed=options.seed, chaos=options.chaos,
        settle=options.settle, token=options.token,
    )  # fmt: skip


async def _interruptible(options: argparse.Namespace) -> int:
    """Run the load test so that SIGTERM ends it as Ctrl-C does, leaving nothing behind."""
    task = asyncio.ensure_future(_test(options))
    with _on_term(task):
        try:
            return await task
        except asyncio.CancelledError:
            if _cancelling():
                raise
            raise KeyboardInterrupt from None


def _cancelling() -> bool:
    """Whether this task was cancelled (Ctrl-C), and not only the test (SIGTERM)."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


@contextlib.contextmanager
def _on_term(task: "asyncio.Future[int]") -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _test(options: argparse.Namespace) -> int:
    target = target_of(options)
    plan = plan_of(options)

    async def at_rest(result: Result) -> None:
        if options.poster is None:
            return
        try:
            await report.write_poster(
                result, target.address, options.poster, headers_of(options.token)
            )
        except CannotTest as error:
            result.problems.append(str(error))

    result = await Run(plan, target).go(display.show, at_rest)
    if options.json is not None:
        report.write_json(result, options.json)
    if options.report is not None:
        report.write_html(result, options.report)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    display.print_result(result, console)
    return 0 if result.ok else 1
