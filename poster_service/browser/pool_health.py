"""Whether ready Chromes are still fit for a render.

Its own file because it only looks: what to do with an unfit Chrome is the pool's decision.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from poster_service.browser.pool_state import PoolEntry
from poster_service.errors import ChromeDied
from poster_service.process.census import unhealthy_below

logger = logging.getLogger(__name__)

#: A Chrome whose page answered so recently is not checked, in seconds: while renders follow each
#: other there is none to check, and their CPU is theirs.
FRESH_SECONDS = 1.0
#: How long the page of a ready Chrome may be silent, in seconds; it answers within milliseconds.
SILENT_SECONDS = 2.5


class HealthCheck:
    """Finds ready Chromes that are not fit for a render: stopped or dead in part, or silent.

    Such a Chrome does not report it, and its pipe stays open. Its next caller would wait in vain,
    and the dead part is a zombie for as long as the Chrome is ready.
    """

    def __init__(self, folder: Path, ready: Callable[[], list[PoolEntry]]) -> None:
        """Say which Chromes to check.

        Args:
            folder: Where their lease folders are.
            ready: Returns those that are ready now; which they are changes during a check. Those
                whose page has answered a moment ago are passed over.
        """
        self._folder = folder
        self._ready = ready
        self._unhealthy: frozenset[tuple[int, int]] = frozenset()
        self._signs = SignsOfLife()

    async def unfit(self) -> list[PoolEntry]:
        """The ready Chromes that must be replaced; to be called at equal intervals."""
        before, self._unhealthy, homeless = self._unhealthy, frozenset(), frozenset[int]()
        aged = self._aged()
        shims = {each.number: each.chrome.group.shim_pid for each in aged if each.chrome}
        if shims:
            try:
                self._unhealthy, homeless = await asyncio.to_thread(self._look, shims)
            except Exception:  # one check that failed is no reason to stop checking
                logger.exception("checking the processes of ready Chromes failed")
        # Twice in a row, since every process is a zombie for the moment until it is reaped.
        unfit = {number for number, _ in before & self._unhealthy} | homeless
        aged = self._aged()
        silent = self._signs.missing(aged, asyncio.get_running_loop().time())
        return [entry for entry in aged if entry.number in unfit or entry in silent]

    def _aged(self) -> list[PoolEntry]:
        """The ready Chromes whose page has not answered for a while."""
        late = time.monotonic() - FRESH_SECONDS
        return [each for each in self._ready() if each.since <= late]

    def _look(self, shims: Mapping[int, int]) -> tuple[frozenset[tuple[int, int]], frozenset[int]]:
        """Number and pid of what is stopped or dead, and the Chromes whose folder is gone.

        A lease folder that was removed from outside may have its Chrome fail in any way.
        """
        bad = {(number, pid) for number, shim in shims.items() for pid in unhealthy_below(shim)}
        gone = {number for number in shims if not (self._folder / str(number)).exists()}
        return frozenset(bad), frozenset(gone)


class SignsOfLife:
    """Asks the pages of ready Chromes for a sign of life and finds those that do not answer."""

    def __init__(self) -> None:
        self._asked: dict[tuple[int, int], tuple[asyncio.Future[Any], float]] = {}

    def missing(self, ready: list[PoolEntry], now: float) -> list[PoolEntry]:
        """Those whose sign has been missing for too long; asks all others for the next one."""
        before, self._asked, silent = self._asked, {}, []
        for entry in ready:
            if entry.chrome is None:
                continue
            key = (entry.number, entry.served)  # after a lease the page is another
            asked = before.get(key)
            if asked is None or asked[0].done():
                try:
                    self._asked[key] = (entry.chrome.page.ping(), now)
                except ChromeDied:
                    silent.append(entry)
            elif now - asked[1] > SILENT_SECONDS:
                silent.append(entry)
            else:
                self._asked[key] = asked
        return silent
