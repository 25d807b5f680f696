"""Starts N children that end at once and never waits for them: N zombies until it goes itself.

Usage: zombie_maker.py N FILE. Writes "ready" into FILE once all are zombies, and stays.
"""

import os
import signal
import sys

for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # seen dead, not reaped
with open(sys.argv[2], "w") as file:  # noqa: PTH123
    file.write(f"ready {os.getpid()}\n")
signal.pause()
