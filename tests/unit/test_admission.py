"""The gate: who runs, who waits, who is turned away, and that no slot is ever lost."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import Overloaded, Stopping
from poster_service.render.admission import Admission, AdmissionStatistics, Slot


async def turns(count: int = 5) -> None:
    """Let whatever is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


def gauges(gate: Admission) -> tuple[int, int]:
    """Who runs, who waits."""
    now = gate.statistics()
    return now.running, now.waiting


async def test_slots_are_given_up_to_the_limit_then_callers_wait_in_line() -> None:
    """First come, first served; who is served was the first to come."""
    gate = Admission(running=2, waiting=3)
    first, second = await gate.acquire(), await gate.acquire()
    order: list[int] = []

    async def come(number: int) -> Slot:
        slot = await gate.acquire()
        order.append(number)
        return slot

    tasks = [asyncio.create_task(come(number)) for number in range(3)]
    await turns()
    assert gauges(gate) == (2, 3)
    assert order == []
    first.free()
    second.free()
    await turns()
    assert order == [0, 1]
    tasks[0].result().free()
    assert [(await task) is not None for task in tasks] == [True] * 3
    assert order == [0, 1, 2]
    assert gauges(gate) == (2, 0)


async def test_who_finds_the_line_full_is_turned_away_at_once() -> None:
    """And counted, with a time to come back."""
    gate = Admission(running=1, waiting=0)
    slot = await gate.acquire()
    with pytest.raises(Overloaded) as caught:
        await gate.acquire()
    assert caught.value.retry_after >= 1
    assert gate.statistics() == AdmissionStatistics(running=1, waiting=0, refused=1)
    slot.free()
    (await gate.acquire()).free()


async def test_a_slot_is_freed_once_however_often_it_is_told() -> None:
    """A second time takes nothing from anybody."""
    gate = Admission(running=1, waiting=0)
    slot = await gate.acquire()
    slot.free()
    other = await gate.acquire()
    slot.free()
    assert gauges(gate) == (1, 0)
    with pytest.raises(Overloaded):
        await gate.acquire()
    other.free()
    assert gauges(gate) == (0, 0)


async def test_one_who_is_cancelled_in_line_leaves_it() -> None:
    """The others move up, and its place in the line is free at once."""
    gate = Admission(running=1, waiting=2)
    slot = await gate.acquire()
    first, second = asyncio.create_task(gate.acquire()), asyncio.create_task(gate.acquire())
    await turns()
    first.cancel()
    await turns()
    assert gauges(gate) == (1, 1)
    third = asyncio.create_task(gate.acquire())
    await turns()
    slot.free()
    (await second).free()
    (await third).free()
    assert gauges(gate) == (0, 0)
    assert first.cancelled()


async def test_a_slot_given_in_the_moment_of_the_cancellation_goes_on_to_the_next() -> None:
    """Freed first, cancelled before it could run: the slot must not be lost."""
    gate = Admission(running=1, waiting=2)
    slot = await gate.acquire()
    first, second = asyncio.create_task(gate.acquire()), asyncio.create_task(gate.acquire())
    await turns()
    slot.free()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    (await asyncio.wait_for(second, 10)).free()
    assert gauges(gate) == (0, 0)


async def test_a_cancellation_just_before_the_slot_passes_it_on() -> None:
    """Cancelled first, freed before it could run: the next in line is served."""
    gate = Admission(running=1, waiting=2)
    slot = await gate.acquire()
    first, second = asyncio.create_task(gate.acquire()), asyncio.create_task(gate.acquire())
    await turns()
    first.cancel()
    slot.free()
    (await asyncio.wait_for(second, 10)).free()
    assert first.cancelled()
    assert gauges(gate) == (0, 0)


async def test_after_closing_new_ones_are_turned_away_and_old_ones_served() -> None:
    """Those who run finish, those who wait get their turn."""
    gate = Admission(running=1, waiting=1)
    slot = await gate.acquire()
    waiting = asyncio.create_task(gate.acquire())
    await turns()
    before = gate.is_closed
    gate.close()
    assert (before, gate.is_closed) == (False, True)
    with pytest.raises(Stopping) as caught:
        await gate.acquire()
    assert caught.value.retry_after >= 1
    slot.free()
    (await waiting).free()
    await asyncio.wait_for(gate.wait_idle(), 10)


async def test_idle_is_when_nobody_runs_or_waits() -> None:
    """At the start, and again after the last one; a cancelled waiter counts for nothing."""
    gate = Admission(running=1, waiting=1)
    await asyncio.wait_for(gate.wait_idle(), 10)
    slot = await gate.acquire()
    waiting = asyncio.create_task(gate.acquire())
    await turns()
    idle = asyncio.create_task(gate.wait_idle())
    await turns()
    assert not idle.done()
    waiting.cancel()
    await turns()
    assert not idle.done()
    slot.free()
    await asyncio.wait_for(idle, 10)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1.0, 15.0, 1e6])
@pytest.mark.parametrize("waiting", [0, 1, 10, 5000])
async def test_the_time_to_come_back_is_sensible_whatever_happened(
    waiting: int, seconds: float
) -> None:
    """A whole second at least, a minute at most."""
    gate = Admission(running=1, waiting=waiting)
    slot = await gate.acquire()
    tasks = [asyncio.create_task(gate.acquire()) for _ in range(waiting)]
    await turns(2)
    gate._seconds = seconds  # the running mean, which only days of renders could bring there
    assert 1 <= gate.retry_after() <= 60
    assert isinstance(gate.retry_after(), int)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    slot.free()


async def test_the_longer_the_line_the_later_to_come_back() -> None:
    """It is an estimate, and never one that shrinks as the line grows."""
    gate = Admission(running=1, waiting=40)
    slot = await gate.acquire()
    told, tasks = [gate.retry_after()], []
    for _ in range(40):
        tasks.append(asyncio.create_task(gate.acquire()))
        await turns(2)
        told.append(gate.retry_after())
    assert told == sorted(told)
    assert told[-1] > told[0]
    slot.free()
    for task in tasks:
        (await task).free()


@given(
    seed=st.integers(0, 1 << 32), running=st.integers(1, 4), waiting=st.integers(0, 5),
    close=st.booleans(),
)  # fmt: skip
def test_a_random_walk_loses_no_slot_and_forgets_nobody(
    seed: int, running: int, waiting: int, close: bool
) -> None:
    """Whoever comes, leaves or is cut off, in whatever order: the books add up at every step."""
    asyncio.run(asyncio.wait_for(_walk(random.Random(seed), running, waiting, close), 30))


async def _walk(chance: random.Random, running: int, waiting: int, close: bool) -> None:
    gate = Admission(running=running, waiting=waiting)
    tasks: set[asyncio.Task[Slot]] = set()
    held: list[Slot] = []
    for _ in range(60):
        step = chance.choice(["come", "come", "free", "cancel", "turn", "free+cancel"])
        if step == "come":
            tasks.add(asyncio.create_task(gate.acquire()))
        if "free" in step and held:
            held.pop(chance.randrange(len(held))).free()
        if "cancel" in step and tasks:
            chance.choice(sorted(tasks, key=id)).cancel()
        if step == "turn":
            await turns(chance.randrange(1, 4))
        for task in [task for task in tasks if task.done()]:
            tasks.discard(task)
            if not task.cancelled() and task.exception() is None:
                held.append(task.result())
        now = gate.statistics()
        assert len(held) <= now.running <= running
        assert now.waiting <= waiting
        assert now.waiting == 0 or now.running == running, "somebody waits beside a free slot"
    if close:
        gate.close()
    while tasks or held:
        for slot in held:
            slot.free()
        held.clear()
        await turns()
        for task in [task for task in tasks if task.done()]:
            tasks.discard(task)
            if not task.cancelled() and task.exception() is None:
                held.append(task.result())
    assert gauges(gate) == (0, 0)
    await gate.wait_idle()
