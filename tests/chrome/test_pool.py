"""Real Chromes in the pool: what a caller is told, and when.

Orders of events nobody thought of are tried in test_pool_machine.py.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from poster_service.browser.books import State
from poster_service.browser.chrome import ChromeSpec
from poster_service.browser.pool import Pool
from poster_service.errors import Stopping
from tests.chrome.conftest import PROGRAMS, installed
from tests.conftest import left, settled

MakeSpec = Callable[[Path], ChromeSpec]


class Caller:
    """Somebody who holds a lease until it is told to go, and notes what is left when told so."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.has_it = asyncio.Event()
        self.may_go = asyncio.Event()
        self.told: list[list[str]] = []
        self.task = asyncio.create_task(self.hold())

    async def hold(self) -> None:
        """One lease from its beginning to its end."""
        async with self.pool.lease(self.gone):
            self.has_it.set()
            await self.may_go.wait()

    def gone(self) -> None:
        """Note what there is of the pool's Chromes."""
        self.told.append(left(self.pool.spec.instance, self.pool.spec.home))


async def test_a_lease_left_while_the_pool_closes_is_told_when_its_chrome_is_gone(
    make_spec: MakeSpec,
) -> None:
    """Not at once: its slot counts until nothing is left, also while the service stops."""
    pool = Pool(make_spec(installed(PROGRAMS[0])), ready=0, capacity=1)
    await pool.start()
    caller = Caller(pool)
    await caller.has_it.wait()
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    caller.may_go.set()
    await asyncio.wait([caller.task])
    assert not closing.done()
    await closing
    assert caller.told == [[]]


async def test_who_hangs_up_in_the_moment_of_being_served_is_told_when_it_is_gone(
    make_spec: MakeSpec,
) -> None:
    """The Chrome was theirs already, so their slot counts until it is gone."""
    pool = Pool(make_spec(installed(PROGRAMS[0])), ready=0, capacity=1)
    await pool.start()
    first = Caller(pool)
    await first.has_it.wait()
    second = Caller(pool)
    assert await settled(lambda: pool.statistics().waiting == 1)
    (waiter,) = pool._books.waiters
    first.may_go.set()
    while not waiter.done():  # noqa: ASYNC110 - each turn of the loop, else the moment is missed
        await asyncio.sleep(0)
    second.task.cancel()
    await asyncio.wait([second.task])
    assert not second.has_it.is_set()
    assert pool._books.count(State.RETIRING) == 1
    assert second.told == []
    assert await settled(lambda: bool(second.told))
    assert second.told == [[]]
    await pool.close()


async def test_who_hung_up_waits_no_longer(make_spec: MakeSpec) -> None:
    """Also behind others who still wait, and in the statistics too."""
    pool = Pool(make_spec(installed(PROGRAMS[0])), ready=0, capacity=1)
    await pool.start()
    callers = [Caller(pool) for _ in range(4)]
    assert await settled(lambda: pool.statistics().waiting == 3)
    for caller in callers[2:]:
        caller.task.cancel()
    await asyncio.wait([caller.task for caller in callers[2:]])
    assert pool.statistics().waiting == 1
    assert "1 waiting" in repr(pool)
    await pool.close()
    callers[0].may_go.set()
    outcomes = await asyncio.gather(*(caller.task for caller in callers), return_exceptions=True)
    assert [type(one) for one in outcomes[:2]] == [type(None), Stopping]
