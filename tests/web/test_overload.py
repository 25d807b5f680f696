"""More callers than there is room for: pictures or refusals at once, and no time-outs."""

import asyncio
from collections import Counter

import pytest

from tests.web.conftest import Service, StartService

#: A second, as a page takes that waits for others; it takes no processor from the rest.
SLOW = {"delay_ms": 1_000, "width": 40, "height": 40}


@pytest.mark.slow
async def test_a_hundred_at_once_are_served_or_asked_to_come_back(
    start_service: StartService,
) -> None:
    """With Retry-After; none of them waits until its time is over."""
    service = await start_service(concurrency=2, queue_size=64)

    async def one(number: int) -> tuple[int, str]:
        reported = await service.render(html=f"<p>{number}", timeout_ms=15_000, **SLOW)
        if reported.status != 200:
            assert int(reported.headers["Retry-After"]) >= 1
            return reported.status, (await reported.json())["code"]
        return 200, ""

    found = Counter(await asyncio.gather(*(one(number) for number in range(100))))
    assert set(found) <= {(200, ""), (503, "overloaded")}, found
    assert found[200, ""] >= 4, found
    assert await service.at_rest()


@pytest.mark.slow
async def test_after_a_slow_page_the_others_are_served(service: Service) -> None:
    """One that took all of its time says little of others."""
    never = {"wait_for": {"expression": "false"}}
    slow = await service.render(html="<p>", timeout_ms=10_000, **never)
    assert slow.status == 504
    # Were its ten seconds expected of each, the last of eight would be refused, two at a time.
    reported = await asyncio.gather(
        *(service.render(html=f"<p>{n}", width=9, height=9, timeout_ms=30_000) for n in range(8))
    )
    assert [one.status for one in reported] == [200] * 8
