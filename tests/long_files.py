"""The files of tests that take longest, which begin first: the suite does not end with one of them.

The workers of pytest-xdist take the files in the order in which their tests were collected.
"""

#: Longest first, by the clock. The first builds the image, which the others of `tests/image` find.
LONG_FILES = (
    "tests/image/test_load.py",
    "tests/loadtest/test_self.py",
    "tests/docs/test_commands.py",
    "tests/jobs/test_workers.py",
    "tests/corpus/test_corpus.py",
    "tests/hostile/test_reach.py",
    "tests/hostile/test_limits.py",
    "tests/image/test_incident.py",
    "tests/image/test_systemd.py",
    "tests/image/test_restrictions.py",
    "tests/image/test_life.py",
    "tests/web/test_hardships.py",
    "tests/hostile/test_url.py",
    "tests/web/test_missing.py",
    "tests/chrome/test_pool_machine.py",
    "tests/hostile/test_shares.py",
    "tests/web/test_waits.py",
    "tests/web/test_fonts.py",
    "tests/web/test_capture.py",
    "tests/web/test_endings.py",
    "tests/hostile/test_plain_http.py",
    "tests/web/test_cache.py",
    "tests/chrome/test_frames.py",
    "tests/web/test_connections.py",
)


def place_of(file: str) -> int:
    """Where a file comes: the long ones first, all others after them.

    Args:
        file: Its path from the top of the project.
    """
    return LONG_FILES.index(file) if file in LONG_FILES else len(LONG_FILES)
