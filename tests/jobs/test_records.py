"""Records of jobs: each ends once, callers take turns, nothing stays; in Redis and in memory."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poster_service.jobs.queue import JobQueue
from poster_service.jobs.record_store import PREFIX, RecordStore
from poster_service.jobs.records import (
    Job,
    NewJob,
    Outcome,
    document_of,
    files_of,
    fingerprint,
    packed,
    unpacked,
)
from poster_service.render.request import Asset, Limits, RenderRequest
from tests.jobs.waiting import until
from tests.unit.made_up_options import GOOD, MadeUpRequest, good, with_source
from tests.web.redis_server import Server

LONG, ATTEMPTS = 60, 2
REQUEST = {"request": {"html": "<p>你好", "width": 10}}


@pytest.fixture(params=["memory", "redis"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A client of an empty backend."""
    url = None
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis")
        url = server.address
        with server.client() as one:
            one.flushall()
    queue = JobQueue(url, 5)

    async def ignore(_: str) -> None: ...

    yield await queue.open(ignore)
    await queue.close()


@pytest.fixture
def store(client: Any) -> RecordStore:
    """Records that outlive a test."""
    return RecordStore(client, LONG, ATTEMPTS)


async def created(store: RecordStore, caller: str = "a", **more: Any) -> str:
    """The id of a new job."""
    what, identity = await store.create(NewJob(caller, REQUEST, **more))
    assert what == "new"
    return identity


async def job_of(store: RecordStore, identity: str) -> Job:
    """A job that is there."""
    job = await store.get(identity)
    assert job is not None
    return job


async def test_a_job_from_its_creation_to_its_end(store: RecordStore) -> None:
    """What is known of it at each step."""
    identity = await created(store, webhook={"url": "https://example.com"})
    job = await job_of(store, identity)
    assert (job.state, job.attempts, job.request) == ("queued", 0, REQUEST)
    assert job.webhook == {"url": "https://example.com"}
    assert (await store.state()).queued == 1
    assert await store.claim("t", "me") == ("run", identity)
    job = await job_of(store, identity)
    assert (job.state, job.attempts, job.phase) == ("running", 1, "rendering")
    assert await store.beat(identity, "me", "storing")
    assert (await job_of(store, identity)).phase == "storing"
    now = await store.state()
    assert (now.queued, now.running) == (0, 1)
    assert await store.finish(job, "me", "done", {"object": "x"})
    job = await job_of(store, identity)
    assert (job.state, job.result, job.problem, job.request) == ("done", {"object": "x"}, None, {})
    assert job.created <= (job.started or 0) <= (job.finished or 0)
    now = await store.state()
    assert (now.queued, now.running, now.oldest_seconds) == (0, 0, 0.0)


async def test_a_job_ends_once(store: RecordStore) -> None:
    """For one owner, who may say so twice; not for another, and it cannot be cancelled then."""
    identity = await created(store)
    await store.claim("t", "me")
    job = await job_of(store, identity)
    assert not await store.finish(job, "other", "failed", {"code": "x"})
    assert await store.finish(job, "me", "done", {"object": "x"})
    assert await store.finish(job, "me", "done", {"object": "x"})
    assert not await store.finish(job, "other", "failed", {"code": "x"})
    assert not await store.beat(identity, "me")
    assert not await store.give_back(identity, "me", "t")
    assert (await store.cancel(identity))[0] == "done"
    assert (await job_of(store, identity)).state == "done"


@pytest.mark.parametrize("first", ["cancel", "finish"])
async def test_an_end_and_a_cancellation_at_once_give_one_end(
    store: RecordStore, first: str
) -> None:
    """The first of them."""
    identity = await created(store)
    await store.claim("t", "me")
    job = await job_of(store, identity)
    calls = [store.cancel(identity), store.finish(job, "me", "done", {"object": "x"})]
    done = await asyncio.gather(*(calls if first == "cancel" else reversed(calls)))
    assert ("running", "t") in done or True in done
    assert not (("running", "t") in done and True in done)
    state = (await job_of(store, identity)).state
    assert state == ("cancelled" if ("running", "t") in done else "done")


async def test_a_cancelled_job_is_not_run_but_announced(store: RecordStore) -> None:
    """By the ticket that finds it, if no other has done so before."""
    first, second = await created(store), await created(store)
    third = await created(store)
    assert await store.cancel(first) == ("queued", "")
    assert await store.cancel(second) == ("queued", "")
    await store.announced(second)
    assert await store.claim("t1", "me") == ("ended", first)
    assert await store.claim("t1", "other") == ("ended", first)  # not announced yet
    await store.announced(first, "t1")
    assert await store.claim("t2", "me") == ("run", third)
    assert await store.claim("t3", "me") == ("none", "")
    assert (await store.cancel("unknown"))[0] == ""
    assert await store.get("unknown") is None


async def test_callers_take_turns(store: RecordStore) -> None:
    """Each of them in order, and its batches after its other jobs."""
    batch = [await created(store, "a", batch="b1") for _ in range(2)]
    many = [await created(store, "a") for _ in range(3)]
    few = [await created(store, "b")]
    order = [(await store.claim(f"t{place}", "me"))[1] for place in range(6)]
    assert order == [many[0], few[0], many[1], many[2], *batch]
    assert await store.claim("t6", "me") == ("none", "")


async def test_a_key_is_one_job_of_one_caller(store: RecordStore) -> None:
    """And the same request, however it is written."""
    new = NewJob("a", REQUEST)
    assert await store.create(new, key="k") == ("new", new.id)
    turned = {"request": dict(reversed(REQUEST["request"].items()))}
    assert await store.create(NewJob("a", turned), key="k") == ("same", new.id)
    other = NewJob("a", {"request": {"html": "other"}})
    assert await store.create(other, key="k") == ("other", new.id)
    assert (await store.create(NewJob("b", REQUEST), key="k"))[0] == "new"
    assert (await store.create(NewJob("a", REQUEST), key="k2"))[0] == "new"
    assert await store.create(new) == ("same", new.id)
    assert (await store.state()).queued == 3


async def test_a_caller_has_so_many_unfinished_jobs(store: RecordStore) -> None:
    """Each that ends makes room; others have their own."""
    first = NewJob("a", REQUEST)
    assert (await store.create(first, limit=2, key="k"))[0] == "new"
    assert (await store.create(NewJob("a", REQUEST), limit=2))[0] == "new"
    assert (await store.create(NewJob("a", REQUEST), limit=2))[0] == "full"
    assert (await store.create(NewJob("b", REQUEST), limit=2))[0] == "new"
    assert (await store.create(NewJob("a", REQUEST), limit=2, key="k"))[0] == "same"
    await store.cancel(first.id)
    assert (await store.create(NewJob("a", REQUEST), limit=2))[0] == "new"
    assert (await store.create(NewJob("a", REQUEST), limit=2))[0] == "full"


async def test_a_ticket_that_is_delivered_again_has_the_same_job(store: RecordStore) -> None:
    """Of which the former owner can do nothing more; too often, and the job is lost."""
    identity, other = await created(store), await created(store)
    assert await store.claim("t", "one") == ("run", identity)
    assert await store.claim("t", "one") == ("run", identity)  # its answer was lost
    assert await store.claim("t", "two") == ("again", identity)
    job = await job_of(store, identity)
    assert job.attempts == 2
    assert not await store.beat(identity, "one")
    assert not await store.finish(job, "one", "done", {})
    assert await store.claim("t", "three") == ("lost", identity)
    assert await store.finish(job, "three", "failed", {"code": "job_lost"})
    assert await store.claim("t", "four") == ("ended", identity)
    await store.announced(identity, "t")
    assert await store.claim("t", "four") == ("run", other)


async def test_a_job_that_is_given_back_is_the_next_and_has_not_begun(store: RecordStore) -> None:
    """Of its caller; the ticket is used up."""
    first, second = await created(store), await created(store)
    await store.claim("t", "me")
    assert not await store.give_back(first, "other", "t")
    assert await store.give_back(first, "me", "t")
    job = await job_of(store, first)
    assert (job.state, job.attempts, job.request) == ("queued", 0, REQUEST)
    assert await store.claim("t2", "you") == ("run", first)
    assert await store.claim("t", "me") == ("run", second)


async def test_a_job_whose_worker_is_silent_is_queued_again(store: RecordStore) -> None:
    """And none whose worker has given a sign of life."""
    first, second = await created(store), await created(store)
    await store.claim("t1", "me")
    await asyncio.sleep(0.3)
    await store.claim("t2", "you")
    assert await store.reclaim(0.2) == 1
    assert (await job_of(store, first)).state == "queued"
    assert (await job_of(store, second)).state == "running"
    assert await store.claim("t1", "late") == ("none", "")
    assert await store.claim("t3", "me") == ("run", first)
    assert (await job_of(store, first)).attempts == 2


async def test_a_failed_part_of_a_batch_can_be_tried_again(store: RecordStore) -> None:
    """Its request is there still; that of a part that is done is not."""
    first, second = await created(store, batch="b"), await created(store, batch="b")
    ends: tuple[Outcome, ...] = ("failed", "done")
    for state in ends:
        _, identity = await store.claim(state, "me")
        assert await store.finish(await job_of(store, identity), "me", state, {})
    assert (await job_of(store, first)).request == REQUEST
    assert (await job_of(store, second)).request == {}


async def test_nothing_is_left_when_all_has_expired(client: Any) -> None:
    """However the jobs ended."""
    store = RecordStore(client, 1, ATTEMPTS)
    for place in range(4):
        await store.create(NewJob("a", REQUEST, batch="b" * (place % 2)), key=f"k{place}")
    done = await store.claim("t1", "me")
    assert await store.finish(await job_of(store, done[1]), "me", "done", {})
    await store.claim("t2", "me")
    waiting = await store.claim("t3", "me")
    await store.give_back(waiting[1], "me", "t3")
    await store.cancel(waiting[1])
    assert await client.keys(f"{PREFIX}*")

    async def is_empty() -> bool:
        return not await client.keys(f"{PREFIX}*")

    await until(is_empty)
    assert await store.claim("t4", "me") == ("none", "")
    assert (await store.state()).queued == 0


@pytest.mark.parametrize("name", GOOD)
def test_a_request_is_the_same_when_it_comes_back(name: str) -> None:
    """With each option that a request may have, from JSON as it is stored."""
    request = MadeUpRequest.parse(with_source(good(name)), Limits())
    stored = unpacked(packed(document_of(request)))
    assert MadeUpRequest.parse(stored["request"], Limits()) == request


def test_files_come_back_too() -> None:
    """Byte for byte."""
    files = (Asset("img/a.png", "image/png", secrets.token_bytes(99)),)
    document = document_of(RenderRequest.parse({"html": "<p>"}, Limits(), files=files))
    assert files_of(document) == files
    alone = document_of(RenderRequest.parse({"html": "<p>"}, Limits()))
    assert fingerprint(document) != fingerprint(alone)
