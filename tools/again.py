"""Runs what failed in `make test` once more, alone, where it is at most three tests.

A test of thousands that fails once on a busy machine must not keep a change from landing, and it
must not go unseen: what passes here is named, and each name is a fault to mend, of the test or of
the service. More failures than that, a run that was cut off, and a fault of lint, types or set-up
stay failures.

    python -m tools.again      in the folder where `make test` ran
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: More failures than these are no accident.
MOST = 3

_CACHE = Path(".pytest_cache/v")
#: The tests that failed, by pytest itself.
FAILED = _CACHE / "cache/lastfailed"
#: How the run ended: 1 where it came to its end and tests failed (tests/conftest.py writes it).
STATUS = _CACHE / "poster/exitstatus"


def what_failed() -> list[str]:
    """The tests to run again.

    Raises:
        ValueError: what failed must stay a failure; the text says why.
    """
    try:
        status, failed = json.loads(STATUS.read_text()), json.loads(FAILED.read_text())
    except FileNotFoundError:
        raise ValueError("no test failed, so what failed is not a test") from None
    if status != pytest.ExitCode.TESTS_FAILED:
        raise ValueError(f"the run did not come to its end (pytest's exit status {status})")
    if len(failed) > MOST:
        raise ValueError(f"{len(failed)} tests failed; at most {MOST} are run again")
    return list(failed)


def main() -> int:
    """The exit status: 0 if all that failed passed now, 1 otherwise."""
    try:
        names = what_failed()
    except ValueError as reason:
        sys.stderr.write(f"again: {reason}\n")
        return 1
    init = Path(sys.executable).parent / "poster-init"
    done = subprocess.run([init, "--", sys.executable, "-m", "pytest", *names], check=False)
    outcome = (
        "failed once and passed alone, to be mended:" if done.returncode == 0 else "failed twice:"
    )
    sys.stderr.write("\n  ".join([f"again: {outcome}", *names]) + "\n")
    return int(done.returncode != 0)


if __name__ == "__main__":
    raise SystemExit(main())
