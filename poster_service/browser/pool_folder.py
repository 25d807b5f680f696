"""The folder in which a pool's leases are made, and what could not be removed from disk so far.

Its own file because it has a life apart from the Chromes: a cleaner may remove the folder, and what
resists removal is tried again for as long as the service runs.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

from poster_service.errors import ChromeNotStarted
from poster_service.logs import event
from poster_service.process.instance_dir import InstanceDir, Swept, sweep
from poster_service.process.shim import remove_folder

logger = logging.getLogger(__name__)

#: How often to try again what could not be removed, in seconds: lease folders, and leftovers of
#: previous instances.
TIDY_SECONDS = 30.0


class PoolFolder:
    """The instance folder of one pool; `open` takes possession of it, `close` removes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._directory: InstanceDir | None = None
        self._recreating = asyncio.Lock()
        self._unswept: dict[int, Swept] = {}

    @property
    def leftovers(self) -> int:
        """Files and folders of previous instances that could not be removed so far."""
        return sum(found.leftovers for found in self._unswept.values())

    async def open(self, *, shared: bool) -> None:
        """Create and lock the folder, unless it is open, and remove what previous instances left.

        Args:
            shared: Whether programs of another user have their folders in it.

        Raises:
            ChromeNotStarted: It cannot be created or locked.
        """
        if self._directory is not None:
            return
        self._directory = open_instance_dir(self._path, shared=shared)
        try:
            await self._sweep()
        except Exception:  # leftovers of a previous instance are no reason not to start
            logger.exception("removing leftovers of previous instances failed")

    async def ensure(self) -> None:
        """Create the folder again where another process has removed it.

        Raises:
            ChromeNotStarted: It cannot be created; the next start tries again.
        """
        directory = self._directory
        if directory is None or directory.is_there():
            return
        async with self._recreating:
            if directory.is_there():
                return
            try:
                await asyncio.to_thread(directory.recreate)
            except OSError as error:
                raise _no_folder(self._path, error) from error
            message = "the work folder or its lock file was removed; created again"
            event(logger, logging.WARNING, message, folder=str(self._path))

    async def keep_tidy(self, in_use: Callable[[], Collection[int]]) -> None:
        """Try again, for ever, to remove what could not be removed before.

        Args:
            in_use: Numbers of the leases whose folders must stay.
        """
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await self._tidy(in_use)
                await self._sweep()
            except Exception:  # one attempt that failed is no reason not to try again
                logger.exception("removing leftovers failed")

    async def _tidy(self, in_use: Callable[[], Collection[int]]) -> None:
        """Remove the lease folders that belong to no Chrome of the pool any more."""
        found = await asyncio.to_thread(_entries, self._path)
        needed = {str(number) for number in in_use()}  # read after the folders
        for folder in found:
            if folder.name in needed:
                continue
            if not await asyncio.to_thread(remove_folder, str(folder), None):
                message = "removed a lease folder that could not be removed before"
                event(logger, logging.WARNING, message, folder=folder.name)

    async def _sweep(self) -> None:
        """Remove what previous instances left; what resists is logged once and tried again."""
        before, self._unswept = self._unswept, {}
        for found in await sweep(self._path.parent):
            if found.leftovers:
                self._unswept[found.instance] = found
            if found != before.get(found.instance):
                message = "removed leftovers of a previous instance"
                event(logger, logging.WARNING, message, **asdict(found))

    async def close(self) -> None:
        """Remove the folder and release its locks."""
        if self._directory is not None:
            await asyncio.to_thread(self._directory.close)
            self._directory = None


def open_instance_dir(path: Path, *, shared: bool) -> InstanceDir:
    """Take possession of the folder of this instance.

    Raises:
        ChromeNotStarted: It cannot be created or locked; names the setting.
    """
    try:
        return InstanceDir.open(path, shared=shared)
    except OSError as error:
        raise _no_folder(path, error) from error


def _no_folder(path: Path, error: OSError) -> ChromeNotStarted:
    return ChromeNotStarted(f"POSTER_WORK_DIR={path.parent}: {error.strerror}")


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it is missing or cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []
