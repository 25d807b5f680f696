"""One load test from start to end: load, chaos, snapshots, settling, the end of the service.

It ends everything that it starts, after any failure in between too.
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
from poster_service.loadtest.command_target import CommandTarget
from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.mix import Case, Mix
from poster_service.loadtest.outcomes import JudgedOutcome, Outcomes, Span, Verdict
from poster_service.loadtest.targets import Target
from poster_service.loadtest.watch import Left, Rest, Snapshot, Watch, flatness

#: When the service gets SIGTERM, as shares of the whole run. Early, so that the service then runs
#: for long enough to compare its beginning with its end.
RESTARTS, RESTARTS_OF_LONG_RUNS, LONG_RUN = (0.4,), (0.15, 0.35), 500
#: How long callers go on after SIGTERM before they wait for the restarted service, in seconds.
SEND_ON_SECONDS = 0.3
#: How many failed renders are listed.
MAX_LISTED = 10


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        renders: Requests to send, None for as many as fit the duration.
        duration: Seconds of load, None for as long as the renders take.
        concurrency: Requests at a time.
        seed: Of the sequence of requests.
        chaos: Whether to disturb the service.
        settle: Seconds within which everything must have gone.
        token: Bearer token of every request; "" for none. Left out of every report.
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
    """Everything that was found.

    Attributes:
        checked: False with --no-census: what is left is not known.
        left: What was left, at rest and after the end.
        problems: Everything else that is wrong, in sentences.
        before: The service at rest, when it last started.
        rest: The service at rest after the load.
    """

    target: str
    plan: Plan
    checked: bool
    begun: float = field(default_factory=time.time)
    seconds: float = 0.0
    judged: list[JudgedOutcome] = field(default_factory=list)
    outcomes: Outcomes = field(default_factory=Outcomes)
    numbers: list[dict[str, Any]] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    left: list[Left] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    before: Snapshot | None = None
    rest: Snapshot | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is left and no undisturbed render failed."""
        return not self.left and not self.problems

    def count(self, verdict: Verdict) -> int:
        """How many requests have this verdict."""
        return sum(one.verdict is verdict for one in self.judged)

    def left_by_kind(self) -> Counter[str]:
        """How many things of each kind were left."""
        return Counter(one.what for one in self.left)

    def flatness(self) -> dict[str, tuple[float, float]]:
        """Medians of the first and the last tenth of the service's longest run."""
        return flatness(self.numbers)

    def resources(self) -> dict[str, tuple[int, int]]:
        """What the service holds at rest, before the load and after it, for each resource.

        During the load descriptors vary by how many Chromes and callers there are: six for each
        Chrome.
        """
        before, rest = (one.resources.get("service") if one else None
                        for one in (self.before, self.rest))  # fmt: skip
        if before is None or rest is None:
            return {}
        return {name: (before[name], rest[name]) for name in before if name in rest}


Show = Callable[["Run"], Coroutine[Any, Any, None]]


class Run:
    """Carries out a plan against a target."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan = plan
        self.target = target
        self.result = Result(target.name, plan, target.view is not None)
        self.outcomes = self.result.outcomes
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
        """The share of the load that is done, 0 to 1."""
        done = len(self.outcomes.all)
        by_number = done / self.plan.renders if self.plan.renders else 0.0
        by_time = self.clock() / self.plan.duration if self.plan.duration else 0.0
        return min(1.0, max(by_number, by_time))

    async def go(self, show: Show, at_rest: Callable[[Result], Awaitable[None]]) -> Result:
        """Run it all; `show` runs during the load, `at_rest` before the service is ended.

        Raises:
            CannotTest: There is no service, or its processes cannot be inspected.
        """
        try:
            await self.target.start()
            await self._begin_watching()
            await self._load_with(show)
            await self._settle()
            await at_rest(self.result)
            await self._end()
        finally:
            await self.target.close()
        return self.result

    async def _begin_watching(self) -> None:
        self.result.checked = self.target.view is not None  # a container's view exists once it runs
        if self.target.view is None:
            return
        place = await self.target.place()
        self.watch = Watch(self.target.view, place, self.clock)
        self._chaos = Chaos(self.watch, self.outcomes, self.clock)
        await self._follow()

    async def _follow(self) -> None:
        """Watch a service that has just started until its processes stay the same."""
        assert self.watch is not None
        await self.watch.follow(await self.target.place(), self.target.pid or None)
        snapshot = await self.watch.snapshot()
        give_up = time.monotonic() + self.plan.settle
        while time.monotonic() < give_up:
            await asyncio.sleep(0.3)
            before, snapshot = snapshot, await self.watch.snapshot()
            if {one.key for one in before.rows} == {one.key for one in snapshot.rows}:
                break
        self._rest = Rest(snapshot)
        self.result.before = snapshot

    async def _load_with(self, show: Show) -> None:
        """Run the load, and everything that goes on during it."""
        self._begin = time.monotonic()
        companions: list[asyncio.Task[None]] = [asyncio.create_task(show(self))]
        if self.watch is not None:
            companions.append(asyncio.create_task(self.watch.keep_watching()))
        restarts = asyncio.create_task(self._restart_at_shares())
        try:
            await self._load()
            restarts.cancel()
            await asyncio.gather(restarts, return_exceptions=True)
        finally:
            for task in (*companions, restarts):
                task.cancel()
            ended = await asyncio.gather(*companions, restarts, return_exceptions=True)
            self.result.problems += [
                f"the load test itself failed: {error!r}"
                for error in ended
                if isinstance(error, Exception)
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
        """Send one request after another until the plan is done."""
        while self._goes_on():
            self._sent += 1
            case = next(cases)
            hit = self._hit(case)
            self.outcomes.add(await caller.send(case))
            await hit

    def _goes_on(self) -> bool:
        if isinstance(self.target, CommandTarget) and self._gate.is_set() and self.target.left():
            return False
        in_time = self.plan.duration is None or self.clock() < self.plan.duration
        return in_time and (self.plan.renders is None or self._sent < self.plan.renders)

    def _hit(self, case: Case) -> "asyncio.Future[None]":
        """The hit of a case, which happens while its request runs."""
        if case.hit and self._chaos is not None:
            return asyncio.ensure_future(self._chaos.hit(case))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def _restart_at_shares(self) -> None:
        """Restart the service during the load, as often as the plan requires."""
        if not (self.plan.chaos and self.target.can_restart):
            return
        long = (self.plan.renders or 0) >= LONG_RUN or (self.plan.duration or 0) >= LONG_RUN / 4
        for share in RESTARTS_OF_LONG_RUNS if long else RESTARTS:
            while self.progress() < share:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.05)
            await asyncio.shield(asyncio.create_task(self._restart()))

    async def _restart(self) -> None:
        """End the service under load, check that nothing is left, start it again."""
        span = Span(self.clock())
        self.outcomes.restarts.append(span)
        closing = asyncio.get_running_loop().call_later(SEND_ON_SECONDS, self._gate.clear)
        try:
            await self._stop_and_check("after SIGTERM during the load: ")
            self._gate.clear()
            if self.watch is not None:  # a child of ours is not taken for escaped meanwhile
                await self.watch.follow(self.watch.place)
            await self.target.start()
            if self.watch is not None:
                self.watch.life += 1
                await self._follow()
        except CannotTest as error:
            self.result.problems.append(f"the service did not start again after SIGTERM: {error}")
        finally:
            closing.cancel()
            span.end = self.clock()
            self._gate.set()

    async def _stop_and_check(self, when: str) -> None:
        if problem := await self.target.stop():
            self.result.problems.append(when + problem)
        if self.watch is None or self._rest is None or not self.target.pid:
            return
        _, left = await self.watch.settle(self._rest.left_after_end, self.plan.settle)
        self._add(left, when)

    def _add(self, left: list[Left], when: str = "") -> None:
        """Record what is left, each thing once."""
        known = {(one.what, one.pid, one.lease) for one in self.result.left}
        new = [one for one in left if one.pid == 0 or (one.what, one.pid, one.lease) not in known]
        self.result.left += [replace(one, detail=when + one.detail) for one in new]

    async def _settle(self) -> None:
        """After the load: wait until everything has gone, and record what has not."""
        if isinstance(self.target, CommandTarget) and (problem := self.target.left()):
            self.result.problems.append(problem)
        elif self.watch is not None and self._rest is not None:
            await self._check_at_rest()
        if self._chaos is not None:
            await self._chaos.close()
            self.result.hits = self._chaos.counts
        if self.watch is not None:
            self.result.numbers = self.watch.numbers
        self._judge()

    async def _check_at_rest(self) -> None:
        """Wait until nothing is left while the service runs, and record what is."""
        if self.watch is None or self._rest is None:
            return
        try:
            self.result.rest, left = await self.watch.settle(self._rest.left, self.plan.settle)
        except CannotTest as error:  # its container is gone, and our view with it
            self.result.problems.append(str(error))
        else:
            self._add(left)
            await self._close_what_is_open()

    async def _close_what_is_open(self) -> None:
        """Wait until the service has closed what belonged to the processes that have just gone."""
        assert self.watch is not None
        before = self.result.resources().get("fds", (0, 0))[0]

        def more(snapshot: Snapshot) -> list[Left]:
            now = snapshot.resources.get("service", {}).get("fds", 0)
            return [Left("descriptor", 0, None, "")] * (now - before)

        self.result.rest, _ = await self.watch.settle(more, self.plan.settle)

    def _judge(self) -> None:
        self.result.judged = self.outcomes.judged()
        failed = [one.outcome for one in self.result.judged if one.verdict is Verdict.FAILED]
        for one in failed[:MAX_LISTED]:
            self.result.problems.append(
                f"render {one.case.index} ({one.case.name}) failed undisturbed:"
                f" {one.status} {one.code} after {one.seconds:.1f} s"
            )
        if len(failed) > MAX_LISTED:
            self.result.problems.append(
                f"{len(failed) - MAX_LISTED} more renders failed undisturbed"
            )
        if more := self.outcomes.unexplained(self.result.judged):
            self.result.problems.append(
                f"{more} more renders lost their Chrome than Chromes were hit"
            )
        if not self.result.count(Verdict.RENDERED):
            self.result.problems.append("no picture was rendered")

    async def _end(self) -> None:
        """End a service of ours, then check again; one that is not ours is only checked again."""
        if self.target.pid:
            await self._stop_and_check("after the end: ")
        else:
            await self._check_at_rest()
            if problem := await self.target.stop():
                self.result.problems.append(problem)
        if self.watch is not None:
            self._add([
                Left("escaped", one.pid, one.lease, f"{one.command or one.name}; left the"
                     " service's tree and was reaped by the load test")
                for one in self.watch.escaped.values()
            ])  # fmt: skip


async def templates_of(client: aiohttp.ClientSession, address: str) -> list[tuple[str, Any]]:
    """Names and samples of the service's templates; empty when it has no such route."""
    with contextlib.suppress(aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        async with client.get(f"{address}/templates") as answer:
            if answer.status == 200:
                found = (await answer.json())["templates"]
                return [(one["name"], one["sample"]) for one in found]
    return []
