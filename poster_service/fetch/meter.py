"""Counts the bytes of one download against the budgets of several pages that wait for it."""

import asyncio
from collections.abc import Callable

from poster_service.fetch.errors import RequestDenied

#: Called with the size of each chunk as it arrives, after decompression, in bytes. It raises
#: RequestDenied when the page's budget is spent. A negative size gives bytes back.
ByteCounter = Callable[[int], None]


class SharedMeter:
    """Several pages wait for one download: each chunk is counted against the budget of each page.

    A page whose budget is spent gets the error; the others, and the download, go on.

    Attributes:
        started: Done when the download has a connection slot, which is when its time limit begins.
    """

    def __init__(self) -> None:
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pages: dict[asyncio.Future[None], ByteCounter] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes received so far; each page was charged for all of them."""
        return self._size

    def join(self, count: ByteCounter) -> "asyncio.Future[None]":
        """Add a page, which is charged at once for the bytes received so far.

        Returns:
            A future that fails with what `count` raises; give it to `leave` in the end.
        """
        denied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pages[denied] = count
        if self._size:
            self._charge(denied, self._size)
        return denied

    def leave(self, denied: "asyncio.Future[None]") -> None:
        """Remove the page that `join` returned this future to."""
        del self._pages[denied]
        if not denied.cancel():
            denied.exception()  # retrieved, or asyncio logs it when the page was cancelled

    def start(self) -> None:
        """Note that the download has a connection slot."""
        if not self.started.done():
            self.started.set_result(None)

    def count(self, size: int) -> None:
        """Charge every page for a chunk of `size` bytes."""
        self._size += size
        for denied in list(self._pages):
            self._charge(denied, size)

    def _charge(self, denied: "asyncio.Future[None]", size: int) -> None:
        try:
            if not denied.done():
                self._pages[denied](size)
        except RequestDenied as error:
            denied.set_exception(error)
