"""The gate: who runs, who waits, who is turned away, and that no slot is ever lost."""

import asyncio
import contextlib
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import Overloaded, Stopping
from poster_service.render.admission import Admission, AdmissionStatistics, Slot
from poster_service.render.running_mean import RunningMean


async def turns(count: int = 5) -> None:
    """Let all that is ready run."""
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


async def test_a_slot_is_freed_once_however_often_it_is_freed() -> None:
    """A second time takes no slot from another render."""
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
    (await asyncio.wait_for(second, 60)).free()
    assert gauges(gate) == (0, 0)


async def test_a_cancellation_just_before_the_slot_passes_it_on() -> None:
    """Cancelled first, freed before it could run: the next in line is served."""
    gate = Admission(running=1, waiting=2)
    slot = await gate.acquire()
    first, second = asyncio.create_task(gate.acquire()), asyncio.create_task(gate.acquire())
    await turns()
    first.cancel()
    slot.free()
    (await asyncio.wait_for(second, 60)).free()
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
    await asyncio.wait_for(gate.wait_idle(), 60)


async def test_idle_is_when_no_render_runs_or_waits() -> None:
    """At the start, and again after the last one; a cancelled waiter counts for nothing."""
    gate = Admission(running=1, waiting=1)
    await asyncio.wait_for(gate.wait_idle(), 60)
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
    await asyncio.wait_for(idle, 60)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1.0, 15.0, 1e6])
@pytest.mark.parametrize("waiting", [0, 1, 10, 5000])
async def test_the_time_to_come_back_is_sensible_after_any_history(
    waiting: int, seconds: float
) -> None:
    """A whole second at least, a minute at most."""
    gate = Admission(running=1, waiting=waiting)
    slot = await gate.acquire()
    tasks = [asyncio.create_task(gate.acquire()) for _ in range(waiting)]
    await turns(2)
    gate.holding.seconds = seconds  # the running mean, which only days of renders could bring there
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
    reported, tasks = [gate.retry_after()], []
    for _ in range(40):
        tasks.append(asyncio.create_task(gate.acquire()))
        await turns(2)
        reported.append(gate.retry_after())
    assert reported == sorted(reported)
    assert reported[-1] > reported[0]
    slot.free()
    for task in tasks:
        (await task).free()


@pytest.mark.slow
@given(
    seed=st.integers(0, 1 << 32), running=st.integers(1, 4), waiting=st.integers(0, 5),
    close=st.booleans(),
)  # fmt: skip
def test_a_random_walk_loses_no_slot_and_forgets_no_caller(
    seed: int, running: int, waiting: int, close: bool
) -> None:
    """Callers that come, leave or are cut off, in any order: the books add up at every step."""
    asyncio.run(asyncio.wait_for(_walk(random.Random(seed), running, waiting, close), 60))


async def _walk(chance: random.Random, running: int, waiting: int, close: bool) -> None:
    gate = Admission(running=running, waiting=waiting)
    gate.holding.seconds = chance.choice(
        [0.0, 0.001, 1.0]
    )  # or no render with little time would ever wait
    tasks: set[asyncio.Task[Slot]] = set()
    held: list[Slot] = []
    for _ in range(60):
        step = chance.choice(["come", "come", "free", "cancel", "turn", "free+cancel", "time"])
        if step == "come":
            patience = chance.choice([math.inf, 60.0, 0.0, 0.002])
            name = chance.choice(["", "a", "b"])
            tasks.add(asyncio.create_task(gate.acquire(name, in_seconds(patience))))
        if step == "time":  # some deadlines pass meanwhile, perhaps in the moment of a slot
            await asyncio.sleep(0.003)
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
        assert now.waiting == 0 or now.running == running, "a render waits beside a free slot"
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


async def at_work(gate: Admission, seconds: float = 1.0) -> Slot:
    """The one slot of a gate that has come to know how long renders take."""
    slot = await gate.acquire()
    gate.holding.seconds = seconds  # the running mean, after many renders of that length
    return slot


def in_seconds(seconds: float) -> float:
    """A deadline."""
    return asyncio.get_running_loop().time() + seconds


async def test_who_would_be_too_late_is_reported_at_once_and_when_to_come_back() -> None:
    """By the running mean: each turn takes 10 s, three are before it, it has 25 s; 15 too few."""
    gate = Admission(running=1, waiting=9)
    slot = await at_work(gate, 10.0)
    waiting = [asyncio.create_task(gate.acquire()) for _ in range(3)]
    await turns()
    assert gate.expected_wait("") == 40.0
    with pytest.raises(Overloaded) as caught:
        await gate.acquire("", in_seconds(25))
    assert caught.value.retry_after in (15, 16)  # some microseconds have passed
    assert gate.statistics() == AdmissionStatistics(running=1, waiting=3, refused=1, callers=1)
    patient = asyncio.create_task(gate.acquire("", in_seconds(60)))
    await turns()
    assert gauges(gate) == (1, 4)
    slot.free()
    for task in (*waiting, patient):
        (await task).free()


async def test_one_of_another_caller_has_fewer_before_it() -> None:
    """The estimate knows of the turns: a flood of one caller makes another wait for one."""
    gate = Admission(running=1, waiting=9)
    slot = await at_work(gate, 10.0)
    flood = [asyncio.create_task(gate.acquire("flood")) for _ in range(5)]
    await turns()
    assert (gate.expected_wait("flood"), gate.expected_wait("other")) == (60.0, 20.0)
    other = asyncio.create_task(gate.acquire("other", in_seconds(25)))
    await turns()
    assert not other.done()
    slot.free()
    for task in (flood[0], other, *flood[1:]):
        (await task).free()


async def test_whose_time_passes_in_line_leaves_it_at_that_moment() -> None:
    """Without a slot, and its place is free; the alarm of one who was served is switched off."""
    gate = Admission(running=1, waiting=1)
    slot = await at_work(gate, 0.001)
    late = asyncio.create_task(gate.acquire("a", in_seconds(0.05)))
    await turns()
    assert gauges(gate) == (1, 1)
    with pytest.raises(Overloaded) as caught:
        await asyncio.wait_for(late, 60)
    assert caught.value.retry_after >= 1
    assert gate.statistics() == AdmissionStatistics(running=1, waiting=0, refused=1)
    served = asyncio.create_task(gate.acquire("a", in_seconds(0.05)))
    await turns()
    slot.free()
    held = await served
    await asyncio.sleep(0.1)
    assert gauges(gate) == (1, 0)
    held.free()
    await asyncio.wait_for(gate.wait_idle(), 60)


async def test_a_deadline_that_has_passed_takes_no_place() -> None:
    """Refused at once, also by a gate that knows of quick renders only."""
    gate = Admission(running=1, waiting=1)
    slot = await at_work(gate, 0.0)
    with pytest.raises(Overloaded):
        await gate.acquire("", in_seconds(-1))
    assert gauges(gate) == (1, 0)
    slot.free()


async def test_slots_go_round_the_callers_and_each_line_is_first_come_first_served() -> None:
    """A thousand of one and two of another: the other waits for one of them each time."""
    gate = Admission(running=1, waiting=1100)
    slot = await gate.acquire("flood")
    order: list[str] = []

    async def come(caller: str, number: int) -> None:
        held = await gate.acquire(caller)
        order.append(f"{caller} {number}")
        held.free()

    tasks = [asyncio.create_task(come("flood", number)) for number in range(1000)]
    await turns()
    tasks += [asyncio.create_task(come("small", number)) for number in range(2)]
    await turns()
    slot.free()
    await asyncio.gather(*tasks)
    assert order[:5] == ["flood 0", "small 0", "flood 1", "small 1", "flood 2"]
    assert order[4:] == [f"flood {number}" for number in range(2, 1000)]


async def test_a_full_line_makes_room_for_a_caller_with_fewer() -> None:
    """The last of the longest line is refused; never for one who has as many."""
    gate = Admission(running=1, waiting=4)
    slot = await gate.acquire("flood")
    flood = [asyncio.create_task(gate.acquire("flood")) for _ in range(4)]
    await turns()
    with pytest.raises(Overloaded):
        await gate.acquire("flood")
    small = [asyncio.create_task(gate.acquire("small")) for _ in range(2)]
    await turns()
    assert gauges(gate) == (1, 4)
    for evicted in flood[2:]:
        with pytest.raises(Overloaded):
            await evicted
    for caller in ("small", "flood"):  # two and two: shared out
        with pytest.raises(Overloaded):
            await gate.acquire(caller)
    slot.free()
    for task in (flood[0], small[0], flood[1], small[1]):
        (await task).free()
    assert gauges(gate) == (0, 0)


@given(
    seed=st.integers(0, 1 << 32), running=st.integers(1, 3), waiting=st.integers(1, 8),
    callers=st.integers(2, 4),
)  # fmt: skip
def test_no_caller_starves_beside_any_others(
    seed: int, running: int, waiting: int, callers: int
) -> None:
    """While a caller waits, each other caller is served at most once before it; lines are FIFO.

    And one with no place yet gets one, unless no other has two more than it.
    """
    chance = random.Random(seed)
    asyncio.run(asyncio.wait_for(_fair(chance, running, waiting, callers), 60))


async def _fair(chance: random.Random, running: int, waiting: int, callers: int) -> None:
    gate = Admission(running=running, waiting=waiting)
    held: list[Slot] = []
    lines: dict[str, list[asyncio.Task[Slot]]] = {f"caller {n}": [] for n in range(callers)}
    served: dict[str, list[str]] = {name: [] for name in lines}  # since its head came to be that

    def look() -> None:
        for name, line in lines.items():
            for task in [one for one in line if one.done() and one.exception() is not None]:
                assert task is line[-1], "who is sent away is the last of its line"
                line.remove(task)
            given = [task for task in line if task.done()]
            assert given == line[: len(given)], "a line is first come, first served"
            for task in given:
                line.remove(task)
                held.append(task.result())
                assert len(served[name]) == len(set(served[name])), (name, served[name])
                served[name] = []
                for other, seen in served.items():
                    if other != name and lines[other]:
                        seen.append(name)

    for _ in range(80):
        # The first caller floods.
        name = chance.choice([*lines, *["caller 0"] * callers])
        if chance.random() < 0.6:
            before = {one: len(line) for one, line in lines.items()}
            if not lines[name]:
                served[name] = []
            task = asyncio.create_task(gate.acquire(name))
            lines[name].append(task)
            await turns()
            full = sum(before.values()) >= waiting and gate.statistics().running == running
            refused = task.done() and task.exception() is not None
            if refused:
                assert full
                assert max(before.values()) <= before[name] + 1
        elif held:
            held.pop(chance.randrange(len(held))).free()
            await turns()
        look()
        now = gate.statistics()
        assert now.waiting == sum(map(len, lines.values())) <= waiting
        assert now.callers == sum(map(bool, lines.values()))
    while held:
        held.pop().free()
        await turns()
        look()
    assert gauges(gate) == (0, 0)


async def test_nothing_is_known_in_the_beginning_and_no_caller_refused_for_it() -> None:
    """A cold start: all who find a place wait, and the first render teaches."""
    gate = Admission(running=2, waiting=8)
    assert gate.needed == 0
    slots = [await gate.acquire("", in_seconds(5)) for _ in range(2)]
    tasks = [asyncio.create_task(gate.acquire("", in_seconds(5))) for _ in range(6)]
    await turns()
    assert gauges(gate) == (2, 6)
    for slot in slots:
        slot.rendered()
        slot.free()
    assert gate.mean_seconds < 1
    for task in tasks:
        slot = await task
        slot.rendered()
        slot.free()
    assert gauges(gate) == (0, 0)


async def test_one_who_would_have_no_time_left_to_render_is_refused_at_once() -> None:
    """Its turn would come in time, and its picture would not."""
    gate = Admission(running=1, waiting=8)
    gate.holding.seconds = gate.rendering.seconds = 4.0
    slot = await gate.acquire()
    with pytest.raises(Overloaded) as caught:
        await gate.acquire("", in_seconds(6))
    assert 1 <= caught.value.retry_after <= 4
    waiting = asyncio.create_task(gate.acquire("", in_seconds(8)))
    await turns()
    assert gauges(gate) == (1, 1)
    slot.free()
    (await waiting).free()


async def test_one_whose_turn_comes_too_late_gives_it_to_the_next() -> None:
    """It gets an error then, and no slot is lost on it."""
    gate = Admission(running=1, waiting=8)
    gate.holding.seconds = 0.01  # or it would be refused already
    slot = await gate.acquire()
    late = asyncio.create_task(gate.acquire("", in_seconds(5)))
    patient = asyncio.create_task(gate.acquire("", in_seconds(500)))
    await turns()
    gate.rendering.seconds = 10.0
    slot.free()
    with pytest.raises(Overloaded):
        await late
    (await patient).free()
    assert gauges(gate) == (0, 0)
    assert gate.statistics().refused == 1


async def test_a_wrong_estimate_does_not_refuse_for_ever() -> None:
    """With any estimate a free slot is given, and the time that this took corrects it."""
    gate = Admission(running=1, waiting=8)
    gate.holding.seconds = gate.rendering.seconds = 1000.0
    gate.holding.count = gate.rendering.count = 100
    served = 0
    for _ in range(200):
        slot = await gate.acquire("", in_seconds(5))
        try:
            waiter = asyncio.create_task(gate.acquire("", in_seconds(5)))
            await turns()
            assert waiter.done() == (gate.mean_seconds + gate.needed > 5)
        finally:
            slot.rendered()
            slot.free()
        with contextlib.suppress(Overloaded):
            other = await waiter
            served += 1
            other.rendered()
            other.free()
    assert served > 100
    assert gate.mean_seconds < 5


@pytest.mark.parametrize("slow", [60.0, 600.0])
def test_one_very_slow_render_is_not_taken_for_the_usual(slow: float) -> None:
    """It counts, and not by all of its length; many of them are the usual."""
    mean = RunningMean(1.0)
    for _ in range(50):
        mean.add(0.5)
    mean.add(slow)
    assert mean.seconds < 0.8
    for _ in range(100):
        mean.add(slow)
    assert mean.seconds == pytest.approx(slow, rel=0.1)
    for _ in range(100):
        mean.add(0.5)
    assert mean.seconds == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("seed", range(10))
async def test_with_loads_of_all_kinds_no_slot_is_lost_and_all_are_reported(seed: int) -> None:
    """Quick and slow ones, patient and not: each has a slot or a refusal, and none is kept."""
    chance = random.Random(seed)
    gate = Admission(running=2, waiting=6)

    async def one() -> str:
        try:
            slot = await gate.acquire(chance.choice("abc"), in_seconds(chance.random() / 5))
        except Overloaded:
            return "refused"
        try:
            await asyncio.sleep(chance.choice([0, 0.001, 0.02]))
            slot.rendered()
        finally:
            slot.free()
        return "served"

    reported = await asyncio.gather(*(one() for _ in range(60)))
    assert set(reported) <= {"served", "refused"}
    assert reported.count("served") >= 2
    assert gauges(gate) == (0, 0)
    (await gate.acquire("", in_seconds(0.1))).free()


def test_who_waited_and_who_is_slow_are_distinguished() -> None:
    """A render that had its usual time has a slow page; one that had none has lost it in line."""
    gate = Admission(running=1, waiting=1)
    gate.rendering.seconds = 0.0
    assert not Slot(gate, waited=0.0).waited_in_vain
    assert Slot(gate, waited=5.0).waited_in_vain
    slow = Slot(gate, waited=1e-6)
    slow._begin -= 3  # it has been painted for three seconds
    assert not slow.waited_in_vain
    gate.rendering.seconds = 2.0
    assert slow.waited_in_vain


async def test_a_background_render_waits_until_no_other_waits() -> None:
    """After any time, and also if it came first."""
    gate = Admission(running=1, waiting=5)
    slot = await gate.acquire_background("a")
    background = [asyncio.create_task(gate.acquire_background(one)) for one in "ab"]
    await turns()
    others = [asyncio.create_task(gate.acquire(one)) for one in "cd"]
    await turns()
    assert gate.statistics() == AdmissionStatistics(1, 2, 0, 2, background=2)
    slot.free()
    for waiting in (*others, *background):
        await turns()
        assert waiting.done()
        waiting.result().free()
    assert gate.statistics() == AdmissionStatistics(0, 0, 0)


async def test_background_renders_take_no_place_of_the_others_and_are_refused_at_the_end() -> None:
    """Their jobs wait elsewhere; the service need not wait for them to stop."""
    gate = Admission(running=1, waiting=1)
    slot = await gate.acquire()
    background = [asyncio.create_task(gate.acquire_background()) for _ in range(9)]
    waiting = asyncio.create_task(gate.acquire())
    await turns()
    background[0].cancel()
    gate.close()
    await turns()
    assert background[0].cancelled()
    assert all(isinstance(one.exception(), Stopping) for one in background[1:])
    with pytest.raises(Stopping):
        await gate.acquire_background()
    slot.free()
    (await waiting).free()
    await asyncio.wait_for(gate.wait_idle(), 10)


@given(st.lists(st.sampled_from(["render", "background", "free", "cancel"]), max_size=60))
def test_background_renders_in_any_order_of_events(events: list[str]) -> None:
    """No slot is lost, none is given beyond the limit, and none to them while others wait."""

    async def walk() -> None:
        gate = Admission(running=2, waiting=100)
        held: list[Slot] = []
        kinds: dict[str, list[asyncio.Task[Slot]]] = {"render": [], "background": []}
        for event in events:
            if event in kinds:
                get = gate.acquire if event == "render" else gate.acquire_background
                kinds[event].append(asyncio.create_task(get()))
            elif event == "free" and held:
                held.pop(0).free()
            elif event == "cancel":
                for task in (*kinds["background"][:1], *kinds["render"][:1]):
                    task.cancel()
            await turns()
            for tasks in kinds.values():
                held += [one.result() for one in tasks if one.done() and not one.cancelled()]
                tasks[:] = [one for one in tasks if not one.done()]
            now = gate.statistics()
            assert now.running == len(held) <= 2
            assert now.background == len(kinds["background"])
            assert now.waiting == len(kinds["render"])
            assert now.running == 2 or not (now.background or now.waiting)
        while held:
            waiting, background = len(kinds["render"]), len(kinds["background"])
            held.pop(0).free()
            await turns()
            for tasks in kinds.values():
                held += [one.result() for one in tasks if one.done() and not one.cancelled()]
                tasks[:] = [one for one in tasks if not one.done()]
            if waiting:
                assert (len(kinds["render"]), len(kinds["background"])) == (waiting - 1, background)
        assert gate.statistics() == AdmissionStatistics(0, 0, 0)

    asyncio.run(walk())
