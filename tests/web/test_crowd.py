"""A crowd against two slots: no caller starves, memory is bounded, every answer is promised."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from typing import Any

import psutil
import pytest

from tests.conftest import settled
from tests.web.conftest import Service, StartService
from tests.web.raw_http import NOISE, answer, connected, request, small_window

NAMES = ("flood", "one", "two", "three")
TOKENS = ",".join(f"{name}={name}-token-0123456789" for name in NAMES)
PROMISED = {200, 429, 503, 504, 408}
QUIET = 3  # callers with one render at a time each
SMALL = {"html": "<p>x", "width": 20, "height": 20}
LARGE = {"html": NOISE, "width": 1200, "height": 1200}


class Crowd:
    """Sixty-four callers until the time is over; what became of each of their requests."""

    def __init__(self, service: Service, seconds: float) -> None:
        self.service = service
        self.end = time.monotonic() + seconds
        self.seen: dict[str, Counter[int]] = {name: Counter() for name in NAMES}
        self.longest = dict.fromkeys(NAMES, 0.0)
        self.refusals_without_a_time = 0

    def headers(self, name: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {name}-token-0123456789",
            "Content-Type": "application/json",
        }

    async def polite(self, name: str) -> None:
        """Renders one after the other; comes back when a refusal says."""
        where = f"{self.service.address}/render"
        while time.monotonic() < self.end:
            begin = time.monotonic()
            async with self.service.client.post(
                where, json=SMALL | {"timeout_ms": 20_000}, headers=self.headers(name)
            ) as reported:
                await reported.read()
            self.seen[name][reported.status] += 1
            if reported.status == 200:
                self.longest[name] = max(self.longest[name], time.monotonic() - begin)
            if reported.status in (429, 503):
                self.refusals_without_a_time += "Retry-After" not in reported.headers
                await asyncio.sleep(random.uniform(0.1, 0.5))

    async def hangs_up(self, name: str) -> None:
        """Leaves at some moment of a render."""
        while time.monotonic() < self.end:
            async with connected(self.service) as (_, writer):
                body = json.dumps(SMALL).encode()
                writer.write(request("/render", "POST", body, self.headers(name)))
                await asyncio.sleep(random.uniform(0, 1))

    async def sends_slowly(self, name: str) -> None:
        """Half a body, and then nothing."""
        while time.monotonic() < self.end:
            async with connected(self.service) as streams:
                body = json.dumps(SMALL).encode()
                streams[1].write(request("/render", "POST", body, self.headers(name))[:-9])
                self.seen[name][(await answer(streams))[0]] += 1

    async def reads_slowly(self, name: str) -> None:
        """A byte a second of a large picture."""
        while time.monotonic() < self.end:
            async with small_window(self.service) as (reader, writer):
                body = json.dumps(LARGE).encode()
                writer.write(request("/render", "POST", body, self.headers(name)))
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(self.end - time.monotonic() + 1):
                        while await reader.read(1):  # noqa: ASYNC110 - that is being slow
                            await asyncio.sleep(1)

    async def run(self) -> None:
        """All of them at once."""
        callers: list[Any] = [self.polite("flood") for _ in range(37)]
        callers += [self.polite(name) for name in NAMES[1:]]
        for caller in (self.hangs_up, self.sends_slowly, self.reads_slowly):
            callers += [caller("flood") for _ in range(8)]
        assert len(callers) == 64
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [12, pytest.param(90, marks=pytest.mark.endurance)])
async def test_sixty_four_callers_against_two_slots(
    start_service: StartService, seconds: float
) -> None:
    """With hang-ups, slow senders and slow readers among them."""
    service = await start_service(
        concurrency=2, queue_size=32, tokens=TOKENS, body_timeout_ms=1000, send_timeout_ms=5000
    )
    assert await service.at_rest()
    process = psutil.Process()
    before = process.memory_info().rss
    most = 0
    crowd = Crowd(service, seconds)

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.2)

    async with asyncio.timeout(300):
        watching = asyncio.create_task(watch())
        await crowd.run()
        watching.cancel()
    reported = f"{crowd.seen} {crowd.longest} {(most - before) >> 20} MiB"
    print(reported)  # noqa: T201 - figures, shown with -s
    assert set().union(*crowd.seen.values()) <= PROMISED, reported
    assert crowd.refusals_without_a_time == 0
    flood = crowd.seen["flood"][200] / 37
    for name in NAMES[1:]:
        # The others go on as if the flood were one caller, not forty: each has many times the
        # share of one of the flood's, and is hardly ever turned away.
        assert crowd.seen[name][200] > 3 * flood, reported
        assert crowd.longest[name] < 15, reported
    assert most - before < 150 << 20, reported
    assert await service.at_rest()
    assert await settled(lambda: service.server.connections.open <= 41)  # the client keeps its own
