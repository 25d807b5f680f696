"""The pool's state: legal moves only, never more than there is room for, no caller forgotten.

What the pool does to real Chromes is tested with real Chromes, elsewhere.
"""

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from poster_service.browser.chrome import Chrome
from poster_service.browser.pool import Lease, Pool, PoolSize
from poster_service.browser.pool_folder import open_instance_dir
from poster_service.browser.pool_state import MOVES, Capacity, PoolEntry, PoolState, State
from poster_service.browser.spec import ChromeSpec, Sandbox
from poster_service.errors import ChromeDied, ChromeNotStarted
from poster_service.process import census
from tests.conftest import left, settled

#: Of this process alone: two workers may run tests of this file at once.
INSTANCE = random.randrange(1, 1 << census.INSTANCE_BITS)
#: The state only carry it from hand to hand.
A_CHROME = cast("Chrome", object())

SOME_LIVE = (State.LEASED, State.READY, State.STARTING, State.RENEWING)


def has(waiter: "asyncio.Future[PoolEntry]", entry: PoolEntry) -> bool:
    """Whether one who waited was given this entry."""
    is_served = not waiter.cancelled() and waiter.exception() is None
    return is_served and waiter.result() is entry


class PoolStateMachine(RuleBasedStateMachine):
    """Starts, failures, leases, cut-offs and endings in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.state = PoolState(1, 0)
        self.waiters: list[asyncio.Future[PoolEntry]] = []
        self.gone_entries: list[PoolEntry] = []

    @initialize(capacity=st.integers(1, 4), ready=st.integers(0, 5))
    def open(self, capacity: int, ready: int) -> None:
        """Open the state, and start what they say."""
        self.state = PoolState(capacity, ready)
        self.state.to_start()

    def in_states(self, *states: State) -> list[PoolEntry]:
        """The entries in any of these states."""
        return [entry for entry in self.state.entries.values() if entry.state in states]

    @rule()
    def balance(self) -> None:
        """What the pool does after each change."""
        for entry in self.state.to_start():
            assert entry.state is State.STARTING

    @precondition(lambda self: self.in_states(State.STARTING))
    @rule(data=st.data())
    def started(self, data: st.DataObject) -> None:
        """A Chrome is there."""
        self.state.became_ready(
            data.draw(st.sampled_from(self.in_states(State.STARTING))), A_CHROME
        )

    @precondition(lambda self: self.in_states(State.STARTING))
    @rule(data=st.data())
    def failed(self, data: st.DataObject) -> None:
        """A Chrome did not come up."""
        self.removed(data.draw(st.sampled_from(self.in_states(State.STARTING))))

    @rule()
    def lease(self) -> None:
        """A caller wants one: at once if there is one, else in line."""
        if (entry := self.state.take()) is not None:
            assert entry.state is State.LEASED
            return
        waiter: asyncio.Future[PoolEntry] = self.loop.create_future()
        self.state.waiters.append(waiter)
        self.waiters.append(waiter)
        self.state.to_start()

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def cut_off(self, data: st.DataObject) -> None:
        """One who waits goes away."""
        waiter = data.draw(st.sampled_from(self.waiters))
        if not waiter.done():
            waiter.cancel()

    @precondition(lambda self: self.in_states(State.LEASED))
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        """A lease ends well and its Chrome is to have another."""
        entry = data.draw(st.sampled_from(self.in_states(State.LEASED)))
        before = entry.served
        self.state.renew(entry)
        assert entry.served == before + 1
        # The holder has given it back.
        self.waiters = [one for one in self.waiters if not (one.done() and has(one, entry))]

    @precondition(lambda self: self.in_states(State.RENEWING))
    @rule(data=st.data())
    def renewed(self, data: st.DataObject) -> None:
        """It is as good as new."""
        self.state.became_ready(
            data.draw(st.sampled_from(self.in_states(State.RENEWING))), A_CHROME
        )

    @rule(busy=st.integers(0, 5), ready=st.integers(0, 5))
    def expect(self, busy: int, ready: int) -> None:
        """Another number of callers is to be expected; only ready ones are ever too many."""
        self.state.busy, self.state.ready = busy, ready
        surplus = self.state.surplus()
        assert all(entry.state is State.READY for entry in surplus)
        left = self.state.count(State.READY, State.LEASED) - len(surplus)
        assert not surplus or left >= max(busy, ready)
        for entry in surplus:
            self.state.retire(entry)
        unwanted = self.state.unwanted()
        assert all(entry.state is State.STARTING for entry in unwanted)
        waiting = sum(not waiter.done() for waiter in self.waiters)
        ahead = self.state.count(State.STARTING, State.READY, State.RENEWING) - len(unwanted)
        assert not unwanted or ahead >= ready + waiting
        for entry in unwanted:
            self.removed(entry)

    @precondition(lambda self: self.in_states(*SOME_LIVE))
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        """A lease ends, a ready one dies; a second time changes nothing."""
        entries = self.in_states(*SOME_LIVE)
        entry = data.draw(st.sampled_from(entries))
        assert self.state.retire(entry)
        assert not self.state.retire(entry)

    @precondition(lambda self: self.in_states(State.RETIRING))
    @rule(data=st.data())
    def gone(self, data: st.DataObject) -> None:
        """Nothing is left of one."""
        self.removed(data.draw(st.sampled_from(self.in_states(State.RETIRING))))

    @rule()
    def give_up(self) -> None:
        """Chromes fail to start again and again."""
        self.state.fail_waiters(ChromeDied("none"))
        assert not self.state.waiters
        assert all(waiter.done() for waiter in self.waiters)

    def removed(self, entry: PoolEntry) -> None:
        """Take a entry out of the state; it never comes back."""
        self.state.remove(entry)
        self.gone_entries.append(entry)

    @invariant()
    def there_is_room(self) -> None:
        """All count until they are gone, those that are being ended too."""
        assert len(self.state.entries) <= self.state.capacity

    @invariant()
    def no_place_is_lost(self) -> None:
        """Every entry is in one state, known by its number, and removed ones are out."""
        assert self.state.count(*State) == len(self.state.entries)
        assert all(entry.number == number for number, entry in self.state.entries.items())
        assert self.state.count(State.GONE) == 0
        assert all(entry.state is State.GONE for entry in self.gone_entries)
        assert not {entry.number for entry in self.gone_entries} & self.state.entries.keys()

    @invariant()
    def no_caller_waits_beside_a_ready_chrome(self) -> None:
        """Who came first was served first, and by one Chrome of its own."""
        waiting = [waiter for waiter in self.waiters if not waiter.done()]
        assert not (waiting and self.in_states(State.READY))
        assert [one for one in self.state.waiters if not one.done()] == waiting
        served = [
            waiter.result()
            for waiter in self.waiters
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None
        ]
        assert len({entry.number for entry in served}) == len(served)

    @invariant()
    def who_waits_will_be_served(self) -> None:
        """After balancing there is a start under way for each who waits, or no room for one."""
        self.state.to_start()
        waiting = sum(not waiter.done() for waiter in self.waiters)
        coming = self.state.count(State.STARTING, State.RENEWING)
        full = len(self.state.entries) == self.state.capacity
        assert full or coming >= waiting
        ahead = self.state.count(State.STARTING, State.RENEWING, State.READY)
        assert full or ahead >= self.state.ready

    @invariant()
    def the_picture_tells_the_counts(self) -> None:
        """A failed test or a log line explains itself."""
        assert f"capacity {self.state.capacity}" in repr(self.state)
        assert f"{self.state.count(State.LEASED)} leased" in repr(self.state)

    def teardown(self) -> None:
        """Every waiter can get an answer, and everything ended."""
        self.state.fail_waiters(ChromeDied("over"))
        assert all(waiter.done() for waiter in self.waiters)
        for entry in list(self.state.entries.values()):
            self.state.retire(entry)
            self.removed(entry)
        assert not self.state.entries
        for waiter in self.waiters:
            if not waiter.cancelled():
                waiter.exception()
        self.loop.close()


PoolStateMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None
)
TestPoolState = PoolStateMachine.TestCase


ALL_MOVES = [(one, other) for one in State for other in State]


@pytest.mark.parametrize(("one", "other"), ALL_MOVES, ids=lambda state: state.value)
def test_only_the_moves_on_the_list_can_be_made(one: State, other: State) -> None:
    """Any other is a mistake of ours, and loud."""
    entry = PoolEntry(1)
    entry.state = one
    if other in MOVES[one]:
        entry.move(other)
        assert entry.state is other
        return
    with pytest.raises(AssertionError, match=f"{one.value} to {other.value}"):
        entry.move(other)
    assert entry.state is one


def test_every_state_has_a_way_out() -> None:
    """All ways end in GONE, and only there."""
    for state in State:
        seen = {state}
        while more := set().union(*(MOVES[one] for one in seen)) - seen:
            seen |= more
        assert State.GONE in seen
    assert MOVES[State.GONE] == set()


def test_the_one_that_has_been_ready_longest_is_leased_first() -> None:
    """So that none grows old."""
    state = PoolState(3, 3)
    first, second, _ = state.to_start()
    state.became_ready(second, A_CHROME)
    state.became_ready(first, A_CHROME)
    assert state.take() is second


def test_two_pools_share_their_room_and_their_numbers() -> None:
    """One needs what the other has idle; what a caller of the other waits for it does not get."""
    shared = Capacity(2)
    one, other = PoolState(shared, 2), PoolState(shared, 0)
    first, second = one.to_start()
    one.became_ready(first, A_CHROME)
    waiter: asyncio.Future[PoolEntry] = asyncio.Future(loop=asyncio.new_event_loop())
    other.waiters.append(waiter)
    assert other.to_start() == []
    assert (other.lacking(), one.lacking()) == (1, 0)
    assert one.idle() == [first]
    one.retire(first)
    assert other.lacking() == 0, "there will be room"
    one.remove(first)
    (third,) = other.to_start()
    assert len({first.number, second.number, third.number}) == 3
    assert one.to_start() == other.to_start() == []
    waiter.get_loop().close()


def test_a_lease_that_has_ended_cannot_be_used_again() -> None:
    """A caller that kept it gets no Chrome that is another's by now."""
    lease = Lease(A_CHROME)
    assert lease.chrome is A_CHROME
    lease.finish()
    with pytest.raises(RuntimeError, match="ended"):
        lease.chrome  # noqa: B018 - that is what is tried


# --- with programs that are no Chrome ----------------------------------------------------------


def spec(home: Path, program: str, start_timeout: float = 20.0) -> ChromeSpec:
    """What to start in Chrome's entry."""
    return ChromeSpec(Path(program), Sandbox.OFF, home, INSTANCE, start_timeout)


@pytest.mark.parametrize(
    ("program", "seconds", "message"),
    [
        ("/nonexistent/chrome", 20.0, "cannot start /nonexistent/chrome"),
        ("/bin/false", 20.0, "it exited at once"),
        ("/bin/cat", 20.0, "cat"),
    ],
)
async def test_a_chrome_that_does_not_come_up_leaves_nothing(
    work_dir: Path, program: str, seconds: float, message: str
) -> None:
    """Neither process nor folder nor entry in the state; the error says what it said."""
    pool = Pool(spec(work_dir / f"{INSTANCE:x}", program, seconds), PoolSize(ready=1, capacity=2))
    with pytest.raises(ChromeNotStarted, match=message):
        await pool.start()
    assert left(INSTANCE, work_dir / f"{INSTANCE:x}") == []
    statistics = pool.statistics()
    assert sum(statistics.counts.values()) == 0
    assert (statistics.failed_starts, statistics.started) == (1, 0)
    await pool.close()
    assert left(INSTANCE, work_dir) == []


async def test_a_chrome_that_never_answers_is_given_up(work_dir: Path) -> None:
    """In the time that was given, and it has ended."""
    program = work_dir / "silent"
    program.write_text("#!/bin/sh\nexec sleep 86400\n")
    program.chmod(0o755)
    pool = Pool(spec(work_dir / f"{INSTANCE:x}", str(program), 0.5), PoolSize(ready=1, capacity=1))
    with pytest.raises(ChromeNotStarted, match=r"not ready after 0\.5 s"):
        await pool.start()
    assert left(INSTANCE, work_dir / f"{INSTANCE:x}") == []
    await pool.close()


async def test_a_start_that_is_cut_off_leaves_nothing(work_dir: Path) -> None:
    """At every step of the start."""
    program = work_dir / "silent"
    program.write_text("#!/bin/sh\nexec sleep 86400\n")
    program.chmod(0o755)
    home = work_dir / f"{INSTANCE:x}"
    for turns in range(12):
        pool = Pool(spec(home, str(program)), PoolSize(ready=1, capacity=1))
        starting = asyncio.create_task(pool.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert left(INSTANCE, home) == []
        assert sum(pool.statistics().counts.values()) == 0
        await pool.close()


async def test_a_start_that_needed_the_backstop_is_counted_as_unclean(work_dir: Path) -> None:
    """What it left would be watched like any other survivor."""
    program = work_dir / "silent"
    program.write_text("#!/bin/sh\nexec sleep 86400\n")
    program.chmod(0o755)
    home = work_dir / f"{INSTANCE:x}"
    pool = Pool(spec(home, str(program)), PoolSize(ready=1, capacity=1))
    starting = asyncio.create_task(pool.start())
    assert await settled(lambda: len(list(census.tagged(INSTANCE))) == 2)
    (shim,) = (seen.pid for seen in census.tagged(INSTANCE) if seen.parent == os.getpid())
    os.kill(shim, signal.SIGKILL)
    with pytest.raises(ChromeNotStarted):
        await starting
    statistics = pool.statistics()
    assert (statistics.failed_starts, statistics.unclean, statistics.endings) == (1, 1, {})
    assert await settled(lambda: left(INSTANCE, home) == [])
    await pool.close()


@pytest.mark.parametrize("turns", range(4))
async def test_a_start_that_is_cut_off_again_while_it_ends_leaves_nothing(
    work_dir: Path, turns: int
) -> None:
    """What was started ends, also if the caller that waits for it is cancelled again and again."""
    program = work_dir / "silent"
    program.write_text("#!/bin/sh\nexec sleep 86400\n")
    program.chmod(0o755)
    home = work_dir / f"{INSTANCE:x}"
    pool = Pool(spec(home, str(program)), PoolSize(ready=1, capacity=1))
    starting = asyncio.create_task(pool.start())
    assert await settled(lambda: bool(left(INSTANCE, home)))
    starting.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert left(INSTANCE, home) == []
    await pool.close()
    assert list(work_dir.iterdir()) == [program]


async def test_a_work_folder_that_went_away_is_a_start_that_failed(work_dir: Path) -> None:
    """A cleaner emptied /tmp: an error of ours, so the pool tries again and loses no entry."""
    with pytest.raises(ChromeNotStarted):
        await Chrome.start(spec(work_dir / "missing", "/bin/false"), 1)


async def test_a_lease_folder_that_exists_already_is_a_start_that_failed(work_dir: Path) -> None:
    """Never shared, never taken over."""
    (work_dir / "1").mkdir()
    with pytest.raises(ChromeNotStarted):
        await Chrome.start(spec(work_dir, "/bin/false"), 1)


def test_the_work_folder_is_made_private(work_dir: Path) -> None:
    """No other user can read what Chromes write."""
    home = open_instance_dir(work_dir / "new" / "1", shared=False)
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert home.path.parent.stat().st_mode & 0o777 == 0o700
    home.close()


@pytest.mark.parametrize("blocked", ["file", "proc"])
def test_a_work_folder_that_cannot_be_had_names_the_variable(work_dir: Path, blocked: str) -> None:
    """One line for the operator."""
    (work_dir / "file").write_text("x")
    where = work_dir / "file" / "1" if blocked == "file" else Path("/proc/nowhere/1")
    with pytest.raises(ChromeNotStarted, match="POSTER_WORK_DIR="):
        open_instance_dir(where, shared=False)


def test_statistics_are_a_picture_that_does_not_change() -> None:
    """Frozen, with every state but the last."""
    pool = Pool(spec(Path("/nonexistent"), "/bin/false"), PoolSize(ready=1, capacity=1))
    statistics: Any = pool.statistics()
    assert statistics.counts == dict.fromkeys(
        ("starting", "ready", "leased", "renewing", "cleaning", "warm", "retiring"), 0
    )
    assert not pool.is_ready
    with pytest.raises(AttributeError):
        statistics.waiting = 5
