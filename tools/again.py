"""Runs what failed in a run of the tests once more, alone, where it is a handful of tests.

A test of thousands that fails once on a busy machine must not keep a change from landing, and it
must not go unseen: what passes here is named, and each name is a fault to mend, of the test or of
the service. More failures than that, a run that was cut off, and a fault of lint, types or set-up
stay failures.

    python -m tools.again [CACHE_DIR]   in the folder where the tests ran; what pytest keeps of the
                                        run is in CACHE_DIR, by default .pytest_cache
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: More failures than these, of 7,900 tests, are no accident.
MOST = 6

#: The tests that failed, by pytest itself; below the folder of its cache, like the next.
FAILED = "v/cache/lastfailed"
#: How the run ended: 1 where it came to its end and tests failed (tests/conftest.py writes it).
STATUS = "v/poster/exitstatus"


def what_failed(cache: Path) -> list[str]:
    """The tests to run again, by what pytest keeps of the run in the folder `cache`.

    Raises:
        ValueError: what failed must stay a failure; the text says why.
    """
    try:
        status = json.loads((cache / STATUS).read_text())
        failed = json.loads((cache / FAILED).read_text())
    except FileNotFoundError:
        raise ValueError("no test failed, so what failed is not a test") from None
    if status != pytest.ExitCode.TESTS_FAILED:
        raise ValueError(f"the run did not come to its end (pytest's exit status {status})")
    if len(failed) > MOST:
        raise ValueError(f"{len(failed)} tests failed; at most {MOST} are run again")
    return list(failed)


def main() -> int:
    """The exit status: 0 if all that failed passed now, 1 otherwise."""
    cache = Path(sys.argv[1] if sys.argv[1:] else ".pytest_cache")
    try:
        names = what_failed(cache)
    except ValueError as reason:
        sys.stderr.write(f"again: {reason}\n")
        return 1
    init = Path(sys.executable).parent / "poster-init"
    keep = ["-o", f"cache_dir={cache}"]
    done = subprocess.run([init, "--", sys.executable, "-m", "pytest", *keep, *names], check=False)
    outcome = (
        "failed once and passed alone, to be mended:" if done.returncode == 0 else "failed twice:"
    )
    sys.stderr.write("\n  ".join([f"again: {outcome}", *names]) + "\n")
    return int(done.returncode != 0)


if __name__ == "__main__":
    raise SystemExit(main())
