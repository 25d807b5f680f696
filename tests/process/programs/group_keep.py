"""Starts a command and stays until its own stdin ends, also when the command has ended.

Usage: group_keep.py [--adopt] -- COMMAND... With --adopt it is a subreaper that waits for no child
before the end of stdin: the bad PID 1 of the incident. Then it kills and reaps all that it has.
"""

import ctypes
import os
import signal
import sys

cut = sys.argv.index("--")
if "--adopt" in sys.argv[:cut]:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
command = sys.argv[cut + 1 :]
if os.fork() == 0:
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.execv(command[0], command)
os.closerange(3, 1024)  # what is the command's must not seem to be held by it still
while os.read(0, 1):
    continue
while True:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
        for pid in file.read().split():
            os.kill(int(pid), signal.SIGKILL)
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        break
