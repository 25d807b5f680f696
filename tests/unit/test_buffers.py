"""The budget of what is in transit: refused, waited for, given back, and never locked up."""

import asyncio
import random

import pytest

from poster_service.buffers import SMALL, STALLED_SECONDS, Buffers
from poster_service.errors import Overloaded

LIMIT = 8 * SMALL


async def turns() -> None:
    """Let all that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_large_ones_leave_room_for_small_ones() -> None:
    """Three quarters are for all sizes, the last one for what is small."""
    buffers = Buffers(LIMIT)
    with buffers.open() as large, buffers.open() as other:
        large.require(LIMIT * 3 // 4)
        with pytest.raises(Overloaded) as caught:
            other.require(SMALL + 1)
        assert caught.value.retry_after >= 1
        assert buffers.refused == 1
        other.require(SMALL)
        with buffers.open() as third:
            third.require(SMALL)
            with pytest.raises(Overloaded), buffers.open() as fourth:
                fourth.require(1)
    assert buffers.used == 0


async def test_one_at_a_time_may_go_beyond_and_the_others_wait_for_it() -> None:
    """Pictures larger than all of the room are made one after the other."""
    buffers = Buffers(LIMIT)
    order: list[int] = []
    ends = [asyncio.Event() for _ in range(3)]

    async def make(number: int) -> None:
        with buffers.open() as share:
            await share.fit(2 * LIMIT)
            order.append(number)
            await ends[number].wait()

    tasks = [asyncio.create_task(make(number)) for number in range(3)]
    await turns()
    assert order == [0]
    with buffers.open() as small, pytest.raises(Overloaded):
        small.require(1)
    tasks[1].cancel()
    ends[0].set()
    await turns()
    assert order == [0, 2]
    ends[2].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (buffers.used, buffers.statistics()["waiting"]) == (0, 0)


async def test_what_comes_is_paused_where_there_is_no_room() -> None:
    """The future is done when there is, or when it has ended."""
    buffers = Buffers(LIMIT)
    with buffers.open() as first, buffers.open() as second:
        assert first.add(LIMIT + 1) is None  # the one that may go beyond
        assert first.add(LIMIT) is None
        pause = second.add(1)
        assert pause is not None
        assert not pause.done()
        first.set(10)
        assert pause.done()
        assert second.add(1) is None
    with buffers.open() as first, buffers.open() as second:
        first.add(LIMIT + 1)
        pause = second.add(1)
        second.close()
        assert pause is not None
        assert pause.cancelled()
        assert second.add(5) is None
    assert buffers.used == 0


def test_a_stalled_peer_gives_way_and_a_lively_one_does_not() -> None:
    """The longest stalled first, and no more of them than needed."""
    now = 0.0
    buffers = Buffers(LIMIT, clock=lambda: now)
    gone: list[str] = []
    with buffers.open() as a, buffers.open() as b, buffers.open() as c, buffers.open() as new:
        for name, share in (("a", a), ("b", b), ("c", c)):
            now += 1
            share.waits_for(lambda name=name: gone.append(name))  # type: ignore[misc]
            share.require(2 * SMALL)
        with pytest.raises(Overloaded):
            new.require(SMALL + 1)
        assert gone == []
        now += STALLED_SECONDS
        a.moved()
        new.require(SMALL + 1)
        assert gone == ["b"]
        assert (buffers.evicted, b.size) == (1, 0)
        c.waits_for(None)  # it waits for none any more
        with pytest.raises(Overloaded), buffers.open() as another:
            another.require(2 * SMALL)
        assert gone == ["b"]


def test_a_body_that_is_sent_to_several_counts_once() -> None:
    """It lies in memory once."""
    buffers = Buffers(LIMIT)
    body = bytes(1000)
    with buffers.sending(body, lambda: None):
        with buffers.sending(body, lambda: None), buffers.sending(bytes(10), lambda: None):
            assert buffers.used == 1010
        assert buffers.used == 1000
    assert buffers.used == 0


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_locks_up_and_nothing_is_lost(seed: int) -> None:
    """Bodies, pictures and answers of all sizes, cancelled anywhere: all is given back."""
    chance = random.Random(seed)
    buffers = Buffers(LIMIT)

    async def one() -> None:
        with buffers.open() as share:
            for part in range(chance.randrange(1, 5)):
                share.require(part * chance.randrange(SMALL))
                await asyncio.sleep(0)
            for _ in range(chance.randrange(8)):
                if (room := share.add(chance.randrange(LIMIT))) is not None:
                    await room
                await asyncio.sleep(0)
            await share.fit(chance.randrange(2 * LIMIT))
        with buffers.sending(bytes(chance.randrange(SMALL)), lambda: None):
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(one()) for _ in range(60)]
    for task in chance.sample(tasks, 20):
        await asyncio.sleep(0)
        task.cancel()
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert {type(one) for one in done} <= {type(None), Overloaded, asyncio.CancelledError}
    assert (buffers.used, buffers.statistics()["waiting"]) == (0, 0)
