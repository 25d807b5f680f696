"""Files of a template's folder: which there are, whether one has changed, and their digest.

A change is found by `stat` alone, so that looking costs some microseconds a file. Times of files
are coarse (a kernel tick, 1 to 10 ms), so a file that changed a moment ago may change once more
without a trace: a snapshot of it is not settled, and is to be taken again.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What another file, or other content, has otherwise; None where there is no file.
Stamp = tuple[int, int, int, int] | None

#: A change as recent as this may be followed by another with the same times.
SETTLED_NS = 50_000_000


def stamp_of(file: str | Path) -> Stamp:
    """The stamp of a file; symbolic links are followed, as Kubernetes replaces them."""
    try:
        status = os.stat(file)  # noqa: PTH116 - half the time of a Path's
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamps_of(folder: str | Path) -> dict[str, Stamp]:
    """The stamp of every file below a folder, by its path below it; empty where there is none."""
    found: dict[str, Stamp] = {}
    todo = [""]
    while todo:
        at = todo.pop()
        try:
            with os.scandir(os.path.join(folder, at)) as entries:  # noqa: PTH118 - as above
                for entry in entries:
                    name = at + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(name + "/")
                    elif entry.is_file():  # a pipe would never end
                        found[name] = stamp_of(entry.path)
        except OSError:
            continue  # removed meanwhile, or closed to us: no page would get its files either
    return found


def is_settled(stamps: Mapping[str, Stamp], now_ns: int | None = None) -> bool:
    """Whether no file changed so lately that it may have changed since without a trace.

    A time to come (another machine's clock) counts as settled: it would never be.
    """
    now = time.time_ns() if now_ns is None else now_ns
    return not any(0 <= now - stamp[3] < SETTLED_NS for stamp in stamps.values() if stamp)


@dataclass(frozen=True)
class Snapshot:
    """The files of one folder at one moment.

    Attributes:
        stamps: By path below the folder, taken before the files were read.
        digest: Of all names and contents, in hexadecimal: equal on every machine.
    """

    stamps: Mapping[str, Stamp]
    digest: str

    def is_current(self, name: str, file: Path) -> bool:
        """Whether a file is still the one that the digest is of; what is no file always is."""
        return (name not in self.stamps and not file.is_file()) or (
            self.stamps.get(name) == stamp_of(file)
        )


def _blake2b() -> Any:
    return hashlib.blake2b(digest_size=32)


def snapshot(folder: Path, stamps: Mapping[str, Stamp] | None = None) -> Snapshot:
    """Read every file of a folder, whose stamps may have been taken already."""
    stamps = stamps_of(folder) if stamps is None else stamps
    digest = _blake2b()
    for name in sorted(stamps):
        try:
            with (folder / name).open("rb") as file:
                content = hashlib.file_digest(file, _blake2b).digest()
        except (OSError, ValueError):  # a page would not get it either
            content = b""
        digest.update(f"{name}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return Snapshot(stamps, digest.hexdigest())
