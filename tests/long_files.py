"""How the workers of pytest-xdist share the tests: file by file, and the longest begin first.

They take the files in the order in which their tests were collected, so the suite does not end with
a long one. Some files stay together in one worker, for what they share takes long to start.
"""

import zlib

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

#: Longest first, by the clock, with those that wait among those that compute. The first builds the
#: image, which the others of `tests/image` find: they come when it has been built.
LONG_FILES = (
    "tests/image/test_load.py",
    "tests/loadtest/test_self.py",
    "tests/jobs/test_chaos.py",
    "tests/jobs/test_workers.py",
    "tests/hostile/test_limits.py",
    "tests/web/test_waits.py",
    "tests/web/test_warm_pages.py",
    "tests/hostile/test_reach.py",
    "tests/corpus/test_corpus.py",
    "tests/docs/test_commands.py",
    "tests/image/test_systemd.py",
    "tests/web/test_hardships.py",
    "tests/web/test_serve.py",
    "tests/hostile",
    "tests/web/test_cache.py",
    "tests/image/test_restrictions.py",
    "tests/chrome/test_pool_machine.py",
    "tests/web/test_endings.py",
    "tests/web/test_contents.py",
    "tests/jobs/test_batch_command.py",
    "tests/image/test_life.py",
    "tests/web/test_missing.py",
    "tests/jobs/test_batches.py",
    "tests/web/test_capture.py",
    "tests/jobs/test_stored.py",
    "tests/web/test_injected.py",
    "tests/hostile/test_url.py",
    "tests/web/test_fonts.py",
    "tests/web/test_connections.py",
    "tests/jobs/test_storage.py",
    "tests/web/test_outputs.py",
    "tests/jobs/test_webhook_delivery.py",
    "tests/hostile/test_shares.py",
)

#: Its files run one after the other, but for the long ones: they share the hostile worlds.
TOGETHER = "tests/hostile"


def unit_of(file: str) -> str:
    """What a file is run with: a folder, or only itself.

    Args:
        file: Its path from the top of the project.
    """
    return TOGETHER if file.startswith(TOGETHER) and file not in LONG_FILES else file


def place_of(file: str) -> tuple[int, int]:
    """Where a file comes: the long ones first, all others after them in no order.

    Those of a folder would compute all together, or wait all together while both cores are idle.

    Args:
        file: Its path from the top of the project.
    """
    unit = unit_of(file)
    if unit in LONG_FILES:
        return LONG_FILES.index(unit), 0
    return len(LONG_FILES), zlib.crc32(unit.encode())


class FilesTogether(LoadFileScheduling):  # type: ignore[misc]
    """Each worker takes a file after the other, or the files that stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid.partition("::")[0])
