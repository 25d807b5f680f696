"""The queue delivers tickets, at least once each; in Redis and in memory."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator

import docket
import pytest

from poster_service.errors import QueueUnavailable
from poster_service.jobs.queue import NAME, JobQueue
from poster_service.jobs.queue_worker import remove_consumers
from tests.conftest import settled
from tests.jobs.waiting import until
from tests.web.redis_server import Server


class Handler:
    """Notes the tickets that it is given; keeps them for as long as it is blocked."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, ticket: str) -> None:
        """Serve a ticket."""
        self.began.append(ticket)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(ticket)
            return
        self.ended.append(ticket)

    async def until_begun(self, count: int) -> None:
        """Wait until so many tickets have come."""

        async def have_come() -> bool:
            return len(self.began) >= count

        await until(have_come)

    async def until_ended(self, count: int) -> None:
        """Wait until so many tickets are done."""

        async def are_done() -> bool:
            return len(self.ended) >= count

        await until(are_done)


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Of an empty backend; None for memory."""
    if request.param == "memory":
        return None
    server: Server = request.getfixturevalue("redis")
    with server.client() as one:
        one.flushall()
    return server.address


@pytest.fixture
def handler() -> Handler:
    """That of the queue."""
    return Handler()


@pytest.fixture
async def queue(url: str | None, handler: Handler) -> AsyncIterator[JobQueue]:
    """A queue whose tickets are served two at a time."""
    found = JobQueue(url, 2)
    await found.open(handler)
    serving = asyncio.create_task(found.serve(2))
    yield found
    handler.may_end.set()
    await found.stop()
    await serving
    await found.close()


async def test_each_ticket_is_delivered_and_nothing_of_it_stays(
    queue: JobQueue, handler: Handler, url: str | None, redis: Server
) -> None:
    """Once, while all goes well."""
    tickets = [secrets.token_hex(8) for _ in range(30)]
    for ticket in tickets:
        await queue.add(ticket)
    await handler.until_ended(30)
    assert sorted(handler.ended) == sorted(tickets)

    async def are_acknowledged() -> bool:
        return await queue.tickets() == 0

    await until(are_acknowledged)
    if url is not None:
        left = [key.decode() for key in redis.stored()]
        assert not [key for key in left if any(ticket in key for ticket in tickets)]
        assert all(key.startswith(f"{NAME}:") for key in left)


async def test_many_tickets_are_added_at_once(queue: JobQueue, handler: Handler) -> None:
    """More than one command takes; existing ones are not added again."""
    handler.may_end.clear()
    await queue.add("7")
    await queue.add_all([str(place) for place in range(250)])
    assert await queue.tickets() == 250
    handler.may_end.set()
    await handler.until_ended(250)
    assert sorted(handler.ended, key=int) == [str(place) for place in range(250)]


async def test_the_name_of_a_worker_goes_with_it(url: str | None, redis: Server) -> None:
    """And that of one that died, if it has no messages and was silent for long enough."""
    if url is None:
        return
    stream, group = f"{NAME}:stream", "docket-workers"
    with redis.client() as client:

        def names() -> set[bytes]:
            return {one["name"] for one in client.xinfo_consumers(stream, group)}

        for place in range(3):
            queue, handler = JobQueue(url, 2), Handler()
            await queue.open(handler)
            serving = asyncio.create_task(queue.serve(2))
            await queue.add(f"ticket-{place}")
            await handler.until_ended(1)
            assert len(names()) == 1
            await queue.stop()
            await serving
            assert names() == set()
            await queue.close()
        for name in ("died", "died-with-a-message"):
            client.xgroup_createconsumer(stream, group, name)
        client.xadd(stream, {"a": "b"})
        client.xreadgroup(group, "died-with-a-message", {stream: ">"})
        async with docket.Docket(name=NAME, url=url) as found:
            await remove_consumers(found)
            assert len(names()) == 2
            await asyncio.sleep(0.1)
            await remove_consumers(found, dead_seconds=0.05)
        assert names() == {b"died-with-a-message"}


async def test_a_ticket_that_is_there_is_not_added_again(queue: JobQueue, handler: Handler) -> None:
    """It is delivered once."""
    handler.may_end.clear()
    for _ in range(3):
        await queue.add("one")
    await handler.until_begun(1)
    assert await queue.tickets() == 1
    handler.may_end.set()
    await queue.add("two")
    await handler.until_ended(2)
    assert sorted(handler.ended) == ["one", "two"]


async def test_what_runs_is_cancelled(queue: JobQueue, handler: Handler) -> None:
    """And no other ticket with it."""
    handler.may_end.clear()
    await queue.add("one")
    await queue.add("two")
    await handler.until_begun(2)
    await queue.cancel("one")

    async def is_cancelled() -> bool:
        return handler.cancelled == ["one"]

    await until(is_cancelled)
    handler.may_end.set()
    await handler.until_ended(1)
    assert handler.ended == ["two"]


@pytest.mark.slow
async def test_a_pause_takes_no_more_tickets_and_keeps_what_runs(
    queue: JobQueue, handler: Handler, url: str | None
) -> None:
    """For longer than a ticket without a sign of life would stay; another worker gets the rest."""
    handler.may_end.clear()
    await queue.add("one")
    await handler.until_begun(1)
    queue.pause()
    if url is None:
        return
    second = Handler()
    other = JobQueue(url, 2)
    await other.open(second)
    serving = asyncio.create_task(other.serve(1))
    for place in range(10):  # one may have been on its way to the first when it paused
        await other.add(f"more-{place}")
    await second.until_ended(8)
    await asyncio.sleep(5)  # more than two redelivery times
    handler.may_end.set()
    await handler.until_ended(1)
    assert "one" not in second.began
    await other.stop()
    await serving
    await other.close()


async def test_a_redis_that_is_gone_is_an_error_in_time() -> None:
    """Not an endless wait."""
    queue = JobQueue("redis://127.0.0.1:1/0", 2)
    with pytest.raises(QueueUnavailable):
        await queue.tickets()

    async def ignore(_: str) -> None: ...

    await queue.open(ignore)
    with pytest.raises(QueueUnavailable):
        await queue.add("one")
    await queue.close()


async def test_a_redis_that_hangs_holds_up_no_stop(redis: Server) -> None:
    """The reads of the worker end with their connections, and nothing of it is left in the loop."""
    queue, handler = JobQueue(redis.address, 2), Handler()
    await queue.open(handler)
    others = asyncio.all_tasks()
    serving = asyncio.create_task(queue.serve(2))
    await queue.add("ticket")
    await handler.until_ended(1)
    redis.send(signal.SIGSTOP)
    await queue.stop()
    assert serving.done()
    await queue.close()
    assert await settled(lambda: asyncio.all_tasks() <= others)
