"""Does not go when asked: ignores TERM, INT, QUIT and HUP; only KILL ends it.

Usage: stubborn.py FILE [stop]. Appends "ready PID"; with `stop` it stops itself then, and ignores
nothing: it dies of TERM as soon as a signal continues it.
"""

import os
import signal
import sys

stops = len(sys.argv) > 2
if not stops:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:  # noqa: PTH123
    file.write(f"ready {os.getpid()}\n")
if stops:
    os.kill(os.getpid(), signal.SIGSTOP)
while True:
    signal.pause()
