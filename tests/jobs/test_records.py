"""Records of jobs: each ends once, callers take turns, nothing stays; in Redis and in memory."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from poster_service.jobs.queue import JobQueue
from poster_service.jobs.record_store import PREFIX, Claimed, Patience, RecordStore
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

LONG, PATIENCE = 60, Patience(deaths=2, attempts=4)
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
    return RecordStore(client, LONG, PATIENCE)


async def created(store: RecordStore, caller: str = "a", **more: Any) -> str:
    """The id of a new job."""
    what, identity = await store.create(NewJob(caller, REQUEST, **more))
    assert what == "new"
    return identity


async def claim(store: RecordStore, ticket: str, owner: str) -> tuple[Claimed, str]:
    """What a ticket is good for, and the id of its job; the job comes as it is in the store."""
    what, job = await store.claim(ticket, owner)
    if job is None:
        return what, ""
    assert job == await store.get(job.id)
    return what, job.id


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
    assert await claim(store, "t", "me") == ("run", identity)
    job = await job_of(store, identity)
    assert (job.state, job.attempts, job.phase) == ("running", 1, "rendering")
    assert await store.beat(identity, "me", "storing")
    assert (await job_of(store, identity)).phase == "storing"
    now = await store.state()
    assert (now.queued, now.running) == (0, 1)
    ended = await store.finish(job, "me", "done", {"object": "x"})
    job = await job_of(store, identity)
    assert ended is not None
    assert replace(ended, finished=job.finished) == job
    assert (job.state, job.result, job.problem, job.request) == ("done", {"object": "x"}, None, {})
    assert job.created <= (job.started or 0) <= (job.finished or 0)
    now = await store.state()
    assert (now.queued, now.running, now.oldest_seconds) == (0, 0, 0.0)


async def test_a_job_ends_once(store: RecordStore) -> None:
    """For one owner, who may say so twice; not for another, and it cannot be cancelled then."""
    identity = await created(store)
    await claim(store, "t", "me")
    job = await job_of(store, identity)
    assert not await store.finish(job, "other", "failed", {"code": "x"})
    assert await store.finish(job, "me", "done", {"object": "x"})
    assert await store.finish(job, "me", "done", {"object": "x"})
    assert not await store.finish(job, "other", "failed", {"code": "x"})
    assert not await store.beat(identity, "me")
    assert not await store.give_back(identity, "me", "t")
    assert (await store.cancel(identity))[0] == "done"
    assert (await job_of(store, identity)).state == "done"


@pytest.mark.parametrize("has_webhook", [False, True])
async def test_an_end_of_which_nobody_has_to_hear_uses_its_ticket_up(
    store: RecordStore, has_webhook: bool
) -> None:
    """Without another command; one that has a webhook is announced first."""
    webhook = {"url": "https://example.com"} if has_webhook else None
    identity, other = await created(store, webhook=webhook), await created(store)
    await claim(store, "t", "me")
    for _ in range(2):  # the first answer may be lost
        ended = await store.finish(await job_of(store, identity), "me", "done", {})
        assert ended is not None
        assert ended.is_announced is not has_webhook
    assert (await job_of(store, identity)).is_announced is not has_webhook
    expected = ("ended", identity) if has_webhook else ("run", other)
    assert await claim(store, "t", "me") == expected


@pytest.mark.parametrize("first", ["cancel", "finish"])
async def test_an_end_and_a_cancellation_at_once_give_one_end(
    store: RecordStore, first: str
) -> None:
    """The first of them."""
    identity = await created(store)
    await claim(store, "t", "me")
    job = await job_of(store, identity)

    async def cancel() -> str:
        return "cancelled" if await store.cancel(identity) == ("running", "t") else ""

    async def finish() -> str:
        return "done" if await store.finish(job, "me", "done", {"object": "x"}) else ""

    calls = [cancel(), finish()]
    ends = await asyncio.gather(*(calls if first == "cancel" else reversed(calls)))
    assert [one for one in ends if one] == [(await job_of(store, identity)).state]


async def test_a_cancelled_job_is_not_run_but_announced(store: RecordStore) -> None:
    """By the ticket that finds it, if no other has done so before."""
    first, second = await created(store), await created(store)
    third = await created(store)
    assert await store.cancel(first) == ("queued", "")
    assert await store.cancel(second) == ("queued", "")
    await store.announced(second)
    assert await claim(store, "t1", "me") == ("ended", first)
    assert await claim(store, "t1", "other") == ("ended", first)  # not announced yet
    await store.announced(first, "t1")
    assert await claim(store, "t2", "me") == ("run", third)
    assert await claim(store, "t3", "me") == ("none", "")
    assert (await store.cancel("unknown"))[0] == ""
    assert await store.get("unknown") is None


async def test_callers_take_turns(store: RecordStore) -> None:
    """Each of them in order, and its batches after its other jobs."""
    batch = [await created(store, "a", batch="b1") for _ in range(2)]
    many = [await created(store, "a") for _ in range(3)]
    few = [await created(store, "b")]
    order = [(await claim(store, f"t{place}", "me"))[1] for place in range(6)]
    assert order == [many[0], few[0], many[1], many[2], *batch]
    assert await claim(store, "t6", "me") == ("none", "")


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
    identity = await created(store, webhook={"url": "https://example.com"})
    other = await created(store)
    assert await claim(store, "t", "one") == ("run", identity)
    assert await claim(store, "t", "one") == ("run", identity)  # its answer was lost
    assert await claim(store, "t", "two") == ("again", identity)
    job = await job_of(store, identity)
    assert (job.attempts, job.deaths) == (2, 1)
    assert await claim(store, "t", "three") == ("lost", identity)
    assert not await store.beat(identity, "one")
    assert not await store.finish(job, "one", "done", {})
    assert await store.finish(job, "three", "failed", {"code": "job_lost"})
    assert await claim(store, "t", "four") == ("ended", identity)
    await store.announced(identity, "t")
    assert await claim(store, "t", "four") == ("run", other)


@pytest.mark.parametrize("sign", ["beat", "finish", "give back"])
async def test_a_worker_that_is_heard_of_again_has_not_died(store: RecordStore, sign: str) -> None:
    """Its job is another's by then, but no death of it is counted; each is taken back once."""
    identity = await created(store)
    await claim(store, "t", "one")
    assert await claim(store, "t", "two") == ("again", identity)
    job = await job_of(store, identity)
    assert job.deaths == 1
    for _ in range(2):
        if sign == "beat":
            assert not await store.beat(identity, "one")
        elif sign == "finish":
            assert not await store.finish(job, "one", "done", {})
        else:
            assert not await store.give_back(identity, "one", "t")
        assert (await job_of(store, identity)).deaths == 0
    assert await claim(store, "t", "three") == ("again", identity)
    assert await claim(store, "t", "four") == ("lost", identity)


async def test_a_worker_that_dies_beside_a_job_does_not_count(store: RecordStore) -> None:
    """One that no longer renders it; but a job does not go round for ever."""
    identity = await created(store)
    await claim(store, "t", "0")
    for place in range(1, PATIENCE.attempts):
        assert await store.beat(identity, str(place - 1), "storing")
        assert await claim(store, "t", str(place)) == ("again", identity)
        assert (await job_of(store, identity)).deaths == 0
    assert await claim(store, "t", "last") == ("lost", identity)


async def test_a_job_that_cannot_be_stored_is_the_last_one(store: RecordStore) -> None:
    """Of its caller; it has not begun, and the first time is remembered."""
    first, second = await created(store), await created(store)
    await claim(store, "t", "me")
    assert not await store.give_back(first, "other", "t", "storage")
    assert await store.give_back(first, "me", "t", "storage")
    job = await job_of(store, first)
    assert (job.state, job.attempts, job.request) == ("queued", 0, REQUEST)
    assert job.unstored is not None
    assert await claim(store, "t2", "me") == ("run", second)
    assert await claim(store, "t3", "me") == ("run", first)
    assert await store.give_back(first, "me", "t3", "storage")
    assert (await job_of(store, first)).unstored == job.unstored


async def test_a_job_that_is_given_back_is_the_next_and_has_not_begun(store: RecordStore) -> None:
    """Of its caller; the ticket is used up."""
    first, second = await created(store), await created(store)
    await claim(store, "t", "me")
    assert not await store.give_back(first, "other", "t")
    assert await store.give_back(first, "me", "t")
    job = await job_of(store, first)
    assert (job.state, job.attempts, job.request) == ("queued", 0, REQUEST)
    assert await claim(store, "t2", "you") == ("run", first)
    assert await claim(store, "t", "me") == ("run", second)


async def test_a_job_whose_worker_is_silent_is_queued_again(store: RecordStore) -> None:
    """And none whose worker has given a sign of life."""
    first, second = await created(store), await created(store)
    await claim(store, "t1", "me")
    await asyncio.sleep(0.3)
    await claim(store, "t2", "you")
    assert await store.reclaim(0.2) == 1
    assert (await job_of(store, first)).state == "queued"
    assert (await job_of(store, second)).state == "running"
    assert await claim(store, "t1", "late") == ("none", "")
    assert await claim(store, "t3", "me") == ("run", first)
    job = await job_of(store, first)
    assert (job.attempts, job.deaths) == (2, 1)


async def test_a_failed_part_of_a_batch_can_be_tried_again(store: RecordStore) -> None:
    """Its request is there still; that of a part that is done is not."""
    first, second = await created(store, batch="b"), await created(store, batch="b")
    ends: tuple[Outcome, ...] = ("failed", "done")
    for state in ends:
        _, identity = await claim(store, state, "me")
        assert await store.finish(await job_of(store, identity), "me", state, {})
    assert (await job_of(store, first)).request == REQUEST
    assert (await job_of(store, second)).request == {}


async def test_nothing_is_left_when_all_has_expired(client: Any) -> None:
    """However the jobs ended."""
    store = RecordStore(client, 1, PATIENCE)
    for place in range(4):
        await store.create(NewJob("a", REQUEST, batch="b" * (place % 2)), key=f"k{place}")
    done = await claim(store, "t1", "me")
    assert await store.finish(await job_of(store, done[1]), "me", "done", {})
    await claim(store, "t2", "me")
    waiting = await claim(store, "t3", "me")
    await store.give_back(waiting[1], "me", "t3")
    await store.cancel(waiting[1])
    assert await client.keys(f"{PREFIX}*")

    async def is_empty() -> bool:
        return not await client.keys(f"{PREFIX}*")

    await until(is_empty)
    assert await claim(store, "t4", "me") == ("none", "")
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


async def test_what_asks_for_records_can_be_cancelled_at_any_moment(store: RecordStore) -> None:
    """A task that asks again and again went on: its cancel was lost in the client."""

    async def ask() -> None:
        while True:
            await store.state()
            await asyncio.sleep(0)  # the one in memory answers at once

    for turns in range(60):
        asking = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        _, left = await asyncio.wait({asking}, timeout=5)
        assert not left, f"it goes on after it was cancelled at turn {turns}"
