"""The folder of one run of the service, and the sweep that removes those of previous runs.

Each run is an *instance* with a number that is part of every tag, a folder `<number>` that holds
its lease folders, and beside it a lock file `<number>.lock`. Three locks show that an instance is
alive, and the kernel releases each of them however the service dies:

- a lock (flock(2)) on the folder itself, visible to all that share the file system;
- a lock on the lock file, which remains when the folder is removed;
- an abstract socket (unix(7)) named after the instance, which no `rm` can remove, visible in the
  same network namespace.

A sweep takes all three before it touches anything, and holds them meanwhile, so that two sweeps
cannot meet. If it cannot take one of them, for any reason, it leaves the instance alone.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import psutil

from poster_service.process import census
from poster_service.process.shim import remove_tree

_INSTANCE = re.compile(r"[1-9a-f][0-9a-f]{0,5}\Z")


@dataclass(frozen=True)
class Swept:
    """What a sweep found of one previous instance.

    Attributes:
        instance: Its number.
        processes: Processes that were still alive and were killed.
        folders: Lease folders removed.
        leftovers: Files and folders that could not be removed; a later sweep tries again.
    """

    instance: int
    processes: int
    folders: int
    leftovers: int = 0


class InstanceDir:
    """The folder of this instance; `open` creates and locks it, `close` removes it.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, *, shared: bool) -> None:
        self.path = path
        self._shared = shared
        self._socket: socket.socket | None = None
        self._folder = -1
        self._lock = -1

    @classmethod
    def open(cls, path: Path, *, shared: bool = False) -> "InstanceDir":
        """Lock and create the folder, private to our user, and its parent where that is missing.

        Args:
            path: The folder.
            shared: Whether another user's programs have their folders in it: then others may pass
                through it and its parent to names that they know, but neither list nor write.

        Raises:
            OSError: It cannot be created, or the parent belongs to another user.
        """
        directory = cls(path, shared=shared)
        try:
            directory._socket = claim(int(path.name, 16))
            directory._create()
        except BaseException:
            directory._release()
            raise
        return directory

    def is_there(self) -> bool:
        """Whether the folder and its lock file are still ours and in place. Two system calls."""
        return _is_at(self._folder, self.path) and _is_at(self._lock, lock_of(self.path))

    def recreate(self) -> None:
        """Create the folder and its lock file again where another process has removed them.

        Raises:
            OSError: As `open`; it may be tried again.
        """
        self._create()

    def close(self) -> None:
        """Remove the folder, with what could not be removed before, and release its locks."""
        with contextlib.suppress(OSError):
            if _is_at(self._folder, self.path) and not _rmdir(self.path):
                remove_tree(str(self.path))
                _rmdir(self.path)
            if not os.path.lexists(self.path) and _is_at(self._lock, lock_of(self.path)):
                lock_of(self.path).unlink()
        self._release()

    def _create(self) -> None:
        path = self.path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_uid not in (os.getuid(), 0):  # root's /tmp is as safe as our own
            raise PermissionError(1, "belongs to another user", str(path.parent))
        if not _is_at(self._lock, lock_of(path)):
            self._lock = _replaced(self._lock, try_lock(lock_of(path)), path)
        if not _is_at(self._folder, path):
            # Not a live instance's, since we hold its lock; left by a crash in here.
            remove_tree(str(path))
            _rmdir(path)
            path.mkdir(mode=0o700)
            self._folder = _replaced(self._folder, try_lock_folder(path), path)
        if self._shared:
            _let_through(path.parent)
            _let_through(path)

    def _release(self) -> None:
        for descriptor in (self._folder, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._folder = self._lock = -1
        if self._socket is not None:
            self._socket.close()


def _replaced(old: int, new: int | None, path: Path) -> int:
    if new is None:
        raise FileExistsError(17, "belongs to another instance", str(path))
    if old >= 0:
        os.close(old)
    return new


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a path still names this open file."""
    if descriptor < 0:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def claim(instance: int) -> socket.socket:
    """Bind the socket that shows in this network namespace that an instance is alive or swept.

    Raises:
        FileExistsError: Another process has it.
    """
    # The uid is part of it, or a container's root and an ordinary user would be one instance.
    name = f"\0poster-service/{os.geteuid()}/{instance:x}"
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(name)
    except OSError as error:
        lock.close()
        raise FileExistsError(17, "belongs to another instance", f"{instance:x}") from error
    return lock


def _let_through(folder: Path) -> None:
    """Let other users pass through a folder of ours; another user's folder stays as it is."""
    found = folder.stat()
    if found.st_uid == os.getuid():
        folder.chmod(stat.S_IMODE(found.st_mode) | 0o011)


def lock_of(folder: Path) -> Path:
    """The lock file of an instance's folder."""
    return folder.with_name(folder.name + ".lock")


def try_lock(file: Path) -> int | None:
    """Lock a file, which is created if missing; returns its descriptor, None if it is locked."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last owner may have unlinked it between our open and our lock.
        if _is_at(descriptor, file):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def instances(work_dir: Path) -> list[int]:
    """The numbers of all instances that have files in a work folder; nothing else there is ours."""
    try:
        names = {name.removesuffix(".lock") for name in _names(work_dir)}
    except OSError:  # there is no such folder
        return []
    return sorted(int(name, 16) for name in names if _INSTANCE.match(name))


def try_lock_folder(folder: Path) -> int | None:
    """Lock a folder itself; returns its descriptor, None if it is locked or not a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, folder):
            return descriptor
    os.close(descriptor)
    return None


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def sweep(work_dir: Path) -> list[Swept]:
    """Kill and remove what previous instances left; live instances are not touched."""
    await asyncio.to_thread(_remove_ledgers, work_dir)
    swept = []
    for number in await asyncio.to_thread(instances, work_dir):
        found = await _sweep_one(work_dir / f"{number:x}", number)
        if found is not None:
            swept.append(found)
    return swept


def _remove_ledgers(work_dir: Path) -> None:
    """Remove the ledgers of inits that were killed before they could (`commands/under_init.py`)."""
    for file in work_dir.glob("init-*.json"):
        pid = file.stem.removeprefix("init-")
        with contextlib.suppress(OSError, OverflowError):
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                file.unlink(missing_ok=True)


async def _sweep_one(folder: Path, instance: int) -> Swept | None:
    with contextlib.ExitStack() as held:
        if not await asyncio.to_thread(_is_dead, folder, instance, held):
            return None
        result = await census.end_all(lambda tag: census.instance_of(tag) == instance)
        folders, leftovers = await asyncio.to_thread(_remove, folder)
    return Swept(instance, result.killed, folders, leftovers)


def _is_dead(folder: Path, instance: int, held: contextlib.ExitStack) -> bool:
    """Whether an instance is dead: all its locks could be taken; `held` releases them."""
    try:
        held.enter_context(claim(instance))
        lock = try_lock(lock_of(folder))
        if lock is None:
            return False
        held.callback(os.close, lock)
        if not os.path.lexists(folder):
            return True
        found_mode = folder.lstat().st_mode
        if stat.S_ISDIR(found_mode) and found_mode & 0o700 != 0o700:
            folder.chmod(0o700)  # otherwise it cannot be opened and locked
        found = try_lock_folder(folder)
    except OSError:  # another user's, or no descriptor left: it may be alive
        return False
    if found is None:
        return False
    held.callback(os.close, found)
    return True


def _remove(folder: Path) -> tuple[int, int]:
    """Remove a dead instance's folder and lock file.

    Returns how many lease folders were in it, and how many files and folders resisted. Never fails:
    leftovers are no reason not to start.
    """
    folders = resisted = 0
    with contextlib.suppress(OSError):
        folders = len(_names(folder)) if folder.is_dir() else 0
        resisted = remove_tree(str(folder))  # a later sweep tries again
        if _rmdir(folder):
            lock_of(folder).unlink(missing_ok=True)
        else:
            resisted = max(1, resisted)
    return folders, resisted
