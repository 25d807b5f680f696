"""Object storage for results: buckets by obstore, a folder, or the memory of this process.

Objects are put whole and never changed in place. What obstore says of a failure is not shown to
callers and its text is not logged either: it may contain names of accounts and keys.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cachetools import TTLCache

from poster_service.errors import InvalidSettings, StorageFailed
from poster_service.logs import event
from poster_service.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

logger = logging.getLogger(__name__)

#: Where a service serves what lies in its memory or in a folder.
RESULTS = "/results"
#: Attempts after the first, within the time for one result.
MAX_RETRIES = 5
#: What obstore raises where the storage answers, and will not store it later either.
REFUSALS = frozenset(
    {"PermissionDeniedError", "UnauthenticatedError", "NotSupportedError", "InvalidPathError"}
)
#: Where the credentials of each kind of storage are, for the message about those that do not work.
SOURCES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY",
    "file": "the owner of the folder",
}
#: How often a folder is searched for expired results, in seconds, and how many go at once.
SWEEP_SECONDS, SWEEP_MOST = 600.0, 1_000


@dataclass(frozen=True)
class StoredObject:
    """What is stored, and with which headers it is to be served.

    Attributes:
        name: Its name below the storage's prefix, with slashes.
        body: Its bytes.
        content_type: Its media type.
        cache_control: For the answers that have it; empty for none.
        disposition: Content-Disposition; empty for none.
    """

    name: str
    body: bytes
    content_type: str
    cache_control: str = ""
    disposition: str = ""


@dataclass(frozen=True)
class ObjectAddress:
    """Where an object can be had.

    Attributes:
        url: Its address; a path where this service serves it.
        seconds: How long the address is good; None for as long as the object exists.
    """

    url: str
    seconds: int | None = None


class Storage(ABC):
    """Stores results and gives their addresses; close it when the service ends."""

    @abstractmethod
    async def put(self, given: StoredObject, *, replaces: bool) -> bool:
        """Store an object.

        Args:
            given: With its name.
            replaces: Whether an object of that name is replaced, or left as it is.

        Returns:
            Whether it was written; False if there was one, which has been left.

        Raises:
            StorageFailed: It could not be stored in time.
        """

    @abstractmethod
    async def get(self, name: str) -> StoredObject | None:
        """An object that this service serves itself; None if no object has that name.

        Raises:
            StorageFailed: It could not be read.
        """

    @abstractmethod
    async def has(self, name: str) -> bool:
        """Whether there is an object of that name.

        Raises:
            StorageFailed: That could not be found out.
        """

    @abstractmethod
    async def address(self, name: str, seconds: int | None) -> ObjectAddress:
        """The address of an object.

        Args:
            name: Of the object.
            seconds: How long a presigned address is to be good; None for the setting's time.
        """

    @property
    @abstractmethod
    def is_served_here(self) -> bool:
        """Whether this service serves the objects."""

    async def sweep(self) -> int:
        """Remove what has expired; the number of objects removed."""
        return 0

    async def keep_sweeping(self) -> None:
        """Remove what has expired, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except StorageFailed:
                continue  # logged; the next time may succeed


def storage_of(settings: Settings) -> Storage | None:
    """The storage of the settings; None without one. Connects to nothing."""
    if settings.storage is None:
        return None
    if settings.storage.startswith("memory:"):
        return memory_storage(settings)
    return BucketStorage(settings)


def memory_storage(settings: Settings) -> "MemoryStorage":
    """A storage in the memory of this process, within the bounds of the settings."""
    return MemoryStorage(
        settings.storage_memory_bytes, settings.storage_seconds, settings.storage_public_url
    )


class MemoryStorage(Storage):
    """Results in the memory of this process, bounded in bytes and in time."""

    def __init__(self, max_bytes: int, seconds: int, public_url: str | None = None) -> None:
        self._objects: TTLCache[str, StoredObject] = TTLCache(
            max_bytes, seconds, timer=time.monotonic, getsizeof=lambda one: len(one.body) + 1024
        )
        self._seconds = seconds
        self._public_url = public_url

    async def put(self, given: StoredObject, *, replaces: bool) -> bool:
        """Store an object; the least recently stored ones go to make room."""
        if not replaces and given.name in self._objects:
            return False
        try:
            self._objects[given.name] = given
        except ValueError as error:  # larger than all of the memory
            refused = StorageFailed("the result is larger than the storage in memory")
            refused.may_pass = False
            raise refused from error
        return True

    async def get(self, name: str) -> StoredObject | None:
        """An object that has not expired."""
        return self._objects.get(name)

    async def has(self, name: str) -> bool:
        """Whether it has not expired."""
        return name in self._objects

    async def address(self, name: str, seconds: int | None) -> ObjectAddress:
        """Good for as long as the object is stored."""
        return ObjectAddress(f"{self._public_url or RESULTS}/{quote(name)}", self._seconds)

    @property
    def is_served_here(self) -> bool:
        """Always: nothing else can read this memory."""
        return True


class BucketStorage(Storage):
    """Results in a bucket of S3, Google Cloud Storage or Azure, or in a folder."""

    def __init__(self, settings: Settings) -> None:
        """Build the client; connects to nothing.

        Args:
            settings: Their `storage` is its address; credentials come from the environment, files
                or the platform, as obstore finds them.

        Raises:
            InvalidSettings: The client cannot be set up: an account is missing, a key is no key,
                the folder cannot be made.
        """
        from obstore.store import from_url  # a service without such a storage need not have it

        url = str(settings.storage)
        self._is_folder = url.startswith("file:")
        self._public_url = settings.storage_public_url
        self._url_seconds = settings.storage_url_seconds
        self._file_seconds = settings.storage_seconds
        self._timeout = settings.storage_timeout_ms / 1000
        more: dict[str, Any] = {}
        if not self._is_folder:
            limit = timedelta(seconds=self._timeout)
            more["retry_config"] = {"max_retries": MAX_RETRIES, "retry_timeout": limit}
            # No client_options: they would replace those of the environment (AWS_ALLOW_HTTP).
        with _set_up(url):
            if self._is_folder:
                Path(url.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
            self._store: ObjectStore = from_url(url, **more)

    async def put(self, given: StoredObject, *, replaces: bool) -> bool:
        """Store an object, with its headers where the storage has any."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        headers = {
            "Content-Type": given.content_type,
            "Cache-Control": given.cache_control,
            "Content-Disposition": given.disposition,
        }
        attributes: Any = {name: value for name, value in headers.items() if value}
        with _failures("put"):
            try:
                async with asyncio.timeout(self._timeout):
                    await obstore.put_async(
                        self._store,
                        given.name,
                        given.body,
                        attributes=None if self._is_folder else attributes,
                        mode="overwrite" if replaces else "create",
                    )
            except AlreadyExistsError:
                return False
        return True

    async def get(self, name: str) -> StoredObject | None:
        """An object of a folder; its media type is that of its name."""
        import obstore

        with _failures("get"):
            try:
                async with asyncio.timeout(self._timeout):
                    found = await obstore.get_async(self._store, name)
                    body = bytes(await found.bytes_async())
            except FileNotFoundError:
                return None
        return StoredObject(name, body, "")

    async def has(self, name: str) -> bool:
        """Whether the bucket or folder has it; costs a request."""
        import obstore

        with _failures("head"):
            try:
                async with asyncio.timeout(self._timeout):
                    await obstore.head_async(self._store, name)
            except FileNotFoundError:
                return False
        return True

    async def address(self, name: str, seconds: int | None) -> ObjectAddress:
        """Public, presigned, or of this service."""
        import obstore

        if self._public_url is not None:
            return ObjectAddress(f"{self._public_url}/{quote(name)}")
        if self._is_folder:
            return ObjectAddress(f"{RESULTS}/{quote(name)}", self._file_seconds)
        good = seconds or self._url_seconds
        store: Any = self._store
        with _failures("sign"):
            # With a platform's identity instead of a key the cloud is asked to sign.
            async with asyncio.timeout(self._timeout):
                url = await obstore.sign_async(store, "GET", name, timedelta(seconds=good))
        return ObjectAddress(url, good)

    @property
    def is_served_here(self) -> bool:
        """Whether it is a folder that nothing else serves."""
        return self._is_folder and self._public_url is None

    async def sweep(self) -> int:
        """Remove the files of a folder that have expired; buckets have rules of their own."""
        if not self._is_folder:
            return 0
        import obstore

        removed = 0
        with _failures("sweep"):
            async for found in obstore.list(self._store, chunk_size=SWEEP_MOST):
                old = [one["path"] for one in found if self._has_expired(one)]
                await obstore.delete_async(self._store, old)
                removed += len(old)
        return removed

    def _has_expired(self, found: Any) -> bool:
        age: float = time.time() - found["last_modified"].timestamp()
        return age > self._file_seconds


@contextmanager
def _set_up(url: str) -> Iterator[None]:
    """Give what keeps a client from being made as a fault of the settings, without its text.

    Raises:
        InvalidSettings: In place of any other error.
    """
    try:
        yield
    except Exception as error:
        scheme = url.partition(":")[0]
        kind = type(error).__name__
        raise InvalidSettings(
            f"the storage {scheme}:// cannot be set up ({kind}); look at {SOURCES[scheme]}"
        ) from None


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """Give every failure of obstore as one of ours; only its kind is logged.

    Raises:
        StorageFailed: In place of any other error.
    """
    try:
        yield
    except StorageFailed:
        raise
    # obstore raises errors of its own, and those of Python for what it knows there.
    except Exception as error:
        kind = type(error).__name__
        event(logger, logging.WARNING, "object storage failed", operation=what, error=kind)
        took = " in time" if isinstance(error, TimeoutError) else ""
        failed = StorageFailed(f"the result could not be stored{took}")
        failed.may_pass = kind not in REFUSALS
        raise failed from None
