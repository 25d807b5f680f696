"""Makes N orphans, in a stream or in bursts, and ends or stays.

Usage: orphan_maker.py N [FILE [BURST]]. Each orphan exits with 3. In a stream they are made by
the twenty, by a parent that goes at once and waits for none. With BURST so many are held alive by
a pipe first, so that they die at the same instant. Writes "made N" into FILE and waits for TERM;
without FILE it ends with 0.
"""

import os
import signal
import sys

LITTER = 20


def litter(size):
    """A parent that goes without waiting for its `size` children."""
    pid = os.fork()
    if pid == 0:
        for _ in range(size):
            if os.fork() == 0:
                os._exit(3)
        os._exit(0)
    os.waitpid(pid, 0)


def burst(size):
    """Let `size` orphans die at once."""
    reader, writer = os.pipe()
    for _ in range(size):
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            if os.fork() == 0:
                os.read(reader, 1)
                os._exit(3)
            os._exit(0)
        os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)


total = int(sys.argv[1])
size = int(sys.argv[3]) if len(sys.argv) > 3 else 0
stays = len(sys.argv) > 2
if stays:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
for _ in range(total // size if size else 0):
    burst(size)
for made in range(0, 0 if size else total, LITTER):
    litter(min(LITTER, total - made))
if stays:
    with open(sys.argv[2], "w") as file:  # noqa: PTH123
        file.write(f"made {total}\n")
    signal.sigwait([signal.SIGTERM])
