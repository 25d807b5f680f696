"""A service in small: starts one group, tells of it line by line, and leaves when stdin ends.

Usage: group_serve.py FOLDER TAG LIFE -- COMMAND... where LIFE is the descriptor that the command
gets as 7. Prints `{"service": PID, "shim": PID}`, later the ending as JSON.
"""

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path

from poster_service.process.spawn import Command, Group


def tell(what):
    """One line to whoever started us."""
    os.write(1, json.dumps(what).encode() + b"\n")


async def main():
    """Start, tell, wait."""
    folder, tag, life, _, *command = sys.argv[1:]
    group = Group.start(
        Command(
            argv=command,
            folder=Path(folder),
            tag=int(tag),
            environment={},
            descriptors=((7, int(life)),),
        )
    )
    tell({"service": os.getpid(), "shim": group.shim_pid})
    ending = await group.wait_gone()
    tell(dataclasses.asdict(ending))
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
