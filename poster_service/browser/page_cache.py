"""Reads Chrome's program into the kernel's page cache so that every Chrome starts for less CPU.

Every process of every Chrome maps the same 200 MB file and takes thousands of page faults in it.
Linux holds file contents in folios, and a fault maps the pages around it a folio at a time. A file
that a package manager wrote, or that single faults read, is held in small folios, mostly of 4 KiB;
one that was read from end to end is held in large ones, of 256 KiB and more (xfs since Linux 5.18,
ext4 since 6.16), and is mapped and unmapped in fewer steps. That saves 7 to 10 % of the
CPU of a Chrome's whole life (measured: `python -m bench.floor`).
"""

import contextlib
import os
import time
from pathlib import Path

#: Read at a time, in bytes: larger than readahead, so that readahead is at its maximum.
PIECE = 1 << 20
#: Dropped from the cache at a time, in bytes; for a moment that much is not cached.
WINDOW = 32 << 20


def refill(program: Path, seconds: float) -> int:
    """Have the kernel drop a program from its page cache and read it in again, end to end.

    The file does not change, and no privilege is needed (posix_fadvise(2)). Pages that a running
    process has mapped stay as they are. Blocks; other threads run meanwhile (no GIL held).

    Args:
        program: The file; if it cannot be read, nothing happens.
        seconds: Stops after so many seconds, once the current window is read.

    Returns:
        Bytes read.
    """
    deadline, done = time.monotonic() + seconds, 0
    # A file system or a seccomp profile may forbid this; nothing depends on it.
    with contextlib.suppress(OSError), program.open("rb", buffering=0) as opened:
        file = opened.fileno()
        size = os.fstat(file).st_size
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while done < size:
            if done % WINDOW == 0:  # only here, so that what was dropped is always read again
                if time.monotonic() >= deadline:
                    break
                os.posix_fadvise(file, done, WINDOW, os.POSIX_FADV_DONTNEED)
            read = len(os.pread(file, PIECE, done))
            if not read:
                break
            done += read
    return done
