"""Leases, crashes, hang-ups, time-outs, stops in any order: the state match the process table.

A state machine drives a real pool of real Chromes. After each step the state are held against an
independent look at /proc and at the disk, which trusts neither `census` nor the pool: always for
what must never be, and where the step ends at rest for what must be there too.

No rule and no drawing depends on how far a Chrome has come, so that a run can be repeated: a rule
that finds nothing to act on does nothing.
"""

import asyncio
import contextlib
import functools
import logging
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from poster_service.browser.pool import Lease, Pool, PoolSize
from poster_service.browser.pool_record import PATIENCE
from poster_service.browser.pool_state import PoolEntry, PoolState, State
from poster_service.browser.spec import ChromeSpec, Sandbox, new_instance
from poster_service.browser.types import CaptureOptions, PageOptions, Reply, Request
from poster_service.errors import ChromeDied, RenderFailed, Stopping
from poster_service.process.forkserver import ForkServer
from tests.chrome.conftest import PROGRAMS, installed
from tests.conftest import SETTLE_SECONDS, settled

logger = logging.getLogger(__name__)

T = TypeVar("T")

# --- an independent look -----------------------------------------------------------------------

# Written out once more and not imported: a census that misreads its tags must not excuse itself.
RLIMIT_LOCKS = 10
MAGIC = 0x9057
INSTANCE_BITS, LEASE_BITS = 24, 22


@dataclass(frozen=True)
class Process:
    """One tagged process, as /proc shows it."""

    pid: int
    lease: int
    kind: str
    state: str
    parent: int

    @property
    def zombie(self) -> bool:
        """Whether it is dead and not waited for."""
        return self.state in "ZX"


def processes(instance: int) -> list[Process]:
    """Every process that carries a tag of an instance, zombies too."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, PermissionError):
            tag, _ = resource.prlimit(int(entry.name), RLIMIT_LOCKS)
            if tag >> LEASE_BITS == MAGIC << INSTANCE_BITS | instance:
                found.append(_process(entry, tag & ((1 << LEASE_BITS) - 1)))
    return found


def _process(entry: Path, lease: int) -> Process:
    """What proc(5) says of one: its state, its parent, and what it is to its Chrome."""
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    state, parent, session = fields[0], int(fields[1]), int(fields[3])
    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
    types = [word.removeprefix("--type=") for word in words if word.startswith("--type=")]
    kind = types[0] if types else "leader" if session == int(entry.name) else "other"
    if parent == os.getpid():
        kind = "shim"
    return Process(int(entry.name), lease, kind, state, parent)


def folders(home: Path) -> set[str]:
    """The lease folders on disk."""
    try:
        return {entry.name for entry in home.iterdir()}
    except FileNotFoundError:
        return set()


@dataclass
class Hits:
    """What was done to one Chrome from outside."""

    kinds: list[str] = field(default_factory=list)
    #: How it may end. On a busy machine even an untouched Chrome may leave at the end of its pipe
    #: before its shim has heard that it is to end it.
    reasons: set[str] = field(default_factory=lambda: {"asked", "exited"})
    while_starting: bool = False
    #: Leases that it had served when it was hit last; later ones had another page.
    served: int = 0

    @property
    def lost_shim(self) -> bool:
        """Its orphans go to init, which reaps them in its own time."""
        return "kill shim" in self.kinds


def never(
    state: PoolState, seen: list[Process], on_disk: set[str], hits: dict[int, Hits]
) -> list[str]:
    """What must not be at any moment, in words; an empty list is the promise."""
    entries = state.entries
    words = [
        f"{process} belongs to no Chrome in the state"
        for process in seen
        if process.lease not in entries
        and not (process.zombie and process.lease in hits and hits[process.lease].lost_shim)
    ]
    words += [
        f"folder {name} of no Chrome in the state" for name in on_disk - set(map(str, entries))
    ]
    if len(entries) > state.capacity:
        words.append(f"more Chromes than there is room for: {state}")
    if any(not waiter.done() for waiter in state.waiters) and state.count(State.READY):
        words.append(f"a caller waits beside a ready Chrome: {state}")
    return words


def at_rest(
    state: PoolState, seen: list[Process], on_disk: set[str], hits: dict[int, Hits]
) -> list[str]:
    """What is wrong where nothing is under way: what must never be, and what is missing."""
    words = never(state, seen, on_disk, {})
    for entry in state.entries.values():
        own = [process for process in seen if process.lease == entry.number]
        if entry.number not in hits:
            words += _whole(entry, own, on_disk)
    waiting = sum(not waiter.done() for waiter in state.waiters)
    ready = state.count(State.READY)
    if waiting and len(state.entries) < state.capacity:
        words.append(f"a caller waits and there is room: {state}")
    returning = max(0, state.busy - state.count(State.LEASED))
    if ready > state.ready + returning and not waiting:
        words.append(f"more are kept ready than were asked for: {state}")
    if ready < state.ready and len(state.entries) < state.capacity:
        words.append(f"fewer are kept ready than were asked for: {state}")
    return words


def _whole(entry: PoolEntry, own: list[Process], on_disk: set[str]) -> list[str]:
    """What is missing of a Chrome that the test did not touch."""
    words = [f"{one} of a live Chrome is not waited for" for one in own if one.zombie]
    kinds = {one.kind for one in own if not one.zombie}
    missing = {"shim", "leader", "zygote", "renderer"} - kinds
    if missing:
        words.append(f"Chrome {entry.number} ({entry.state.value}) has no {sorted(missing)}: {own}")
    shims = [one.pid for one in own if one.kind == "shim"]
    if entry.chrome is None or shims != [entry.chrome.group.shim_pid]:
        words.append(f"Chrome {entry.number} has the shims {shims}, not the one in the state")
    if str(entry.number) not in on_disk:
        words.append(f"Chrome {entry.number} has no folder")
    return words


# --- what is done to a page --------------------------------------------------------------------

SMALL = CaptureOptions(
    PageOptions(20, 20, 1, (0, 0, 0, 0)),
    format="png", quality=None, full_page=False, background=(0, 0, 0, 0), max_pixels=10_000,
)  # fmt: skip
#: Pages that never end: one waits for a picture, one keeps its renderer busy.
ENDLESS = ("<img src='never.png'>", "<script>for (;;);</script>")
#: How long a Chrome that was hit may take to fail a render before the deadline does.
PATIENCE_WITH_THE_HIT = 1.0


async def paint(html: str, lease: Lease) -> None:
    """One whole render; a picture in a page never comes."""

    async def route(request: Request) -> Reply | None:
        if request.kind != "Document":
            await asyncio.Event().wait()
        return Reply(200, (("Content-Type", "text/html"),), html.encode())

    page = lease.chrome.page
    await page.set_up(SMALL.page)
    await page.loading.load(route)
    await page.wait_painted()
    assert (await page.capture(SMALL)).startswith(b"\x89PNG")


@dataclass
class Hold:
    """A caller that wants a lease, waits for it or has it, and what became of that."""

    number: int | None = None
    todo: "asyncio.Queue[Callable[[Lease], Awaitable[None]] | None]" = field(
        default_factory=asyncio.Queue
    )
    #: What was alive of its Chrome each time a report said that nothing is.
    reported_gone: list[list[Process]] = field(default_factory=list)
    used: bool = False
    busy: bool = False
    ending: bool = False
    cut: bool = False
    timed: bool = False
    stopped: bool = False
    task: "asyncio.Task[None] | None" = None

    @property
    def over(self) -> bool:
        """Whether its block has been left."""
        return self.task is not None and self.task.done()


class Complaints(logging.Handler):
    """Keeps what the pool logs with a traceback: mistakes of its own, never of a Chrome."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.exc_info:
            self.texts.append(self.format(record))


HITS = (
    "kill leader", "kill renderer", "kill zygote", "kill shim", "crash page",
    "stop leader", "stop renderer", "stop zygote", "stop shim",
)  # fmt: skip
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "crash": signal.SIGSEGV}
WHICH = st.integers(0, 7)
DELAY = st.floats(0, 0.2)


class PoolMachine(RuleBasedStateMachine):
    """A real pool, driven from all sides at once."""

    #: How many shims may be stopped while they end their Chrome: ten seconds until the backstop.
    ending_shims_to_stop = 0
    #: How many renders a Chrome serves.
    renders = 1

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.script_errors = Complaints()
        self.loop.set_exception_handler(
            lambda _, context: self.script_errors.texts.append(f"the loop: {context}")
        )
        logging.getLogger("poster_service").addHandler(self.script_errors)
        self.program = installed(PROGRAMS[0])
        self.work = Path(tempfile.mkdtemp(prefix="pm-"))
        self.rest = True
        self.steps: list[str] = []
        self.holds: list[Hold] = []
        self.pool: Pool | None = None
        self.server = ForkServer()

    # --- the pool's life

    @initialize(capacity=st.integers(1, 3), ready=st.integers(0, 2))
    def open(self, capacity: int, ready: int) -> None:
        """A pool with a number and a folder of its own."""
        self.run(self.opened(capacity, ready, None))

    @rule(
        capacity=st.integers(1, 3),
        ready=st.integers(0, 2),
        cut=st.none() | DELAY,
        cancels=st.booleans(),
    )
    def close_and_open(self, capacity: int, ready: int, cut: float | None, cancels: bool) -> None:
        """The pool stops in the state that it is in; another life begins, perhaps at second try."""
        self.run(self.closed(cancels))
        self.run(self.opened(capacity, ready, cut))
        self.rest = True

    async def opened(self, capacity: int, ready: int, cut: float | None) -> None:
        """Start a pool; first cut its start off after `cut` seconds, which leaves nothing."""
        instance = new_instance()
        sandbox = Sandbox.OFF if os.geteuid() == 0 else Sandbox.ON
        home = self.work / f"{instance:x}"
        spec = ChromeSpec(
            self.program, sandbox, home, instance, 60, renders=self.renders, server=self.server
        )
        self.hits: dict[int, Hits] = {}
        self.cut_starts = 0
        self.pool = Pool(spec, PoolSize(ready=ready, capacity=capacity))
        if cut is not None:
            starting = asyncio.create_task(self.pool.start())
            await asyncio.sleep(cut)  # a moment by lot, not a condition
            starting.cancel()
            await asyncio.wait([starting])
            if not starting.cancelled():
                starting.result()
                return
            self.cut_starts = self.given_out()
            self.happened(f"a start is cut off: begun={bool(self.cut_starts)}")
            assert processes(instance) == []
            assert folders(spec.instance_dir) == set()
            assert not self.state.entries
        await self.pool.start()
        self.happened(f"opened: capacity {capacity}, ready {ready}")

    async def closed(self, cancels: bool) -> None:
        """Close the pool; nothing is left, and every holder and waiter gets an error."""
        assert self.pool is not None
        pool, spec = self.pool, self.pool.spec
        for hold in self.holds:
            hold.stopped = True
        self.happened(f"closed: {self.statistics.counts}")
        closing = asyncio.create_task(pool.close())
        if cancels:  # callers go while the pool closes, not after
            await asyncio.sleep(0)
            for hold in self.holds:
                self.end(hold, cancels)
        await asyncio.wait_for(closing, SETTLE_SECONDS * 2)
        seen = processes(spec.instance)
        assert [one for one in seen if one.lease not in self.shims_lost()] == []
        assert [one for one in seen if not one.zombie] == []
        assert await settled(lambda: not processes(spec.instance)), processes(spec.instance)
        assert not self.state.entries, pool
        assert list(self.work.iterdir()) == []
        with pytest.raises(Stopping):
            await pool.lease().__aenter__()
        for hold in self.holds:
            self.end(hold, cancels=False)
        assert await settled(lambda: all(hold.over for hold in self.holds))
        self.look_at_the_finished()
        self.look_at_the_numbers()
        assert not self.holds
        self.pool = None

    def teardown(self) -> None:
        """After any history the pool closes and leaves no process, folder or lock."""
        try:
            if self.pool is not None:
                self.run(self.closed(cancels=True))
            assert self.script_errors.texts == []
        finally:
            logging.getLogger("poster_service").removeHandler(self.script_errors)
            self.loop.run_until_complete(asyncio.sleep(0))  # what was cancelled last ends
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.server.close()
            self.loop.close()
            with contextlib.suppress(OSError):
                self.work.rmdir()

    # --- those who want leases

    @rule(rest=st.booleans())
    def lease(self, rest: bool) -> None:
        """A caller wants a lease; up to two more than there is room for."""
        if len(self.holds) >= self.state.capacity + 2:
            return
        self.run(self.began())
        self.rest = rest

    @rule(which=WHICH, rest=st.booleans())
    def release(self, which: int, rest: bool) -> None:
        """A lease ends, or a wait that would have."""
        if hold := self.one(which, [hold for hold in self.holds if not hold.ending]):
            self.end(hold, cancels=False)
        self.rest = rest

    @rule(which=WHICH, rest=st.booleans())
    def hang_up(self, which: int, rest: bool) -> None:
        """A caller goes, whether it waits, holds or renders."""
        if hold := self.one(which, self.holds):
            self.end(hold, cancels=True)
        self.rest = rest

    @rule(rest=st.booleans())
    def hang_up_when_served(self, rest: bool) -> None:
        """A caller goes in the very moment in which it is given a Chrome."""
        self.run(self.left_when_served())
        self.rest = rest

    @rule(which=WHICH, rest=st.booleans())
    def render(self, which: int, rest: bool) -> None:
        """A render that ends by itself: with a picture, unless its Chrome was hit."""
        self.work_on(which, "<body style='background: green'>", SETTLE_SECONDS, None)
        self.rest = rest

    @rule(which=WHICH, delay=DELAY, endless=st.booleans(), rest=st.booleans())
    def render_cut_off(self, which: int, delay: float, endless: bool, rest: bool) -> None:
        """A caller hangs up somewhere in its render."""
        self.work_on(which, ENDLESS[0] if endless else "<p>hello", SETTLE_SECONDS, delay)
        self.rest = rest

    @rule(which=WHICH, html=st.sampled_from(ENDLESS), rest=st.booleans())
    def render_times_out(self, which: int, html: str, rest: bool) -> None:
        """A page that never ends is ended by the deadline."""
        self.work_on(which, html, 0.3, None)
        self.rest = rest

    @rule(delay=DELAY)
    def let_time_pass(self, delay: float) -> None:
        """What is under way goes on for a moment by lot."""
        self.run(asyncio.sleep(delay))
        self.rest = False

    # --- what is done to Chromes from outside

    @rule(which=WHICH, kind=st.sampled_from(HITS), rest=st.booleans())
    def hit(self, which: int, kind: str, rest: bool) -> None:
        """A Chrome, ready or at work, loses a process, or one is stopped, or its page crashes."""
        entries = self.in_states(State.READY, State.LEASED)
        if not entries:
            self.run(self.given(which))
            entries = self.in_states(State.READY, State.LEASED)
        if entry := self.one(which, entries):
            self.run(self.harmed(entry, kind))
        self.rest = rest

    @rule(rest=st.booleans())
    def kill_what_forks_shims(self, rest: bool) -> None:
        """The server dies: nothing that it forked is lost, and no start fails for it."""
        if (pid := self.server.pid) is not None:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and the loop has not heard
        self.rest = rest

    @rule(kind=st.sampled_from(("kill leader", "kill shim")), delay=DELAY, rest=st.booleans())
    def hit_a_start(self, kind: str, delay: float, rest: bool) -> None:
        """A Chrome dies while it is being started."""
        if not self.in_states(State.STARTING) and len(self.state.entries) < self.state.capacity:
            self.run(self.began())
        self.run(asyncio.sleep(delay / 2))  # a moment by lot, not a condition
        for entry in self.in_states(State.STARTING)[:1]:
            self.run(self.harmed(entry, kind))
        self.rest = rest

    @rule(which=WHICH, kind=st.sampled_from(("kill shim", "stop shim")), rest=st.booleans())
    def hit_an_end(self, which: int, kind: str, rest: bool) -> None:
        """A shim dies, or is stopped, while it ends its Chrome."""
        if kind == "stop shim":
            if not self.ending_shims_to_stop:
                return
            self.ending_shims_to_stop -= 1
        if not self.in_states(State.RETIRING):
            self.end(self.run(self.given(which)), cancels=True)
            self.run(settled(lambda: bool(self.in_states(State.RETIRING)), 1.0))
        if entry := self.one(which, self.in_states(State.RETIRING)):
            self.run(self.harmed(entry, kind))
        self.rest = rest

    # --- what must hold

    @invariant()
    def the_state_match_the_process_table(self) -> None:
        """At once for what must never be; where the step ends at rest also for what must be."""
        if self.pool is None:
            return
        with self.reported():
            seen, on_disk = self.look()
            assert never(self.state, seen, on_disk, self.hits) == []
            self.look_at_the_finished()
            self.look_at_the_numbers()
        if self.rest:
            self.run(self.rested())

    async def rested(self) -> None:
        """Let everything that is under way come to its end, then compare all."""
        assert await settled(self.is_at_rest), f"{self.pool} does not come to rest: {self.holds}"
        wrong: list[str] = []

        def matches() -> bool:
            wrong[:] = at_rest(self.state, *self.look(), self.hits)
            return not wrong

        assert await settled(matches), wrong
        self.look_at_the_finished()
        self.look_at_the_numbers()
        assert self.statistics.waiting == sum(hold.number is None for hold in self.holds)

    def is_at_rest(self) -> bool:
        """Whether nothing starts, ends, or is about to."""
        assert self.pool is not None
        # Any part of a ready Chrome may be hit: the pool finds it out and replaces the Chrome.
        noticed = not any(
            entry.number in self.hits and self.hits[entry.number].served == entry.served
            for entry in self.in_states(State.READY)
        )
        asked = all(hold.over for hold in self.holds if hold.ending)
        idle = not self.state.count(State.STARTING, State.RETIRING) and not self.pool._tasks
        return noticed and asked and idle

    def look_at_the_finished(self) -> None:
        """Who is done ended as it was made to, and one report said that nothing is left."""
        for hold in [hold for hold in self.holds if hold.over]:
            assert hold.task is not None
            if not hold.task.cancelled():
                self.happened(f"a lease ends with {type(hold.task.exception()).__name__}")
                error = hold.task.exception()
                assert error is None or isinstance(error, self.expected(hold)), (hold, error)
            else:
                self.happened(
                    f"a lease is cut off: used={hold.used} given={hold.number is not None}"
                )
                assert hold.cut, hold
            entry = self.state.entries.get(hold.number or 0)
            if entry is None:
                # One that was renewed had its report then, and its Chrome has ended since.
                assert len(hold.reported_gone) == 1, hold
                assert hold.reported_gone == [[]] or self.renders > 1, hold
                self.holds.remove(hold)
            elif hold.reported_gone:
                assert self.renders > 1, hold
                assert len(hold.reported_gone) == 1, hold
                self.holds.remove(hold)
            else:
                assert entry.state in (State.RETIRING, State.RENEWING), entry.state

    def expected(self, hold: Hold) -> tuple[type[BaseException], ...]:
        """The errors that one's block may be left with."""
        errors: list[type[BaseException]] = []
        if hold.timed:
            errors.append(TimeoutError)
        if hold.number is not None and (hold.stopped or hold.number in self.hits):
            errors.append(RenderFailed)
        if hold.number is None and hold.stopped:
            errors.append(Stopping)
        if hold.number is None and self.statistics.failed_starts >= PATIENCE:
            errors.append(ChromeDied)
        return tuple(errors)

    def look_at_the_numbers(self) -> None:
        """What the pool counted adds up with what was done to it."""
        reported, hits, entries = self.statistics, self.hits, self.state.entries
        endings = {"asked": 0, "exited": 0, "lost": 0, "late": 0, "term": 0} | reported.endings
        gone = {number: hit for number, hit in hits.items() if number not in entries}
        ended = reported.started - sum(entry.chrome is not None for entry in entries.values())
        assert sum(endings.values()) == ended, reported
        for reason in ("lost", "late", "term"):
            may = sum(reason in hit.reasons for hit in gone.values())
            must = sum({reason} == hit.reasons for hit in gone.values())
            assert must <= endings[reason] <= may, (reason, reported, hits)
        assert endings["asked"] + endings["exited"] >= ended - len(gone), (reported, hits)
        starts = sum(hit.while_starting and hit.lost_shim for hit in gone.values())
        assert 0 <= reported.unclean - endings["lost"] - endings["late"] <= starts, (reported, hits)
        assert reported.survivors == ()
        assert reported.failed_starts <= sum(hit.while_starting for hit in gone.values()), (
            reported,
            hits,
        )
        given_out = self.given_out()
        starting = self.state.count(State.STARTING)
        counted = reported.started + reported.failed_starts + self.cut_starts + starting
        assert counted == given_out or not entries, (reported, given_out)

    # --- means

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """One step of the pool's own loop."""
        with self.reported():
            return self.loop.run_until_complete(work)

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Log what failed first: hypothesis tries again, and real processes may fail otherwise."""
        try:
            yield
        except Exception:
            logger.exception("failed after: %s", "; ".join(self.steps))
            raise

    def happened(self, what: str) -> None:
        """Keep it for a failure and for the statistics (`--hypothesis-show-statistics`)."""
        self.steps.append(what)
        event(what)

    @property
    def state(self) -> PoolState:
        """The state of the pool there is."""
        assert self.pool is not None
        return self.pool._state

    @property
    def statistics(self) -> Any:
        """What the pool tells of itself."""
        assert self.pool is not None
        return self.pool.statistics()

    def given_out(self) -> int:
        """How many Chromes were ever entered in the state."""
        # By its text, which names the next: from Python 3.14 on no iterator can be copied.
        return int(repr(self.state.shared._numbers).removeprefix("count(").removesuffix(")")) - 1

    def look(self) -> tuple[list[Process], set[str]]:
        """The process table and the disk, as they are now."""
        assert self.pool is not None
        return processes(self.pool.spec.instance), folders(self.pool.spec.instance_dir)

    def shims_lost(self) -> set[int]:
        """Chromes whose shim was killed."""
        return {number for number, hit in self.hits.items() if hit.lost_shim}

    def in_states(self, *states: State) -> list[PoolEntry]:
        """The entries in any of these states."""
        return [entry for entry in self.state.entries.values() if entry.state in states]

    def one(self, which: int, among: list[T]) -> T | None:
        """One of several by lot, None where there is none."""
        return among[which % len(among)] if among else None

    async def began(self) -> Hold:
        """A caller asks for a lease; returns when it has it, or waits."""
        hold = Hold()
        hold.task = asyncio.create_task(self.held(hold))
        self.holds.append(hold)
        waiting = len(self.state.waiters)
        await settled(
            lambda: hold.number is not None or len(self.state.waiters) > waiting or hold.over
        )
        return hold

    async def given(self, which: int) -> Hold:
        """One who has a lease not used yet; a new one if there is none, and who waits if need be.

        Where all Chromes are held by those who have used theirs, one of them goes first.
        """
        fresh = [h for h in self.holds if h.number is not None and not (h.used or h.ending)]
        if hold := self.one(which, fresh):
            return hold
        used = [h for h in self.holds if h.number is not None and not h.ending]
        if len(used) >= self.state.capacity and (hold := self.one(which, used)):
            self.end(hold, cancels=False)
        waiting = [hold for hold in self.holds if hold.number is None and not hold.ending]
        hold = waiting[0] if waiting else await self.began()
        assert await settled(lambda: hold.number is not None or hold.over), (self.pool, hold)
        return hold

    async def held(self, hold: Hold) -> None:
        """A lease that is open until an order to end, and obeys other orders meanwhile."""
        assert self.pool is not None
        instance = self.pool.spec.instance

        def gone() -> None:
            seen = processes(instance)
            lost = self.shims_lost()
            hold.reported_gone.append(
                [p for p in seen if p.lease == hold.number and not (p.zombie and p.lease in lost)]
            )

        async with self.pool.lease(gone) as lease:
            hold.number = int(lease.chrome.group.command.folder.name)
            while (work := await hold.todo.get()) is not None:
                await work(lease)
                hold.busy = False

    def end(self, hold: Hold, cancels: bool) -> None:
        """Have a lease's block left, by its own end or by a cancellation."""
        assert hold.task is not None
        cancels = cancels or hold.busy or hold.number is None
        hold.ending = True
        if cancels and not hold.task.done():
            hold.cut = True
            hold.task.cancel()
        elif not cancels:
            hold.todo.put_nowait(None)

    async def left_when_served(self) -> None:
        """Ask for a lease and hang up before the task that asked can run with what it got."""
        if len(self.holds) >= self.state.capacity:
            return
        hold = await self.began()
        if hold.number is None and not hold.over:
            waiter = self.state.waiters[-1]
            give_up = self.loop.time() + SETTLE_SECONDS
            while not waiter.done() and self.loop.time() < give_up:  # noqa: ASYNC110
                # Every turn of the loop: only so is the moment hit between giving and taking.
                await asyncio.sleep(0)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                hold.number = waiter.result().number  # it is to hear of this one's end
        self.end(hold, cancels=True)

    def work_on(self, which: int, html: str, seconds: float, cut: float | None) -> None:
        """Render on a lease that has not rendered yet; wait until it is done or cut it off."""
        hold = self.run(self.given(which))
        if hold.number is not None and not hold.over:
            self.run(self.worked(hold, html, seconds, cut))

    async def worked(self, hold: Hold, html: str, seconds: float, cut: float | None) -> None:
        """One render to its end, a success or not."""
        if hold.number in self.hits:
            seconds = min(seconds, PATIENCE_WITH_THE_HIT)
        hold.used = hold.busy = True
        hold.timed = seconds < SETTLE_SECONDS

        async def work(lease: Lease) -> None:
            async with asyncio.timeout(seconds):
                await paint(html, lease)

        hold.todo.put_nowait(work)
        if cut is not None:
            await asyncio.sleep(cut)  # a moment by lot, not a condition
            self.end(hold, cancels=True)
            return
        assert await settled(lambda: hold.over or not hold.busy, 2 * SETTLE_SECONDS), hold

    async def harmed(self, entry: PoolEntry, kind: str) -> None:
        """Do one Chrome harm, if it has what is to be harmed, and note what may come of it."""
        verb, _, what = kind.partition(" ")
        alive = entry.chrome if entry.chrome and not entry.chrome.lost.done() else None
        # Chrome does not crash a page that waits at its address: that one dies by a fault.
        by_word = kind == "crash page" and alive and alive.page._requests.has_document
        if kind == "crash page" and alive and not by_word:
            what = "renderer"
        aims = [p for p in self.look()[0] if p.lease == entry.number and p.kind == what]
        aims = [process for process in aims if not process.zombie]
        if alive and by_word:
            alive.page._session.send("Page.crash")
        elif not aims:
            return
        hits = self.hits.setdefault(entry.number, Hits())
        hits.served = entry.served
        if entry.state is State.STARTING:
            hits.while_starting = True
        if kind == "kill shim":
            # While it lives and nothing else has happened there is no other way for it to end.
            sure = entry.state in (State.READY, State.LEASED) and not hits.kinds
            hits.reasons = {"lost"} if sure else hits.reasons | {"lost"}
        elif kind == "stop shim" and entry.state is State.RETIRING:
            hits.reasons.add("late")
        self.happened(f"{kind} while {entry.state.value}")
        hits.kinds.append(kind)
        for process in aims:
            os.kill(process.pid, SIGNALS[verb])


class LongPoolMachine(PoolMachine):
    """The same, longer, with a shim that is stopped while it ends its Chrome."""

    ending_shims_to_stop = 1


class SharedPoolMachine(PoolMachine):
    """The same where a Chrome serves three renders, each in a browser context of its own."""

    renders = 3


class EnduringPoolMachine(LongPoolMachine):
    """The long one with many examples."""


class EnduringSharedPoolMachine(SharedPoolMachine):
    """The shared one with many examples."""


#: Not shrunk: a run takes seconds, and its steps are printed as they are. Nothing is filtered, so
#: no health check is in the way.
common = functools.partial(
    settings,
    deadline=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
# The same sequences each time, so that the quick suite does not find something new on a busy day.
PoolMachine.TestCase.settings = common(max_examples=4, stateful_step_count=12, derandomize=True)
# New sequences on every desk; where CI is set, hypothesis itself takes the same each time.
LongPoolMachine.TestCase.settings = common(max_examples=5, stateful_step_count=25)
SharedPoolMachine.TestCase.settings = common(max_examples=3, stateful_step_count=20)

EnduringPoolMachine.TestCase.settings = common(max_examples=60, stateful_step_count=40)
EnduringSharedPoolMachine.TestCase.settings = common(max_examples=60, stateful_step_count=40)

TestPool = PoolMachine.TestCase
TestSharedPool = pytest.mark.slow(pytest.mark.timeout(600)(SharedPoolMachine.TestCase))
TestPoolForLong = pytest.mark.slow(pytest.mark.timeout(600)(LongPoolMachine.TestCase))
enduring = pytest.mark.timeout(7200)
TestEnduringPool = pytest.mark.endurance(enduring(EnduringPoolMachine.TestCase))
TestEnduringSharedPool = pytest.mark.endurance(enduring(EnduringSharedPoolMachine.TestCase))


# --- the check can fail ------------------------------------------------------------------------


async def test_what_the_state_do_not_know_is_reported(work_dir: Path) -> None:
    """A live process, a zombie, a folder, a missing Chrome: each is reported, and none without."""
    instance = new_instance()
    sandbox = Sandbox.OFF if os.geteuid() == 0 else Sandbox.ON
    spec = ChromeSpec(installed(PROGRAMS[0]), sandbox, work_dir / f"{instance:x}", instance, 20)
    pool = Pool(spec, PoolSize(ready=1, capacity=2))
    await pool.start()
    state = pool._state

    def wrong() -> list[str]:
        return at_rest(state, processes(instance), folders(spec.instance_dir), {})

    def reported(*words: str) -> bool:
        return any(all(word in line for word in words) for line in wrong())

    assert await settled(lambda: not wrong()), wrong()
    stray = subprocess.Popen(["sleep", "600"])
    try:
        tag = (MAGIC << INSTANCE_BITS | instance) << LEASE_BITS | 77
        resource.prlimit(stray.pid, RLIMIT_LOCKS, (tag, resource.RLIM_INFINITY))
        words = (f"pid={stray.pid}", "lease=77", "state='S'", "no Chrome in the state")
        assert await settled(lambda: reported(*words)), wrong()
        assert never(state, processes(instance), folders(spec.instance_dir), {}) == wrong()
        stray.kill()
        assert await settled(lambda: reported(f"pid={stray.pid}", "state='Z'"))
    finally:
        stray.kill()
        stray.wait()
    assert wrong() == []
    (spec.instance_dir / "77").mkdir()
    assert reported("folder 77")
    (spec.instance_dir / "77").rmdir()
    assert wrong() == []
    ghost = state.add()
    ghost.move(State.READY)
    assert reported(f"Chrome {ghost.number} (ready) has no ['leader'")
    assert reported(f"Chrome {ghost.number} has no folder")
    del state.entries[ghost.number]
    await pool.close()
    assert processes(instance) == []
