"""The folder of one life of the service, and the sweep of those that earlier lives left.

Each life has a number (its *instance*, part of every tag), a folder `<number>` that holds its lease
folders, and beside it `<number>.lock`, which it keeps locked (flock(2)) as long as it lives. The
kernel lets go of the lock however the service dies, so a lock that can be had is the proof that its
owner is gone. Whoever sweeps holds the lock of what it sweeps, so two sweepers cannot meet.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import psutil

from poster_service.process import census

_INSTANCE = re.compile(r"[1-9a-f][0-9a-f]{0,5}\Z")


@dataclass(frozen=True)
class Swept:
    """What was left of one earlier life.

    Attributes:
        instance: Its number.
        processes: Processes that were still alive, ended now.
        folders: Lease folders removed.
    """

    instance: int
    processes: int
    folders: int


class Home:
    """The folder of this life; `open` makes it, `close` gives it up."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path, *, shared: bool = False) -> "Home":
        """Lock and make the folder, private to our user, and its parent where that is missing.

        Args:
            path: The folder.
            shared: Whether another user's programs have their folders in it: then others may pass
                through it and its parent to names that they know, and still neither list nor write.

        Raises:
            OSError: It cannot be made, or the parent belongs to another user.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_uid not in (os.getuid(), 0):  # root's /tmp is as good as ours
            raise PermissionError(1, "belongs to another user", str(path.parent))
        lock = try_lock(lock_of(path))
        if lock is None:
            raise FileExistsError(17, "is another instance's", str(path))
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        if shared:
            _let_through(path.parent)
            _let_through(path)
        return cls(path, lock)

    def close(self) -> None:
        """Remove the folder, which must be empty by now, and let go of the lock."""
        with contextlib.suppress(OSError):
            self.path.rmdir()
            lock_of(self.path).unlink()
        os.close(self._lock)


def _let_through(folder: Path) -> None:
    """Let others pass through a folder of ours; one of somebody else's stays as it is."""
    found = folder.stat()
    if found.st_uid == os.getuid():
        folder.chmod(stat.S_IMODE(found.st_mode) | 0o011)


def lock_of(folder: Path) -> Path:
    """The lock file of an instance's folder."""
    return folder.with_name(folder.name + ".lock")


def try_lock(file: Path) -> int | None:
    """Lock a file, making it if need be; the descriptor that holds it, None when another does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last owner may have unlinked it between our open and our lock.
        if os.fstat(descriptor).st_ino == file.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def instances(work_dir: Path) -> list[int]:
    """The numbers of all lives that have something in a work folder; nothing else there is ours."""
    if not work_dir.is_dir():
        return []
    names = {entry.name.removesuffix(".lock") for entry in work_dir.iterdir()}
    return sorted(int(name, 16) for name in names if _INSTANCE.match(name))


async def sweep(work_dir: Path) -> list[Swept]:
    """End and remove what earlier lives left; those that are alive are not touched."""
    await asyncio.to_thread(_remove_ledgers, work_dir)
    swept = []
    for number in await asyncio.to_thread(instances, work_dir):
        found = await _sweep_one(work_dir / f"{number:x}", number)
        if found is not None:
            swept.append(found)
    return swept


def _remove_ledgers(work_dir: Path) -> None:
    """Remove the ledgers of inits that were killed before they could (see `cli.ledger_options`)."""
    for file in work_dir.glob("init-*.json"):
        pid = file.stem.removeprefix("init-")
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            file.unlink(missing_ok=True)


async def _sweep_one(folder: Path, instance: int) -> Swept | None:
    lock = await asyncio.to_thread(try_lock, lock_of(folder))
    if lock is None:
        return None
    try:
        struck = await census.end_all(lambda tag: census.instance_of(tag) == instance)
        folders = await asyncio.to_thread(_remove, folder)
    finally:
        os.close(lock)
    return Swept(instance, struck.killed, folders)


def _remove(folder: Path) -> int:
    """Remove a dead life's folder and lock; returns how many lease folders were in it."""
    folders = len(list(folder.iterdir())) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    lock_of(folder).unlink(missing_ok=True)
    return folders
