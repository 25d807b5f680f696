"""How Chrome's program lies in the kernel's page cache, which every start of a Chrome pays for.

Every process of every Chrome maps the same 200 MB file and takes thousands of page faults in it.
Linux keeps what it has read of a file in folios, and a fault maps the pages around it a folio at a
time. What a package manager wrote, or what came in by single faults, lies there in small folios, of
4 KiB mostly; what was read from one end to the other in large ones, of 256 KiB and more (xfs since
Linux 5.18, ext4 since 6.16), and is mapped and unmapped in fewer steps. That saves 7 to 10 % of the
CPU of a Chrome's whole life (measured: `python -m bench.floor`).
"""

import contextlib
import os
import time
from pathlib import Path

#: Read at a time, in bytes: larger than readahead, so that it goes to its limits.
PIECE = 1 << 20
#: Dropped at a time, in bytes: what is not cached at all for a moment.
WINDOW = 32 << 20


def refill(program: Path, seconds: float) -> int:
    """Have the kernel drop a program from its page cache and read it in again, end to end.

    The file does not change, and no privilege is needed (posix_fadvise(2)). Pages that a running
    process has mapped stay as they are. Blocks, without the interpreter's lock.

    Args:
        program: The file; one that cannot be read is left as it is.
        seconds: After so many the rest is left as it is, but for the window under way.

    Returns:
        How much was read, in bytes.
    """
    deadline, done = time.monotonic() + seconds, 0
    # A file system or a seccomp profile may let nobody do this; nothing depends on it.
    with contextlib.suppress(OSError), program.open("rb", buffering=0) as opened:
        file = opened.fileno()
        size = os.fstat(file).st_size
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while done < size:
            if done % WINDOW == 0:  # only here: what was dropped is read again in any case
                if time.monotonic() >= deadline:
                    break
                os.posix_fadvise(file, done, WINDOW, os.POSIX_FADV_DONTNEED)
            read = len(os.pread(file, PIECE, done))
            if not read:
                break
            done += read
    return done
