"""Jobs that wait for a storage that fails, together: one at a time looks whether it is back.

A schedule of each job's own would be in its longest wait when the storage comes back, in all slots
at once: almost nothing ended for 10 to 40 s then (seen in tests with an S3 server). And all slots
asked a storage that had just been started, each by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TypeVar

from poster_service.errors import StorageFailed

T = TypeVar("T")

#: How long after a failure the storage is tried again, in seconds; each try is up to six requests
#: of obstore's within the time for one result.
TRY_SECONDS = 1.0


class StorageOutage:
    """What the jobs of a process know of their storage.

    Attributes:
        is_away: Whether the last of them to try has failed.
    """

    def __init__(self) -> None:
        self.is_away = False
        self._turn = asyncio.Lock()

    async def store(
        self, what: Callable[[], Awaitable[T]], seconds: float, waits: Callable[[], None]
    ) -> T:
        """Store something, as soon as the storage takes it.

        Args:
            what: Stores it.
            seconds: How long it may wait for that.
            waits: Called each time before it waits.

        Raises:
            StorageFailed: The storage refuses it, or was away for so long.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + seconds
        while True:
            if self.is_away:
                waits()
            try:
                async with self._turn_until(give_up) if self.is_away else nullcontext():
                    if self.is_away:  # still
                        await asyncio.sleep(TRY_SECONDS)
                    found = await what()
                    self.is_away = False
                    return found
            except StorageFailed as error:
                self.is_away |= error.may_pass
                if not error.may_pass or loop.time() >= give_up:
                    raise

    @asynccontextmanager
    async def _turn_until(self, give_up: float) -> AsyncIterator[None]:
        """The turn to try, which comes after those who asked before.

        Raises:
            StorageFailed: It did not come by then, in the loop's time.
        """
        try:
            async with asyncio.timeout_at(give_up):
                await self._turn.acquire()
        except TimeoutError:
            raise StorageFailed("the result could not be stored in time") from None
        try:
            yield
        finally:
            self._turn.release()
