"""A service in small: starts one group, tells of it line by line, and leaves when stdin ends.

Usage: group_serve.py HOW FOLDER TAG LIFE -- COMMAND... where HOW tells how the shim comes to be,
`forked` or `by-path`, and LIFE is the descriptor that the command gets as 7. Prints
`{"service": PID, "server": PID, "shim": PID}`, later the ending as JSON.
"""

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path

from poster_service.process.forkserver import ForkServer
from poster_service.process.spawn import Command, Group


def send(what):
    """One line to the process that started us."""
    os.write(1, json.dumps(what).encode() + b"\n")


async def main():
    """Start, tell, wait."""
    how, folder, tag, life, _, *command = sys.argv[1:]
    server = ForkServer() if how == "forked" else None
    if server is not None:
        server.start()
        while not server.is_up:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
    group = Group.start(
        Command(
            argv=command,
            folder=Path(folder),
            tag=int(tag),
            environment={},
            descriptors=((7, int(life)),),
        ),
        server,
    )
    send(
        {
            "service": os.getpid(),
            "server": server.pid if server else None,
            "shim": group.shim_pid,
        }
    )
    ending = await group.wait_gone()
    send(dataclasses.asdict(ending))
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
