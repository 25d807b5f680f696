"""What several commands need: files and JSON that they read, and an end that leaves nothing."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from poster_service.clock import PauseAwareLoop
from poster_service.errors import OperatorError
from poster_service.similar import nearest

T = TypeVar("T")


def parse_data(text: str) -> Any:
    """Template data from JSON.

    Raises:
        OperatorError: It is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise OperatorError(f"--data is not JSON: {error}") from error


def read_text(name: str) -> str:
    """A file's text, or stdin's.

    Raises:
        OperatorError: It cannot be read.
    """
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise OperatorError(f"cannot read {name}: {error}") from error
    except OSError as error:
        hint = nearest_path(Path(name))
        raise OperatorError(f"cannot read {name}: {error.strerror}{hint}") from error


def nearest_path(missing: Path) -> str:
    """The end of a message about a missing file or folder: one beside it of a similar name."""
    if missing.exists() or not missing.parent.is_dir():
        return ""
    near = nearest(missing.name, sorted(one.name for one in missing.parent.iterdir())[:MOST_FILES])
    return f"; did you mean {missing.parent / near}?" if near else ""


#: Files of a folder that are compared with a missing one.
MOST_FILES = 2_000


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a command that starts Chromes; a signal ends it after they and their folder are gone.

    Raises:
        SystemExit: With 128 and the number of the signal.
    """
    came: list[int] = []

    async def run() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int) -> None:
            if not came and task is not None:
                task.cancel()
            came.append(number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            loop.add_signal_handler(number, stop, number)
        return await work

    try:
        with asyncio.Runner(loop_factory=PauseAwareLoop) as runner:
            return runner.run(run())
    except asyncio.CancelledError:
        sys.exit(128 + came[0] if came else 1)
