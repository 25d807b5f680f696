"""Needs a while to clean up after TERM, and says how far it came.

Usage: slow_cleaner.py FILE SECONDS. Appends "ready PID", on TERM "cleaning", and "clean" after so
many seconds; then leaves with 0.
"""

import os
import signal
import sys
import time


def say(line):
    """Append one line, whole."""
    with open(sys.argv[1], "a") as file:  # noqa: PTH123
        file.write(line + "\n")


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
say(f"ready {os.getpid()}")
signal.sigwait([signal.SIGTERM])
say("cleaning")
time.sleep(float(sys.argv[2]))
say("clean")
