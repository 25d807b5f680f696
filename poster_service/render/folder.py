"""The files of a template's folder: their names, whether one has changed, and their digest.

A change is detected by `stat` alone, so that a check takes a few microseconds per file. File times
are coarse (a kernel tick, 1 to 10 ms), so a file that changed a moment ago may change again with
the same times: a snapshot of it is not settled, and must be taken again.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Differs for another file or other content: inode, size, mtime, ctime; None where there is no
#: file.
Stamp = tuple[int, int, int, int] | None

#: After a change as recent as this, another one may leave the same times; in nanoseconds.
SETTLED_NS = 50_000_000


def stamp_of(file: str | Path) -> Stamp:
    """The stamp of a file; symbolic links are followed, as Kubernetes replaces them."""
    try:
        status = os.stat(file)  # noqa: PTH116 - half the time of a Path's
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamps_of(folder: str | Path) -> dict[str, Stamp]:
    """The stamp of every file below a folder, by its relative path; empty without a folder."""
    found: dict[str, Stamp] = {}
    pending = [""]
    while pending:
        at = pending.pop()
        try:
            with os.scandir(os.path.join(folder, at)) as entries:  # noqa: PTH118 - as above
                for entry in entries:
                    name = at + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name + "/")
                    elif entry.is_file():  # reading a FIFO would never end
                        found[name] = stamp_of(entry.path)
        except OSError:
            continue  # removed meanwhile, or unreadable: no page would get its files either
    return found


def is_settled(
    stamps: Mapping[str, Stamp], now_ns: int | None = None, end_ns: int | None = None
) -> bool:
    """Whether no file changed so recently that another change might have the same times.

    A time in the future (another machine's clock) counts as settled, or it would not be for long.

    Args:
        stamps: Of the files.
        now_ns: When reading them began; the present by default.
        end_ns: When it ended: a file that changed meanwhile may have been read before that.
    """
    now = time.time_ns() if now_ns is None else now_ns
    end = now if end_ns is None else end_ns
    return not any(now - SETTLED_NS < stamp[3] <= end for stamp in stamps.values() if stamp)


@dataclass(frozen=True)
class Snapshot:
    """The files of one folder at one moment.

    Attributes:
        stamps: The stamps by relative path, taken before the files were read.
        digest: Digest of all names and contents, in hexadecimal; the same on every machine.
    """

    stamps: Mapping[str, Stamp]
    digest: str


def _blake2b() -> Any:
    return hashlib.blake2b(digest_size=32)


def snapshot(folder: Path, stamps: Mapping[str, Stamp] | None = None) -> Snapshot:
    """Read every file of a folder; `stamps` are those of `stamps_of`, if already taken."""
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
