"""Several services on one machine, with the same user and the same work folder, are independent.

Each is a process of its own with an init of its own, as replicas on a machine are.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import settled
from tests.web.served import Served, left_of, started

#: A page that is done after five seconds.
SLOW = "<script>const until = Date.now() + 5000; while (Date.now() < until);</script><p>slow"


async def status(one: Served) -> Any:
    """What a service reports of itself."""
    async with one.client.get(f"{one.address}/status") as answer:
        return await answer.json()


@contextlib.asynccontextmanager
async def killed(work_dir: Path) -> AsyncIterator[list[str]]:
    """What is left of a service whose every process was killed at once, in mid-render."""
    async with started(work_dir) as one:
        mine = [file.name for file in work_dir.iterdir()]
        render = asyncio.create_task(one.render(SLOW))
        assert await settled(lambda: len(one.tree()) > 6)
        for process in one.tree():  # init first, so that nothing is tidied up
            with contextlib.suppress(Exception):
                process.kill()
        with contextlib.suppress(Exception):
            await render
        yield mine


@pytest.mark.slow
async def test_neighbours_leave_each_other_alone(work_dir: Path) -> None:
    """While one renders, one beside it is killed, and a third starts, renders and stops.

    The third removes what the killed one left and nothing of the others.
    """
    async with started(work_dir) as one:
        render = asyncio.create_task(one.render(SLOW))
        assert await settled(lambda: len(one.folders()) >= 2)
        before = {file.name for file in work_dir.iterdir()}
        async with killed(work_dir) as present:
            dead = set(present) - before
            assert dead
            async with started(work_dir) as third:
                assert third.address != one.address
                assert not dead & {file.name for file in work_dir.iterdir()}
                assert await third.render("<p>third") == 200
                seen, own = await status(one), await status(third)
                assert seen["instance"] != own["instance"]
            assert before <= {file.name for file in work_dir.iterdir()}
        assert await render == 200
        assert await one.render("<p>again") == 200
    assert await settled(lambda: left_of(work_dir) == []), left_of(work_dir)
