"""Records of batches: each item is counted once, each end announced until it was heard."""

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import docket
import pytest
from redis.asyncio import Redis

from poster_service.errors import InvalidField, KeyReused, QueueUnavailable, TooManyBatches
from poster_service.jobs import batch_store, record_store
from poster_service.jobs import intake as intakes
from poster_service.jobs.batch_records import Batch, job_id
from poster_service.jobs.batch_store import BatchStore
from poster_service.jobs.intake import Intake
from poster_service.jobs.items import Common, ItemBounds, ItemReader
from poster_service.jobs.record_store import Patience, RecordStore
from poster_service.render.request import Limits
from tests.conftest import short_folder
from tests.jobs.waiting import until
from tests.web.redis_server import Server

COMMON = {"html": "<p>{{ n }}"}
OTHERS = 7


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A real Redis."""
    with short_folder() as folder:
        found = Server(folder)
        yield found
        found.stop()


@pytest.fixture(params=["memory", "redis"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Of docket's embedded backend, and of Redis."""
    if request.param == "redis":
        address = request.getfixturevalue("server").address.removeprefix("unix://")
        async with Redis(unix_socket_path=address) as found:
            await found.flushall()
            yield found
    else:
        url = f"memory://{secrets.token_hex(8)}"
        async with docket.Docket(name="tests", url=url) as queue, queue.redis() as found:
            yield found


@pytest.fixture
def store(client: Any) -> BatchStore:
    """Records of batches."""
    return BatchStore(client, 600)


@pytest.fixture
def jobs(client: Any) -> RecordStore:
    """Records of their jobs."""
    return RecordStore(client, 600, Patience(3, 9))


async def accepted(store: BatchStore, number: int = 3, key: str = "", most: int = 9) -> Batch:
    """A batch of so many items."""
    return await added(await Intake.begin(store, secrets.token_hex(16), "anna", most), number, key)


async def added(intake: Intake, number: int = 3, key: str = "") -> Batch:
    """A batch that is being received, accepted with so many items."""
    reader = ItemReader(Common(COMMON, Limits()), ItemBounds())
    for place in range(1, number + 1):
        item: Any = reader.of_value(place, {"data": {"n": place}})
        await intake.add([item])
    batch, _ = await intake.commit(COMMON, None, key)
    return batch


async def fed(store: BatchStore, batch: Batch) -> list[str]:
    """The ids of the jobs of a batch's first block."""
    block = await store.block(batch.id, 0)
    assert await store.feed(batch.id, 0, [(place, {"item": own}) for place, _, own in block])
    return [job_id(batch.id, place) for place, _, _ in block]


async def now(store: BatchStore, batch: Batch) -> Batch:
    """The batch as it is now."""
    found = await store.get(batch.id)
    assert found is not None
    return found


async def test_items_become_jobs_once_and_in_their_order(
    store: BatchStore, jobs: RecordStore
) -> None:
    """A block whose turn has passed changes nothing; each job has its own part only."""
    batch = await accepted(store)
    assert (batch.total, batch.begun, batch.left, batch.state) == (3, 0, 3, "running")
    ids = await fed(store, batch)
    assert not await store.feed(batch.id, 0, [(9, {"item": {}})])
    found = [await jobs.claim(f"ticket{place}", "owner") for place in range(3)]
    assert [job.id for _, job in found if job] == ids
    job = await jobs.get(ids[1])
    assert job is not None
    assert (job.caller, job.batch, job.request) == ("anna", batch.id, {"item": {"data": {"n": 2}}})
    assert await store.running(batch.id) == 3
    assert (await now(store, batch)).open == 3


async def test_an_item_is_counted_once_however_often_it_is_reported(store: BatchStore) -> None:
    """The end of the batch is to be announced until that is noted, and not before the last item."""
    batch = await accepted(store)
    await fed(store, batch)
    assert await store.ended(batch.id, "1", "done", 0) == (False, False)
    assert await store.ended(batch.id, "1", "done", 0) == (False, False)
    assert await store.ended(batch.id, "2", "failed", 0) == (False, False)
    assert not (await now(store, batch)).has_ended
    assert await store.ended(batch.id, "3", "cancelled", 0) == (True, False)
    assert await store.ended(batch.id, "3", "cancelled", 0) == (True, False)
    found = await now(store, batch)
    assert (found.done, found.failed, found.cancelled, found.left) == (1, 1, 1, 0)
    assert (found.state, found.has_ended) == ("done", True)
    assert await store.unfinished() == []
    await store.announced(batch.id)
    assert await store.ended(batch.id, "3", "cancelled", 0) == (False, False)


async def test_the_end_of_an_item_is_counted_with_it(store: BatchStore, jobs: RecordStore) -> None:
    """Once; only the last one has to be announced, because its batch has."""
    batch = await accepted(store)
    ids = await fed(store, batch)
    quiet: list[bool] = []
    for place, identity in enumerate(ids):
        _, job = await jobs.claim(f"t{place}", "owner")
        assert job is not None
        for _ in range(2):  # the first answer may be lost
            ended = await jobs.finish(job, "owner", "failed" if place else "done", {})
        quiet.append(ended is not None and ended.is_announced)
        found = await now(store, batch)
        assert (found.done, found.failed, found.open) == (1, place, 2 - place)
        assert identity == job.id
    assert quiet == [True, True, False]
    assert (await now(store, batch)).state == "done"
    assert await store.ended(batch.id, "3", "failed", 0) == (True, False)
    assert (await now(store, batch)).failed == 2


async def test_the_end_of_an_item_that_makes_room_is_announced(
    store: BatchStore, jobs: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the next block is fed at once."""
    batch = await accepted(store, 150)
    await fed(store, batch)
    quiet: list[bool] = []
    for room in (99, 99, 0):
        monkeypatch.setattr(record_store, "ROOM", room)
        _, job = await jobs.claim(f"t{len(quiet)}", "owner")
        assert job is not None
        ended = await jobs.finish(job, "owner", "done", {})
        assert ended is not None
        quiet.append(ended.is_announced)
    assert quiet == [True, False, True]


async def test_there_is_room_for_more_while_few_are_open(store: BatchStore) -> None:
    """And something is left to feed."""
    batch = await accepted(store, 250)
    assert batch.blocks == 3
    await fed(store, batch)
    assert await store.ended(batch.id, "1", "done", 100) == (False, True)
    assert await store.ended(batch.id, "2", "done", 98) == (False, False)
    assert (await now(store, batch)).open == 98


async def test_a_cancelled_batch_feeds_no_more(store: BatchStore, jobs: RecordStore) -> None:
    """What is not a job yet is cancelled at once; the end is not announced."""
    batch = await accepted(store, 150)
    ids = await fed(store, batch)
    state, numbers = await store.cancel(batch.id)
    assert state == "running"
    assert {job_id(batch.id, int(one)) for one in numbers} == set(ids)
    found = await now(store, batch)
    assert (found.state, found.cancelled, found.left) == ("cancelled", 50, 100)
    assert not await store.feed(batch.id, 1, [(101, {"item": {}})])
    for number in numbers:
        await jobs.cancel(job_id(batch.id, int(number)))
        assert await store.ended(batch.id, number, "cancelled", 999) == (False, False)
    assert (await now(store, batch)).has_ended
    assert await store.cancel(batch.id) == ("cancelled", [])
    assert await store.retry(batch.id, 10) == ("cancelled", [])
    assert await store.unfinished() == []


async def test_only_what_failed_is_tried_again(store: BatchStore, jobs: RecordStore) -> None:
    """With its request; the batch runs again, and its next end is another one."""
    batch = await accepted(store)
    ids = await fed(store, batch)
    for place, identity in enumerate(ids):
        _, job = await jobs.claim(f"t{place}", "owner")
        assert job is not None
        assert job.id == identity
        ok = place == 0
        await jobs.finish(job, "owner", "done" if ok else "failed", {"code": "x"})
        await store.ended(batch.id, str(place + 1), "done" if ok else "failed", 0)
    await store.announced(batch.id)
    state, numbers = await store.retry(batch.id, 1)
    assert (state, len(numbers)) == ("done", 1)
    found = await now(store, batch)
    assert (found.state, found.failed, found.open, found.round) == ("running", 1, 1, 1)
    state, more = await store.retry(batch.id, 10)
    assert (state, sorted([*numbers, *more])) == ("running", ["2", "3"])
    assert await store.retry(batch.id, 10) == ("running", [])
    assert await store.unfinished() == [batch.id]
    for place in range(2):
        what, job = await jobs.claim(f"again{place}", "other")
        assert job is not None
        assert (what, job.attempts, job.problem) == ("run", 1, None)
        assert job.request["item"]["data"]
        await jobs.finish(job, "other", "done", {})
        assert await store.ended(batch.id, job.id[33:], "done", 0) == (place == 1, False)
    found = await now(store, batch)
    assert (found.state, found.done, found.failed, found.round) == ("done", 3, 0, 1)


async def test_a_key_that_comes_twice_is_one_batch(store: BatchStore) -> None:
    """With the same items; with others it is refused, and nothing is left of them."""
    first = await accepted(store, key="k")
    assert (await accepted(store, key="k")).id == first.id
    with pytest.raises(KeyReused):
        await accepted(store, 4, key="k")
    assert await store.unfinished() == [first.id]
    assert (await accepted(store, 4, most=2)).id != first.id  # the others take no room


async def test_a_caller_has_a_number_of_batches(store: BatchStore) -> None:
    """Those that are being received count; those that have ended or were given up do not."""
    first = await accepted(store, 1, most=2)
    intake = await Intake.begin(store, "a" * 32, "anna", 2)
    with pytest.raises(TooManyBatches):
        await Intake.begin(store, "b" * 32, "anna", 2)
    await Intake.begin(store, "c" * 32, "ben", 1)
    assert await store.get("a" * 32) is None
    await intake.abort()
    await accepted(store, 1, most=2)
    with pytest.raises(TooManyBatches):
        await accepted(store, 1, most=2)
    await fed(store, first)
    await store.ended(first.id, "1", "done", 0)
    await accepted(store, 1, most=2)


async def test_a_batch_whose_receiver_has_died_takes_no_room(
    store: BatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon after; one whose receiver lives does, however long it takes."""
    monkeypatch.setattr(batch_store, "RECEIVE_SECONDS", 1)
    monkeypatch.setattr(intakes, "RENEW_SECONDS", 0.1)
    living = await Intake.begin(store, "a" * 32, "ben", 1)
    await accepted(store, 1, most=1)  # of anna
    assert await store.begin("b" * 32, "anna", 2)

    async def has_room() -> bool:
        return await store.begin("c" * 32, "anna", 2)

    await until(has_room)
    assert not await store.begin("d" * 32, "anna", 2)
    assert not await store.begin("e" * 32, "ben", 1)
    await living.abort()
    with pytest.raises(QueueUnavailable, match="send it again"):  # it is not known any more
        await added(living)


async def test_a_command_that_is_sent_twice_counts_once(store: BatchStore) -> None:
    """The client of Redis sends it again where it had no answer."""
    batch = "a" * 32
    assert [await store.begin(batch, "anna", 1) for _ in range(2)] == [True, True]
    await store.add_block(batch, 0, [(1, "1", {})])
    for _ in range(2):
        assert await store.commit(batch, {"total": "1", "blocks": "1"}, "k", "f") == ("new", batch)
    assert await store.feed(batch, 0, [(1, {"item": {}})])
    assert await store.commit(batch, {"total": "1", "blocks": "1"}, "k", "f") == ("new", batch)
    assert not await store.feed(batch, 0, [(1, {"item": {}})])
    await store.abort(batch, "anna")  # the answer to the acceptance had been lost
    found = await store.get(batch)
    assert found is not None
    assert (found.state, found.open, await store.unfinished()) == ("running", 1, [batch])


async def test_a_batch_without_items_is_refused(store: BatchStore) -> None:
    """As a whole."""
    with pytest.raises(InvalidField, match="at least one item"):
        await accepted(store, 0)


async def test_every_key_expires(store: BatchStore, client: Any, jobs: RecordStore) -> None:
    """In Redis; of the embedded backend nothing outlives the process."""
    if not isinstance(client, Redis):
        return
    batch = await accepted(store, 150, key="k")
    await fed(store, batch)
    await jobs.claim("ticket", "owner")
    await store.ended(batch.id, "1", "failed", 0)
    await store.retry(batch.id, 9)
    await store.ended(batch.id, "2", "failed", 0)
    keys = await client.keys()
    assert len(keys) > OTHERS
    assert [key for key in keys if await client.ttl(key) < 0] == []


def test_the_rate_is_that_of_the_last_spans() -> None:
    """It is zero again when nothing has ended for a while."""
    fields = {b"id": b"a", b"caller": b"", b"state": b"running", b"total": b"1000",
              b"created": b"0", b"span": b"100", b"in_span": b"30", b"before": b"60"}  # fmt: skip
    batch = Batch.of(fields)
    assert batch.rate(100 * 30 + 15) == pytest.approx(2.0)
    assert batch.rate(101 * 30 + 0.001) == pytest.approx(1.0, abs=0.01)
    assert batch.rate(103 * 30) == 0.0
    young = Batch.of({**fields, b"created": b"3000", b"before": b"0"})
    assert young.rate(3010) == pytest.approx(3.0)
