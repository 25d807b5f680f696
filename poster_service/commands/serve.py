"""`poster-service serve` and `work`: the HTTP service, or a worker, with poster-init in front."""

import argparse
import asyncio
import ctypes
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from poster_service import __version__, logs, telemetry
from poster_service.clock import PauseAwareLoop
from poster_service.commands.under_init import ensure_init
from poster_service.errors import InvalidSettings
from poster_service.settings import Settings

if TYPE_CHECKING:
    from aiohttp.web import Application

    from poster_service.web.service import Service

logger = logging.getLogger(__name__)

#: M_ARENA_MAX, M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h: one arena, and what is 128 KiB
#: or more goes back at once. The latter two are glibc's own first values, which it else raises.
MALLOC_OPTIONS = {-8: 1, -1: 128 << 10, -3: 128 << 10}


def run_serve(settings: Settings, _: argparse.Namespace, given: Sequence[str]) -> int:
    """Serve HTTP until a signal stops it, under poster-init."""
    return _run(settings, given, only_jobs=False)


def run_work(settings: Settings, _: argparse.Namespace, given: Sequence[str]) -> int:
    """Run jobs until a signal stops it, under poster-init; HTTP only for those who watch it.

    Raises:
        InvalidSettings: There is no Redis to take jobs from, or none may run.
    """
    if settings.jobs_redis is None:
        raise InvalidSettings("a worker takes its jobs from POSTER_JOBS_REDIS, which is not set")
    if not settings.jobs_at_once:
        raise InvalidSettings("POSTER_JOBS_CONCURRENCY=0: must be at least 1 for a worker")
    return _run(settings, given, only_jobs=True)


def _run(settings: Settings, given: Sequence[str], *, only_jobs: bool) -> int:
    logs.flush()
    ensure_init(given, settings.stop_grace_seconds, settings.work_dir)
    logs.take_streams()
    for warning in settings.warnings:  # here, because this process may just have replaced one
        logs.event(logger, logging.WARNING, warning)
    from poster_service.web.app import make_app, make_worker_app

    def report(address: str) -> None:
        freeze_heap()
        if speaks_plainly(settings) and only_jobs:
            words = f"poster-service {__version__} takes jobs; /readyz and /metrics on {address}"
            print(words, flush=True)  # noqa: T201 - the command's own words
        elif speaks_plainly(settings):
            announce(address, guarded=bool(settings.tokens or settings.tokens_file))
        else:
            announce_in_log(address)

    with telemetry.running():
        serve_until_stopped(settings, report, make_worker_app if only_jobs else make_app)
    return 0


def serve_until_stopped(
    settings: Settings, report: Callable[[str], None], make: "Callable[[Service], Application]"
) -> None:
    """Serve HTTP until a signal; everything that was started has ended then.

    Args:
        settings: Of the service.
        report: Called with the service's address once it serves.
        make: Makes the application.
    """
    give_memory_back()
    from poster_service.web.app import serve

    with asyncio.Runner(loop_factory=PauseAwareLoop) as runner:
        runner.run(serve(settings, report, make))


def give_memory_back() -> None:
    """Have the C library return freed memory to the kernel (mallopt(3)); nothing without glibc.

    Pictures of all sizes, made and freed by several threads, otherwise leave it in pieces: over 450
    requests with chaos the service grew from 65 to 72 MiB, and to 68 with glibc's variables that
    mean the same (PSS, one run each). Called before any thread is there, or each would have an
    arena of its own already.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in MALLOC_OPTIONS.items():
            mallopt(option, value)


def freeze_heap() -> None:
    """Exempt all objects of the start from garbage collection, which they would only lengthen.

    Modules, settings and templates live as long as the service. A full collection went through
    100,000 objects once in 40 renders: a tenth of the event loop's CPU for a render, and at a
    stroke, so that all renders waited for it (measured: 1.6 of 15 ms, 60 ms at a time on a busy
    machine).
    """
    gc.collect()
    gc.freeze()


def speaks_plainly(settings: Settings) -> bool:
    """Whether stdout may have plain text; where it has JSON lines, all of them must be JSON."""
    as_text = settings.log_format == "text"
    as_text |= settings.log_format == "auto" and sys.stdout.isatty()
    return settings.log_stream == "stderr" or as_text


def announce_in_log(address: str) -> None:
    """Log the address of the service."""
    logs.event(logger, logging.INFO, f"serving on {address}", version=__version__)


def announce(address: str, *, guarded: bool) -> None:
    """Print the addresses of the pages, and a command to paste; the token is the user's own."""
    token = ' -H "Authorization: Bearer $TOKEN"' if guarded else ""
    print(  # noqa: T201 - the command's own words
        f"poster-service {__version__} on {address}\n"
        f"  {address}/        the studio: type HTML or choose a template, and see the picture\n"
        f"  {address}/docs    the API, to read and to try\n"
        f"  {address}/status  what the service is doing\n"
        f"try: curl -sS --data-binary '<h1>Hello 你好 👋</h1>' -H 'Content-Type: text/html'"
        f"{token} '{address}/render?width=600&height=300' -o poster.png",
        flush=True,
    )
