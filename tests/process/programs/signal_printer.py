"""Writes a line for every signal it gets, with as many as it got; ends on its last argument's.

Usage: signal_printer.py FILE [END]. END is the number of the signal it ends on, with status 42.
Says "ready PID" once it listens. Real-time signals too; it blocks them all and waits, so that
none can be missed or merged between two instructions of a handler.
"""

import os
import signal
import sys


def say(line):
    """Append one line, whole."""
    with open(sys.argv[1], "a") as file:  # noqa: PTH123  (pathlib costs more than this program)
        file.write(line + "\n")


end = int(sys.argv[2]) if len(sys.argv) > 2 else 0
everything = signal.valid_signals()
signal.pthread_sigmask(signal.SIG_BLOCK, everything)
say(f"ready {os.getpid()}")
while True:
    number = int(signal.sigwait(everything))
    say(f"got {number}")
    if number == end:
        sys.exit(42)
