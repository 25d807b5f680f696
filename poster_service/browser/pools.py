"""The pools of a service, one for each isolation level, and what is known of all of them together.

Only the pool of the service's own level keeps Chromes ready; another starts its first one when a
render needs it, and ends them when none has come for a while. A level that nothing asks for costs
nothing.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from poster_service.browser.pool import Lease, Pool, PoolSize
from poster_service.browser.pool_state import PoolStatistics
from poster_service.browser.premises import Premises
from poster_service.browser.spec import ChromeSpec
from poster_service.browser.warm import IsCurrent, WarmKey
from poster_service.isolation import HtmlIsolation, Isolation
from poster_service.process.spawn import Ending
from poster_service.stats import ignore


class Pools:
    """A pool for each isolation level.

    Args:
        spec: What all Chromes share; `renders` is how many a shared one serves.
        size: How many Chromes there are, of all pools together.
        level: The service's own level, of which Chromes are kept ready.
        on_ending: As of `Pool`.
    """

    def __init__(
        self,
        spec: ChromeSpec,
        size: PoolSize,
        level: HtmlIsolation,
        *,
        on_ending: Callable[[Ending, float], None] = ignore,
    ) -> None:
        self._spec = spec
        self._level = level
        self._premises = Premises(spec.instance_dir, size.capacity)
        # Warm pages are in the Chromes of the level `process`, where each page has its own.
        self._pools: dict[Isolation, Pool] = {
            each: Pool(
                _spec_at(each, spec),
                size if each == level else replace(size, ready=0),
                on_ending=on_ending,
                premises=self._premises,
            )
            for each in ("process", "context")
        }

    @property
    def spec(self) -> ChromeSpec:
        """What all Chromes share."""
        return self._spec

    @spec.setter
    def spec(self, spec: ChromeSpec) -> None:
        self._spec = spec
        for level, pool in self._pools.items():
            pool.spec = _spec_at(level, spec)

    async def start(self) -> None:
        """Start the first Chrome of the service's own level, and all that watches the pools.

        May be called again after a failure, with another spec.

        Raises:
            ChromeNotStarted: As of `Pool.start`.
        """
        await self._pools[self._level].start()
        for level, pool in self._pools.items():
            if level != self._level:
                pool.start_without_chrome()

    def lease(
        self,
        level: Isolation,
        on_gone: Callable[[], None] = ignore,
        warm: WarmKey | None = None,
    ) -> contextlib.AbstractAsyncContextManager[Lease]:
        """Lease a Chrome of a level; see `Pool.lease`. `warm` is for the level `page`."""
        if level == "page":
            return self._pools["process"].lease(on_gone, warm)
        return self._pools[level].lease(on_gone)

    def check_pages_by(self, is_current: IsCurrent) -> None:
        """End warm pages, from now on, of which `is_current` is false."""
        for pool in self._pools.values():
            pool.warm_pages.is_current = is_current

    def warm(self) -> Mapping[str, int]:
        """Warm pages that wait for a render, by template."""
        return dict(self._pools["process"].warm_pages.counts())

    @property
    def is_ready(self) -> bool:
        """As of `Pool`, of the service's own level."""
        return self._pools[self._level].is_ready

    def statistics(self) -> PoolStatistics:
        """The state of all pools at this moment, together."""
        return together([pool.statistics() for pool in self._pools.values()])

    def counts(self) -> Mapping[Isolation, dict[str, int]]:
        """Chromes by level and state."""
        return {level: pool.statistics().counts for level, pool in self._pools.items()}

    def chromes(self) -> dict[int, str]:
        """The state of every Chrome by its number; one of which nothing is left is not there."""
        return {
            number: state
            for pool in self._pools.values()
            for number, state in pool.chromes().items()
        }

    async def close(self) -> None:
        """End every Chrome, leased ones too, and wait until nothing is left of any."""
        for pool in self._pools.values():
            await pool.close()
        await self._premises.close()

    def __repr__(self) -> str:
        return repr(self._pools)


def _spec_at(level: Isolation, spec: ChromeSpec) -> ChromeSpec:
    return spec if level == "context" else replace(spec, renders=1)


def together(found: Iterable[PoolStatistics]) -> PoolStatistics:
    """The statistics of several pools of one service as of one."""
    each = list(found)
    counts: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    for one in each:
        counts.update(one.counts)
        endings.update(one.endings)
    return PoolStatistics(
        counts=dict(counts),
        waiting=sum(one.waiting for one in each),
        started=sum(one.started for one in each),
        renewed=sum(one.renewed for one in each),
        failed_starts=sum(one.failed_starts for one in each),
        endings=dict(endings),
        unclean=sum(one.unclean for one in each),
        survivors=tuple(survivor for one in each for survivor in one.survivors),
        leftovers=max((one.leftovers for one in each), default=0),
    )
