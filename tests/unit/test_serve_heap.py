"""What a service has from its start is no work for the garbage collector."""

import subprocess
import sys

SCRIPT = """
import gc
from poster_service.commands import serve
import poster_service.web.app
before = len(gc.get_objects())
serve.freeze_heap()
print(before, len(gc.get_objects()), gc.isenabled())
"""


def test_objects_of_the_start_are_not_collected_again() -> None:
    """In a process of its own, since it counts for a whole process. New objects still are."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True
    )
    before, after, is_enabled = done.stdout.split()
    assert int(before) > 20_000
    assert int(after) < 1_000
    assert is_enabled == "True"
