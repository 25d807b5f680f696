"""One load test from start to end: load, chaos, looks, settling, the end of the service.

Everything that this starts it ends again, whatever happens in between.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from poster_service.loadtest.callers import PATIENCE_SECONDS, Caller, headers_of
from poster_service.loadtest.chaos import Chaos
from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.mix import Case, Mix
from poster_service.loadtest.outcomes import JudgedOutcome, Outcomes, Span, Verdict
from poster_service.loadtest.targets import CommandTarget, Target
from poster_service.loadtest.watch import Left, Look, Rest, Watch, flatness

#: When the service is sent SIGTERM, as shares of the whole run. Early, so that one long life is
#: left over which flatness can be judged.
RESTARTS, RESTARTS_OF_LONG_RUNS, LONG_RUN = (0.4,), (0.15, 0.35), 500
#: How long callers go on after SIGTERM before they wait for the next life, in seconds.
HEEDLESS_SECONDS = 0.3
#: How many failed renders are named.
NAMED = 10


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Attributes:
        renders: Requests to send, None for as many as fit the duration.
        duration: Seconds of load, None for as long as the renders take.
        settle: Seconds in which everything must have gone.
        token: Sent with every request; "" for none. In no report.
    """

    renders: int | None
    duration: float | None
    concurrency: int
    seed: int
    chaos: bool
    settle: float
    token: str = field(default="", repr=False)


@dataclass
class Result:
    """Everything that was seen.

    Attributes:
        looked: False with --no-census: what is left is not known.
        left: What was left, at rest and after the end.
        escaped: Processes that left the service's tree and had to be reaped by us.
        problems: Everything else that must not be, in sentences.
    """

    target: str
    plan: Plan
    looked: bool
    begun: float = field(default_factory=time.time)
    seconds: float = 0.0
    judged: list[JudgedOutcome] = field(default_factory=list)
    accounts: Outcomes = field(default_factory=Outcomes)
    numbers: list[dict[str, Any]] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    left: list[Left] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rest: Look | None = None

    @property
    def ok(self) -> bool:
        """Everything left is zero and no undisturbed render failed."""
        return not self.left and not self.problems

    def count(self, verdict: Verdict) -> int:
        """How many requests were counted so."""
        return sum(one.verdict is verdict for one in self.judged)

    def left_by_kind(self) -> Counter[str]:
        """How many of each kind were left."""
        return Counter(one.what for one in self.left)

    def flatness(self) -> dict[str, tuple[float, float]]:
        """First against last tenth of the longest life."""
        return flatness(self.numbers)


Show = Callable[["Run"], Coroutine[Any, Any, None]]


class Run:
    """Carries out a plan against a target."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan = plan
        self.target = target
        self.result = Result(target.name, plan, target.view is not None)
        self.accounts = self.result.accounts
        self.watch: Watch | None = None
        self._rest: Rest | None = None
        self._chaos: Chaos | None = None
        self._gate = asyncio.Event()
        self._gate.set()
        self._begin = 0.0
        self._sent = 0

    def clock(self) -> float:
        """Seconds since the load began; 0 before."""
        return time.monotonic() - self._begin if self._begin else 0.0

    def progress(self) -> float:
        """How much of the load is done, 0 to 1."""
        done = len(self.accounts.outcomes)
        by_number = done / self.plan.renders if self.plan.renders else 0.0
        by_time = self.clock() / self.plan.duration if self.plan.duration else 0.0
        return min(1.0, max(by_number, by_time))

    async def go(self, show: Show, at_rest: Callable[[Result], Awaitable[None]]) -> Result:
        """Run it all; `show` runs beside the load, `at_rest` before the service ends.

        Raises:
            CannotTest: There is nothing to test, or it cannot be looked at.
        """
        try:
            await self.target.start()
            await self._first_look()
            await self._load_with(show)
            await self._settle()
            await at_rest(self.result)
            await self._end()
        finally:
            await self.target.close()
        return self.result

    async def _first_look(self) -> None:
        self.result.looked = self.target.view is not None  # a container's view comes with it
        if self.target.view is None:
            return
        place = await self.target.place()
        self.watch = Watch(self.target.view, place, self.clock)
        self._chaos = Chaos(self.watch, self.accounts, self.clock)
        await self._follow()

    async def _follow(self) -> None:
        """Look at a service that has just come up until its leases stay as many as they are."""
        assert self.watch is not None
        await self.watch.follow(await self.target.place(), self.target.pid or None)
        look = await self.watch.look()
        give_up = time.monotonic() + self.plan.settle
        while time.monotonic() < give_up:
            await asyncio.sleep(0.3)
            before, look = look, await self.watch.look()
            if {one.key for one in before.rows} == {one.key for one in look.rows}:
                break
        self._rest = Rest(look)

    async def _load_with(self, show: Show) -> None:
        """The load, with everything that goes on beside it."""
        self._begin = time.monotonic()
        beside: list[asyncio.Task[None]] = [asyncio.create_task(show(self))]
        if self.watch is not None:
            beside.append(asyncio.create_task(self.watch.keep_looking()))
        restarts = asyncio.create_task(self._restart_in_time())
        try:
            await self._load()
            restarts.cancel()
            await asyncio.gather(restarts, return_exceptions=True)
        finally:
            for task in (*beside, restarts):
                task.cancel()
            ended = await asyncio.gather(*beside, restarts, return_exceptions=True)
            self.result.problems += [
                f"the load test itself failed: {one!r}"
                for one in ended
                if isinstance(one, Exception)
            ]
        self.result.seconds = self.clock()

    async def _load(self) -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        headers = headers_of(self.plan.token)
        async with aiohttp.ClientSession(
            timeout=timeout, connector=connector, headers=headers
        ) as client:
            templates = await templates_of(client, self.target.address)
            cases = iter(Mix(self.plan.seed, chaos=self.plan.chaos, templates=templates))
            caller = Caller(client, lambda: self.target.address, self.clock, self._gate.wait)
            async with asyncio.TaskGroup() as group:
                for _ in range(self.plan.concurrency):
                    group.create_task(self._work(caller, cases))

    async def _work(self, caller: Caller, cases: Iterator[Case]) -> None:
        """One caller after the other, until there is enough."""
        while self._goes_on():
            self._sent += 1
            case = next(cases)
            strike = self._strike(case)
            self.accounts.add(await caller.send(case))
            await strike

    def _goes_on(self) -> bool:
        if isinstance(self.target, CommandTarget) and self._gate.is_set() and self.target.left():
            return False
        in_time = self.plan.duration is None or self.clock() < self.plan.duration
        return in_time and (self.plan.renders is None or self._sent < self.plan.renders)

    def _strike(self, case: Case) -> "asyncio.Future[None]":
        """The hit of a case, under way beside it."""
        if case.hit and self._chaos is not None:
            return asyncio.ensure_future(self._chaos.strike(case))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def _restart_in_time(self) -> None:
        """SIGTERM in mid-load, as often as the plan says."""
        if not (self.plan.chaos and self.target.can_restart):
            return
        long = (self.plan.renders or 0) >= LONG_RUN or (self.plan.duration or 0) >= LONG_RUN / 4
        for share in RESTARTS_OF_LONG_RUNS if long else RESTARTS:
            while self.progress() < share:  # noqa: ASYNC110 - by the clock too, which tells nobody
                await asyncio.sleep(0.05)
            await asyncio.shield(asyncio.create_task(self._restart()))

    async def _restart(self) -> None:
        """End the service under load, see that nothing is left of it, start the next life."""
        span = Span(self.clock())
        self.accounts.restarts.append(span)
        closing = asyncio.get_running_loop().call_later(HEEDLESS_SECONDS, self._gate.clear)
        try:
            await self._stop_and_look("after SIGTERM in mid-load: ")
            self._gate.clear()
            if self.watch is not None:  # until the next life is known, no child of ours is lost
                await self.watch.follow(self.watch.place)
            await self.target.start()
            if self.watch is not None:
                self.watch.life += 1
                await self._follow()
        except CannotTest as error:
            self.result.problems.append(f"it did not come back after SIGTERM: {error}")
        finally:
            closing.cancel()
            span.end = self.clock()
            self._gate.set()

    async def _stop_and_look(self, when: str) -> None:
        if told := await self.target.stop():
            self.result.problems.append(when + told)
        if self.watch is None or self._rest is None or not self.target.pid:
            return
        _, left = await self.watch.settle(self._rest.left_after_end, self.plan.settle)
        self._add(left, when)

    def _add(self, left: list[Left], when: str = "") -> None:
        """Note what is left, each thing once."""
        known = {(one.what, one.pid, one.lease) for one in self.result.left}
        new = [one for one in left if one.pid == 0 or (one.what, one.pid, one.lease) not in known]
        self.result.left += [replace(one, told=when + one.told) for one in new]

    async def _settle(self) -> None:
        """After the load: let everything go that will go, and note what does not."""
        if isinstance(self.target, CommandTarget) and (told := self.target.left()):
            self.result.problems.append(told)
        elif self.watch is not None and self._rest is not None:
            await self._look_at_rest()
        if self._chaos is not None:
            await self._chaos.close()
            self.result.hits = self._chaos.counts
        if self.watch is not None:
            self.result.numbers = self.watch.numbers
        self._judge()

    async def _look_at_rest(self) -> None:
        """Let everything settle while the service lives, and note what does not."""
        if self.watch is None or self._rest is None:
            return
        try:
            self.result.rest, left = await self.watch.settle(self._rest.left, self.plan.settle)
        except CannotTest as error:  # its container is gone, and we were inside
            self.result.problems.append(str(error))
        else:
            self._add(left)

    def _judge(self) -> None:
        self.result.judged = self.accounts.judged()
        failed = [one.outcome for one in self.result.judged if one.verdict is Verdict.FAILED]
        for one in failed[:NAMED]:
            self.result.problems.append(
                f"render {one.case.index} ({one.case.name}) failed undisturbed:"
                f" {one.status} {one.code} after {one.seconds:.1f} s"
            )
        if len(failed) > NAMED:
            self.result.problems.append(f"{len(failed) - NAMED} more renders failed undisturbed")
        if more := self.accounts.unexplained(self.result.judged):
            self.result.problems.append(
                f"{more} more renders lost their Chrome than Chromes were hit"
            )
        if not self.result.count(Verdict.RENDERED):
            self.result.problems.append("not a single picture came")

    async def _end(self) -> None:
        """End what is ours and look again; what is not ours is looked at once more."""
        if self.target.pid:
            await self._stop_and_look("after the end: ")
        else:
            await self._look_at_rest()
            if told := await self.target.stop():
                self.result.problems.append(told)
        if self.watch is not None:
            self._add([
                Left("escaped", one.pid, one.lease, f"{one.command or one.name}; left the"
                     " service's tree and was reaped by the load test")
                for one in self.watch.escaped.values()
            ])  # fmt: skip


async def templates_of(client: aiohttp.ClientSession, address: str) -> list[tuple[str, Any]]:
    """Names and samples of the service's templates; none when it has no such thing."""
    with contextlib.suppress(aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        async with client.get(f"{address}/templates") as answer:
            if answer.status == 200:
                found = (await answer.json())["templates"]
                return [(one["name"], one["sample"]) for one in found]
    return []
