"""Puts poster-init in front of the commands that serve.

Imported before anything else of a command, by a process that init replaces at once: it must import
little, and reads only the settings that are options of init.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from poster_service import early_settings
from poster_service.bytecode import compiled

#: The commands that begin with no more than init and themselves.
COMMANDS = ("serve", "work")
#: How long ending every Chrome may take after the renders are done, on a loaded machine.
CLEAN_UP_SECONDS = 2.0
#: The same after a second signal, before init kills the service, whose folder is left then. Init's
#: own default of 2 s is short for a loaded machine.
KILL_GRACE_SECONDS = 6.0
INIT = Path(__file__).parents[1] / "init.py"


def begin_under_init(given: Sequence[str]) -> None:
    """Replace this process by poster-init if the command is one that serves.

    All faults of the command line and the settings are found by the command, under init.

    Args:
        given: The command line.
    """
    if given and given[0] in COMMANDS:
        grace = early_settings.stop_grace_seconds(given, os.environ)
        ensure_init(given, grace, early_settings.work_dir(given, os.environ))


def ensure_init(given: Sequence[str], stop_grace_seconds: float, work_dir: Path) -> None:
    """Replace this process by poster-init, which runs this command, unless it runs already.

    Init waits a little longer for the service than the service waits for its renders.
    POSTER_TEST_NO_INIT=1 leaves it out, for the tests that show what it prevents. What was logged
    must be flushed before.

    Args:
        given: The command line.
        stop_grace_seconds: How long renders may take to finish after a signal.
        work_dir: Gets init's ledger.
    """
    if init_in_front() or os.environ.get("POSTER_TEST_NO_INIT") == "1":
        return
    grace = stop_grace_seconds + CLEAN_UP_SECONDS
    init = [sys.executable, "-I", "-S", "-E", compiled(INIT), f"--grace={grace:g}"]
    init += [f"--kill-grace={KILL_GRACE_SECONDS:g}"]
    init += ledger_options(work_dir)
    # -P: what lies in the folder we happen to be called from must not be imported as ours.
    command = [sys.executable, "-P", "-m", "poster_service", *given]
    os.execv(sys.executable, [*init, "--", *command])  # noqa: S606 - replaces us, no shell


def ledger_options(work_dir: Path) -> list[str]:
    """Have init write its ledger to the work folder; none where that folder is not writable.

    A fault of the folder is reported later, by the part that cannot do without it.
    """
    try:
        work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = work_dir.stat().st_uid == os.getuid() and os.access(work_dir, os.W_OK)
    except (OSError, ValueError):  # a path with a null byte in it, also
        usable = False
    # The pid stays ours: init takes the place of this very process.
    return [f"--status-file={work_dir}/init-{os.getpid()}.json", "-u"] if usable else []


def init_in_front() -> bool:
    """Whether poster-init is an ancestor of this process (it sets POSTER_INIT_PID)."""
    named = os.environ.get("POSTER_INIT_PID", "")
    if not named.isdigit():
        return False
    import psutil  # which most processes that ask this do not need

    return int(named) in {one.pid for one in psutil.Process().parents()}
