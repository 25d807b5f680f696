"""Tasks that outlive the request in which they begin do not log its id."""

import asyncio
import contextlib

import pytest

from poster_service.detached import detached, end
from poster_service.logs import request_id


async def current_id() -> str:
    """The request id that a log line of this task would have."""
    return request_id.get()


def test_a_task_that_a_request_starts_is_not_of_that_request() -> None:
    """Nor are the tasks that it starts; the request itself keeps its id."""

    async def with_a_task_of_its_own() -> str:
        return await asyncio.create_task(current_id())

    async def scenario() -> None:
        request_id.set("first")
        assert await asyncio.create_task(current_id()) == "first"  # what asyncio does by itself
        assert await detached(current_id()) == ""
        assert await detached(with_a_task_of_its_own()) == ""
        assert await current_id() == "first"

    asyncio.run(scenario())


def test_a_caller_that_leaves_cancels_what_it_waits_for() -> None:
    """As if it had not been in a task of its own."""

    async def scenario() -> None:
        started, cut_off = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cut_off.set()

        async def caller() -> None:
            await detached(work(), "work")

        waiting = asyncio.create_task(caller())
        await started.wait()
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert cut_off.is_set()

    asyncio.run(scenario())


def test_a_detached_task_has_its_name() -> None:
    """By which its owner finds it."""

    async def scenario() -> str:
        task = detached(current_id(), "named")
        await task
        return task.get_name()

    assert asyncio.run(scenario()) == "named"


def test_a_task_whose_cancel_is_lost_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled again, and how it ends is its own affair."""
    monkeypatch.setattr("poster_service.detached.AGAIN_SECONDS", 0.01)

    async def deaf(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        raise ValueError("its own affair")

    async def scenario() -> None:
        tasks = [asyncio.create_task(deaf(times)) for times in range(4)]
        await asyncio.sleep(0)
        await end(tasks)
        assert [str(task.exception()) for task in tasks] == ["its own affair"] * 4
        await end([])

    asyncio.run(scenario())
