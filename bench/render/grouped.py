"""Runs a measurement in a control group of its own, which counts what its processes took."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bench.render import accounts
from bench.render.service import Refused
from poster_service import init

ROOT = Path(__file__).parents[2]
#: Characters of the end of its errors that a refusal shows.
MAX_STDERR = 800


async def run_in_group(module: str, *arguments: str) -> Any:
    """What a module prints as JSON, run below init.

    Args:
        module: Its name; its first argument is the file with the group's CPU time.
        arguments: Those after it.

    Raises:
        Refused: No control group can be made here, or the module failed.
    """
    group = accounts.make_group()
    if group is None:
        raise Refused("needs a control group of its own: run it as root or in a delegated group")
    command = (
        *group.enter, sys.executable, "-I", "-S", "-E", init.__file__, "--",
        sys.executable, "-m", module, str(group.usage), *arguments,
    )  # fmt: skip
    try:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        printed, errors = await process.communicate()
    finally:
        group.close()
    if process.returncode:
        raise Refused(errors.decode(errors="replace")[-MAX_STDERR:])
    return json.loads(printed)
