"""Valid tokens and signing keys: those of a variable, and those of a file that may change.

A thread checks the file once a second, so no request waits for a disk. A new file that is invalid
is logged and otherwise ignored: earlier tokens stay valid. Secrets are never logged.
"""

import asyncio
import logging
import os
import stat
from pathlib import Path
from typing import Generic

from poster_service.credentials import Credential, Make, from_lines
from poster_service.errors import InvalidSettings
from poster_service.logs import event

logger = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
#: Largest file, in bytes: about ten thousand tokens.
LARGEST_BYTES = 1 << 20

Stamp = tuple[int, int, int, int]


class CredentialFile(Generic[Credential]):
    """The credentials that are valid now.

    Attributes:
        entries: All of them; replaced as a whole.
    """

    def __init__(
        self,
        fixed: tuple[Credential, ...],
        file: Path | None,
        make: Make[Credential],
        variable: str,
    ) -> None:
        self.entries: tuple[Credential, ...] = fixed
        self.file = file
        self._fixed: tuple[Credential, ...] = fixed
        self._make: Make[Credential] = make
        self._variable = variable
        self._seen: Stamp | None = None

    def load(self) -> None:
        """Read the file for the first time.

        Raises:
            InvalidSettings: It cannot be read, is invalid, or has no entry.
        """
        if self.file is None:
            return
        try:
            self._seen = stamp_of(self.file.stat())
            self._read(self.file)
        except (OSError, ValueError) as error:
            raise InvalidSettings(f"{self._variable}={self.file}: {reason_of(error)}") from None

    async def keep_looking(self) -> None:
        """Reload the file when it changes, until cancelled; returns at once if there is no file."""
        while self.file is not None:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # of any kind: tokens must go on rotating
                logger.exception("checking %s failed", self._variable)

    def look(self) -> None:
        """Read the file again if it was replaced or has changed."""
        if self.file is None:
            return
        try:
            stamp = stamp_of(self.file.stat())
        except OSError as error:
            if self._seen is not None:  # logged once, and not every second
                self._seen = None
                self._complain(reason_of(error))
            return
        if stamp == self._seen:
            return
        self._seen = stamp  # before reading; if replaced meanwhile, the next check differs
        try:
            self._read(self.file)
        except (OSError, ValueError) as error:
            self._complain(reason_of(error))
        else:
            event(logger, logging.INFO, f"{self._variable} was read again", entries=self.names())

    def names(self) -> list[str]:
        """The names of the valid credentials."""
        return [one.name for one in self.entries]

    def _read(self, file: Path) -> None:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            raw = opened.read(LARGEST_BYTES + 1)
        if len(raw) > LARGEST_BYTES:
            raise ValueError(f"larger than {LARGEST_BYTES} bytes")
        found = from_lines(raw.decode("utf-8"), self._make)
        if not found:
            raise ValueError("no entry; allowed: lines of 'name secret'")
        self.entries = self._fixed + found
        if status.st_mode & stat.S_IROTH and any(one.in_clear for one in found):
            event(
                logger, logging.WARNING,
                f"{self._variable}={file} contains secrets and is world-readable: chmod o-r, or"
                " replace tokens by their digests (sha256:...)",
            )  # fmt: skip

    def _complain(self, why: str) -> None:
        event(
            logger, logging.ERROR,
            f"{self._variable}={self.file} was not reloaded: {why}; the previous entries stay"
            " valid", entries=self.names(),
        )  # fmt: skip


def stamp_of(status: os.stat_result) -> Stamp:
    """A value that differs when a file was changed or replaced, as by Kubernetes' symlinks."""
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def reason_of(error: OSError | ValueError) -> str:
    """The reason of an error, without content of the file."""
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
