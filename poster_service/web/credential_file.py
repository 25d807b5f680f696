"""Tokens and signing keys in force: those of a variable, and those of a file that may change.

The file is looked at once a second from a thread, so no request waits for a disk. A new file that
is broken changes nothing but the log: whoever has a token keeps it. It never tells a secret.
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

LOOK_SECONDS = 1.0
#: Ten thousand tokens; a file that is larger is none.
LARGEST_BYTES = 1 << 20

Stamp = tuple[int, int, int, int]


class CredentialFile(Generic[Credential]):
    """What is in force now.

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
            InvalidSettings: It cannot be read, is faulty, or holds nothing.
        """
        if self.file is None:
            return
        try:
            self._seen = stamp_of(self.file.stat())
            self._read(self.file)
        except (OSError, ValueError) as error:
            raise InvalidSettings(f"{self._variable}={self.file}: {reason_of(error)}") from None

    async def keep_looking(self) -> None:
        """Follow the file for as long as the service lives; at once over where there is none."""
        while self.file is not None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # whatever it was: tokens must go on rotating
                logger.exception("looking at %s failed", self._variable)

    def look(self) -> None:
        """Read the file again if it is another one, or has changed."""
        if self.file is None:
            return
        try:
            stamp = stamp_of(self.file.stat())
        except OSError as error:
            if self._seen is not None:  # told once, and not every second
                self._seen = None
                self._complain(reason_of(error))
            return
        if stamp == self._seen:
            return
        self._seen = stamp  # before what may fail; replaced meanwhile, it is another one next time
        try:
            self._read(self.file)
        except (OSError, ValueError) as error:
            self._complain(reason_of(error))
        else:
            event(logger, logging.INFO, f"{self._variable} was read again", entries=self.names())

    def names(self) -> list[str]:
        """The names in force."""
        return [one.name for one in self.entries]

    def _read(self, file: Path) -> None:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            raw = opened.read(LARGEST_BYTES + 1)
        if len(raw) > LARGEST_BYTES:
            raise ValueError(f"it is larger than {LARGEST_BYTES} bytes")
        found = from_lines(raw.decode("utf-8"), self._make)
        if not found:
            raise ValueError("it holds nothing")
        self.entries = self._fixed + found
        if status.st_mode & stat.S_IROTH and any(one.in_clear for one in found):
            event(
                logger, logging.WARNING,
                f"{self._variable}={file} holds secrets and EVERYONE on this machine can read it:"
                " chmod o-r, or write digests of tokens into it (sha256:...)",
            )  # fmt: skip

    def _complain(self, why: str) -> None:
        event(
            logger, logging.ERROR,
            f"{self._variable}={self.file} is not taken over: {why}; what was read before it stays"
            " in force", entries=self.names(),
        )  # fmt: skip


def stamp_of(status: os.stat_result) -> Stamp:
    """What is another when a file was changed, or replaced, as by Kubernetes' symbolic links."""
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def reason_of(error: OSError | ValueError) -> str:
    """A fault in words that hold nothing of the file."""
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
