"""Jobs and batches while workers, Redis and the storage are killed, stopped, started again."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from tests.jobs.chaos import Chaos, chaotic
from tests.jobs.chaos_watch import Observer, can_be_had
from tests.jobs.waiting import until

#: Jobs that are sent while one thing goes wrong, about as many as are rendered meanwhile; and how
#: many of them come alone: the others are a batch.
AT_A_STROKE, ALONE = 25, 10
#: A batch whose items do not become jobs all at once, in the longer form.
LARGE_BATCH = 1_100
SIZE = {"width": 40, "height": 20, "isolation": "context"}
#: Names of docket's that are there for as long as there is a queue, after any jobs.
LASTING = re.compile(
    r"poster-(jobs|webhooks):(stream|queue|workers|task-workers:\w+|leases:[\w-]+)"
)


async def accepted(chaos: Chaos, path: str, key: str, body: Mapping[str, Any]) -> str:
    """The id of a job or batch, sent again with its key for as long as its Redis is away."""
    service = chaos.fleet.service
    is_stream = path == "/batches" and "common" in body
    headers = {"Idempotency-Key": key}
    if is_stream:
        headers["Content-Type"] = "application/x-ndjson"
    while True:
        given: dict[str, Any] = {"data": lines_of(body)} if is_stream else {"json": body}
        async with service.client.post(
            f"{service.address}{path}", headers=headers, **given
        ) as response:
            if response.status == 202:
                return str((await response.json())["id"])
            assert response.status == 503, await response.text()
        await asyncio.sleep(0.2)


async def lines_of(body: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """A batch as NDJSON that comes in pieces, so that things go wrong in the middle of it."""
    yield json.dumps({"common": body["common"]}).encode() + b"\n"
    for place, item in enumerate(body["items"]):
        yield json.dumps(item).encode() + b"\n"
        if place % 5 == 0:
            await asyncio.sleep(0.02)


async def send_batch(chaos: Chaos, observer: Observer, places: Sequence[int]) -> None:
    """Send a batch, by turns inline and as NDJSON."""
    common = {"html": "<p>{{ n }}", **SIZE, "webhook": {"url": chaos.receiver.address}}
    items = [{"id": f"item-{place}", "data": {"n": place}} for place in places]
    is_stream = len(observer.batches) % 2 == 0
    body = {"common": common, "items": items} if is_stream else {**common, "items": items}
    key = f"batch-{places[0]}"
    observer.accept(await accepted(chaos, "/batches", key, body), len(items))


async def send(chaos: Chaos, observer: Observer, places: Sequence[int]) -> None:
    """Send jobs: some alone, the others as a batch."""
    if places[ALONE:]:
        await send_batch(chaos, observer, places[ALONE:])
    for place in places[:ALONE]:
        body = {"html": f"<p>{place}", **SIZE, "webhook": {"url": chaos.receiver.address}}
        observer.jobs.append(await accepted(chaos, "/jobs", f"job-{place}", body))


async def struck(chaos: Chaos, observer: Observer, count: int) -> None:
    """Send so many jobs while things go wrong, and go on until all have ended."""
    looking = asyncio.create_task(observer.keep_looking())
    first = LARGE_BATCH if count > LARGE_BATCH else 0
    try:
        if first:
            await asyncio.gather(chaos.strike(), send_batch(chaos, observer, range(first)))
        for begin in range(first, count, AT_A_STROKE):
            places = range(begin, min(begin + AT_A_STROKE, count))
            await asyncio.gather(chaos.strike(), send(chaos, observer, places))
            assert not looking.done(), looking.exception()
        while observer.left or observer.batches_left:
            assert not looking.done(), looking.exception()
            await chaos.strike()
            await asyncio.sleep(1)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    "count",
    [pytest.param(200, marks=pytest.mark.slow), pytest.param(2_000, marks=pytest.mark.endurance)],
)
async def test_every_job_ends_once(count: int) -> None:
    """With one result and one webhook; nothing is left of the workers, and every key expires.

    Some come alone, the others as items of batches.
    """
    async with chaotic(count) as chaos:
        observer = Observer(chaos)
        await struck(chaos, observer, count)
        assert {kind.__name__ for kind in chaos.kinds} <= set(chaos.done)
        await observer.look_at_all()
        items = [one["job"] for batch in observer.batches for one in observer.items(batch).values()]
        assert len({*observer.jobs, *items}) == len(observer.jobs) + len(items) == count
        assert observer.problems() == [], chaos.done
        await can_be_had(chaos, [*observer.jobs, *items][:: max(1, count // 200)])
        await have_been_reported(observer)
        await nothing_stays(chaos, [*observer.jobs, *observer.batches])


async def have_been_reported(observer: Observer) -> None:
    """Each job that came alone, and each batch, under one id, which may come more than once."""
    expected = {*observer.jobs, *observer.batches}

    async def all_have_come() -> bool:
        observer.take_webhooks()
        return len(observer.reported) >= len(expected)

    await until(all_have_come)
    assert observer.reported.keys() == expected
    assert [ids for ids in observer.reported.values() if len(ids) > 1] == []
    for batch, items in observer.batches.items():
        said = observer.finished[batch]
        assert (said["items"], said["round"]) == (items, 0), said
        assert said["counts"] == {"done": items, "failed": 0, "cancelled": 0}, said


async def nothing_stays(chaos: Chaos, jobs: Sequence[str]) -> None:
    """No job waits, no ticket is left, and each key that is not the queue's own expires."""
    with chaos.fleet.redis.client() as client:

        async def are_delivered() -> bool:
            streams = ("poster-jobs:stream", "poster-webhooks:stream")
            return not any(client.xlen(one) for one in streams)

        async def no_reception_counts() -> bool:  # of those that were broken off
            return not client.zcount("poster-job:batches:", time.time(), "+inf")

        await until(are_delivered)
        await until(no_reception_counts)
        for waiting in ("queued", "running", "batches", "unfinished:"):
            assert client.zcard(f"poster-job:{waiting}") == 0, (waiting, chaos.done)
        keys = [key.decode() for key in client.scan_iter()]
        lasting = [key for key in keys if client.ttl(key) == -1]
        assert [key for key in lasting if not LASTING.fullmatch(key)] == [], chaos.done
        assert not [key for key in lasting if any(one in key for one in jobs)]
