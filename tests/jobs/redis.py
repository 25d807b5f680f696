"""The Redis of jobs for tests: as their operators run it, with an append-only file."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.web.redis_server import Server

#: No write is forgotten when it is killed.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@contextmanager
def redis_running(*options: str) -> Iterator[Server]:
    """A Redis of its own, with options of its command line."""
    folder = tempfile.mkdtemp()
    server = Server(Path(folder), *options)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
