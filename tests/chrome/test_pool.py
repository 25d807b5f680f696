"""Real Chromes in the pool: what a caller learns, and when.

Random orders of events are tried in test_pool_machine.py.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poster_service.browser.pool import Pool, PoolSize
from poster_service.browser.pool_state import State
from poster_service.browser.spec import ChromeSpec
from poster_service.browser.types import CaptureOptions, PageOptions, Reply, Request
from poster_service.errors import ChromeNotStarted, Stopping
from tests.chrome.conftest import PROGRAMS, installed
from tests.conftest import left, settled

MakeSpec = Callable[[Path], ChromeSpec]


class Caller:
    """A caller that holds a lease until an order to go, and notes what the end left."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.has_it = asyncio.Event()
        self.may_go = asyncio.Event()
        self.reported: list[list[str]] = []
        self.task = asyncio.create_task(self.hold())

    async def hold(self) -> None:
        """One lease from its beginning to its end."""
        async with self.pool.lease(self.gone):
            self.has_it.set()
            await self.may_go.wait()

    def gone(self) -> None:
        """Note what there is of the pool's Chromes."""
        self.reported.append(left(self.pool.spec.instance, self.pool.spec.instance_dir))


async def test_a_lease_left_while_the_pool_closes_is_reported_when_its_chrome_is_gone(
    make_spec: MakeSpec,
) -> None:
    """Not at once: its slot counts until nothing is left, also while the service stops."""
    pool = Pool(make_spec(installed(PROGRAMS[0])), PoolSize(ready=0, capacity=1))
    await pool.start()
    caller = Caller(pool)
    await caller.has_it.wait()
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    caller.may_go.set()
    await asyncio.wait([caller.task])
    assert not closing.done()
    await closing
    assert caller.reported == [[]]


async def test_who_hangs_up_in_the_moment_of_being_served_is_reported_when_it_is_gone(
    make_spec: MakeSpec,
) -> None:
    """The Chrome was theirs already, so their slot counts until it is gone."""
    pool = Pool(make_spec(installed(PROGRAMS[0])), PoolSize(ready=0, capacity=1))
    await pool.start()
    first = Caller(pool)
    await first.has_it.wait()
    second = Caller(pool)
    assert await settled(lambda: pool.statistics().waiting == 1)
    (waiter,) = pool._state.waiters
    first.may_go.set()
    while not waiter.done():  # noqa: ASYNC110 - each turn of the loop, else the moment is missed
        await asyncio.sleep(0)
    second.task.cancel()
    await asyncio.wait([second.task])
    assert not second.has_it.is_set()
    assert pool._state.count(State.RETIRING) == 1
    assert second.reported == []
    assert await settled(lambda: bool(second.reported))
    assert second.reported == [[]]
    await pool.close()


async def test_who_hung_up_waits_no_longer(make_spec: MakeSpec) -> None:
    """Also behind others who still wait, and in the statistics too."""
    pool = Pool(make_spec(installed(PROGRAMS[0])), PoolSize(ready=0, capacity=1))
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


CARD = CaptureOptions(
    PageOptions(40, 40, 1, (0, 0, 0, 0)),
    format="png", quality=None, full_page=False, background=(0, 0, 0, 0), max_pixels=10_000,
)  # fmt: skip


async def card(_: Request) -> Reply:
    """The page of every render."""
    return Reply(200, (("Content-Type", "text/html"),), b"<body style='background:#0a0'>")


class Reuse:
    """Renders one after another in a pool whose Chromes serve three each."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.leaders: list[int] = []
        self.renderers: list[set[int]] = []

    async def render(self, spoil: Callable[[set[int]], None] = lambda _: None) -> None:
        """One render; returns when its lease is over and its page or Chrome has ended."""
        gone = asyncio.Event()
        async with self.pool.lease(gone.set) as lease:
            page = lease.chrome.page
            await page.set_up(CARD.page)
            await page.loading.load(card)
            await page.wait_painted()
            assert (await page.capture(CARD)).startswith(b"\x89PNG")
            reported = await lease.chrome._connection.send("SystemInfo.getProcessInfo")
            found = {one["id"] for one in reported["processInfo"] if one["type"] == "renderer"}
            self.leaders.append(lease.chrome.group.shim_pid)
            self.renderers.append(found)
            spoil(found)
        await gone.wait()


@contextlib.asynccontextmanager
async def reusing(spec: ChromeSpec, renew_timeout: float) -> AsyncIterator[Reuse]:
    """A pool of one Chrome at a time, each for three renders; nothing is left of it afterwards."""
    spec = replace(spec, renders=3, renew_timeout=renew_timeout)
    pool = Pool(spec, PoolSize(ready=1, capacity=1))
    await pool.start()
    yield Reuse(pool)
    await pool.close()
    assert left(spec.instance, spec.instance_dir) == []


@pytest.fixture
async def reuse(make_spec: MakeSpec, program: Path) -> AsyncIterator[Reuse]:
    """Such a pool; with a longer limit than the service's, since this machine may be busy."""
    async with reusing(make_spec(program), renew_timeout=20.0) as one:
        yield one


@pytest.mark.slow
async def test_a_chrome_serves_so_many_renders_each_in_renderers_of_its_own(
    reuse: Reuse,
) -> None:
    """And they are gone, dead and reaped, when the lease counts as over."""
    for _ in range(4):
        await reuse.render()
        assert not any(Path(f"/proc/{pid}").exists() for pid in reuse.renderers[-1])
    first, *others = reuse.leaders
    assert others[:2] == [first, first]
    assert others[2] != first
    reported = reuse.pool.statistics()
    assert (reported.renewed, reported.endings) == (3, {"asked": 1})


@pytest.mark.slow
async def test_a_renderer_that_does_not_go_costs_its_chrome(
    make_spec: MakeSpec, program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a stopped one is in doubt, so it is discarded; the next render is as any."""
    async with reusing(make_spec(program), renew_timeout=1.0) as reuse:

        def stop(renderers: set[int]) -> None:
            for pid in renderers:
                os.kill(pid, signal.SIGSTOP)
            # The next Chrome has time again, however busy this machine is.
            reuse.pool.spec = replace(reuse.pool.spec, renew_timeout=20.0)

        await reuse.render(stop)
        await reuse.render()
        assert len(set(reuse.leaders)) == 2
        assert reuse.pool.statistics().renewed == 1
    assert "a Chrome is replaced after a render: a page did not close" in caplog.text


@pytest.mark.slow
async def test_a_render_that_was_not_done_costs_its_chrome(reuse: Reuse) -> None:
    """For every error that it may have failed with."""

    def fail(_: set[int]) -> None:
        raise RuntimeError("not done")

    with pytest.raises(RuntimeError):
        await reuse.render(fail)
    await reuse.render()
    assert len(set(reuse.leaders)) == 2


async def test_a_pool_may_close_while_a_chrome_is_being_renewed(make_spec: MakeSpec) -> None:
    """Its slot counts until it is gone, and nothing is left."""
    spec = replace(make_spec(installed(PROGRAMS[0])), renders=3)
    pool = Pool(spec, PoolSize(ready=0, capacity=1))
    await pool.start()
    caller = Caller(pool)
    await caller.has_it.wait()
    caller.may_go.set()
    await caller.task
    assert pool._state.count(State.RENEWING) == 1
    await pool.close()
    assert caller.reported == [[]]


@pytest.mark.slow
async def test_ready_chromes_follow_the_rate(make_spec: MakeSpec) -> None:
    """More when leases come quickly, and those beyond the least are let go when none does."""
    spec = make_spec(installed(PROGRAMS[0]))
    pool = Pool(spec, PoolSize(ready=1, capacity=4, most_ready=3))
    await pool.start()
    assert await settled(lambda: pool.statistics().counts["ready"] == 1)
    for _ in range(500):  # as if that many had come within a moment
        pool._demand.leased(asyncio.get_running_loop().time())
    pool._demand._last_lease += 60  # a start may take longer than they are remembered
    assert await settled(lambda: pool.statistics().counts["ready"] == 3)
    pool._demand._last_lease -= 1_000  # as if that had been long ago
    assert await settled(lambda: pool.statistics().counts["ready"] == 1)
    await pool.close()
    assert left(spec.instance, spec.instance_dir) == []


@pytest.mark.slow
async def test_a_spare_chrome_comes_where_leases_would_wait_for_one_that_returns(
    make_spec: MakeSpec,
) -> None:
    """Also where none is kept ready; and it goes when no lease comes."""
    spec = replace(make_spec(installed(PROGRAMS[0])), renders=50, renew_timeout=20.0)
    pool = Pool(spec, PoolSize(ready=0, capacity=3, most_ready=2))
    await pool.start()
    caller = Caller(pool)
    await caller.has_it.wait()
    # The Chrome of the pool's start may still be ending.
    assert await settled(lambda: list(pool.chromes().values()) == ["leased"])
    for _ in range(500):  # as if that many had come within a moment, and none waited for its Chrome
        pool._demand.leased(asyncio.get_running_loop().time())
    pool._demand._last_lease += 60  # a start may take longer than they are remembered
    pool._adapt()
    assert await settled(lambda: sorted(pool.chromes().values()) == ["leased", "ready"])
    caller.may_go.set()
    await caller.task
    pool._demand._last_lease -= 1_000  # as if that had been long ago
    pool._demand._peaks.clear()
    assert await settled(lambda: not pool.chromes())
    await pool.close()
    assert left(spec.instance, spec.instance_dir) == []


async def test_a_pool_that_did_not_start_starts_at_once_with_another_spec(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the service does where its Chromes cannot have a sandbox; pauses are for the same spec."""
    monkeypatch.setattr("poster_service.browser.pool_record.PAUSES", (1_000.0,))
    spec = make_spec(installed(PROGRAMS[0]))
    pool = Pool(replace(spec, program=Path("/bin/false")), PoolSize(ready=1, capacity=1))
    for _ in range(2):
        with pytest.raises(ChromeNotStarted):
            await pool.start()
    pool.spec = spec
    await pool.start()
    assert pool.statistics().counts["ready"] == 1
    assert pool.statistics().failed_starts == 2
    await pool.close()
    assert left(spec.instance, spec.instance_dir) == []


@pytest.mark.slow
async def test_a_start_that_hangs_is_given_up_when_no_caller_wants_it(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """A Chrome that lost a part while it started says nothing; its own time may be long."""
    mute = tmp_path / "headless"
    mute.write_text("#!/bin/sh\nexec sleep 1000\n")
    mute.chmod(0o755)
    tmp_path.chmod(0o711)
    spec = make_spec(installed(PROGRAMS[0]))
    pool = Pool(spec, PoolSize(ready=1, capacity=4))
    await pool.start()
    assert await settled(lambda: pool.statistics().counts["ready"] == 1)
    pool.spec = replace(spec, program=mute, user=None, start_timeout=1_000)
    entry = pool._state.add()
    pool._tasks.start(pool._start(entry), f"start {entry.number}")
    assert await settled(lambda: entry.state is State.GONE)
    assert pool._record.failed_starts.in_a_row == 0
    assert pool.statistics().counts["ready"] == 1
    await pool.close()
    assert left(spec.instance, spec.instance_dir) == []
