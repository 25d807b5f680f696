"""What a warm page that goes wrong does to others: nothing. Its own render fails; another is made.

That no process, zombie or folder is left is checked at the end of the service.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from poster_service.process import census
from tests.conftest import is_shim, settled
from tests.unit.template_folders import make
from tests.web.service import Service, running_in_own_folder

PAGE = (
    "<!doctype html>{% for _ in range(times) %}<p><b>{{ title }}</b> <i>i</i> <u>u</u>{% endfor %}"
    '{% for picture in pictures %}<img src="{{ picture }}" alt="">{% endfor %}'
)
SAMPLE: dict[str, Any] = {"title": "T", "times": 1, "pictures": []}


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """Two templates with warm pages; both may render at a time, and pictures may take long."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("one", "two"):
            make(root, PAGE, name, schema__json={"type": "object"}, sample__json=SAMPLE)
        async with running_in_own_folder(
            templates=root, template_isolation="page", warm_pages=2, page_memory_mib=256,
            allow_private="127.0.0.0/8", fetch_timeout_ms=60_000,
        ) as found:  # fmt: skip
            yield found


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a picture that never comes: its server accepts connections, and no more."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
    finally:
        server.close()
        for writer in writers:
            writer.close()


def job(name: str, *pictures: str, **more: Any) -> dict[str, Any]:
    """A small render."""
    data = {**SAMPLE, "pictures": pictures}
    return {"template": name, "data": data, "width": 60, "height": 40, **more}


async def shown(service: Service, name: str) -> bytes:
    """A picture of a template, at level `page`."""
    answer = await service.render(**job(name))
    assert (answer.status, answer.headers["X-Isolation"]) == (200, "page"), await answer.text()
    return await answer.read()


async def both_warm(service: Service) -> tuple[bytes, bytes]:
    """Have a warm page of each template; what they show."""
    pictures = await shown(service, "one"), await shown(service, "two")
    assert await settled(lambda: dict(service.engine.pool.warm()) == {"one": 1, "two": 1})
    return pictures


def lease_of(service: Service, name: str) -> int:
    """The number of the Chrome with the page of a template."""
    entries = service.engine.pool._pools["process"]._state.entries.values()
    (number,) = [one.number for one in entries if one.warm and one.warm.key.template == name]
    return number


def process_of(service: Service, lease: int, kind: str) -> psutil.Process:
    """The renderer or the browser process of a Chrome."""
    for one in census.tagged(service.instance):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(one.pid)
            types = [word for word in process.cmdline() if word.startswith("--type=")]
            wanted = [] if kind == "browser" else [f"--type={kind}"]
            if one.lease == lease and types == wanted and not is_shim(one.pid):
                return process
    raise AssertionError(f"no {kind} process")


async def gone(service: Service, lease: int) -> None:
    """Wait until no process of a Chrome is left."""
    assert await settled(
        lambda: lease not in {one.lease for one in census.tagged(service.instance)}
    )


async def held(
    service: Service, *pictures: str, **more: Any
) -> "asyncio.Task[aiohttp.ClientResponse]":
    """A render of the first template in its warm page, which waits for its pictures."""
    task = asyncio.create_task(service.render(**job("one", *pictures, **more)))
    outbound = service.engine.fetcher.outbound
    assert await settled(lambda: outbound.statistics().running > 0)
    return task


@pytest.mark.parametrize("kind", ["renderer", "browser"])
async def test_a_warm_page_that_dies_while_it_waits_is_replaced(
    service: Service, kind: str
) -> None:
    """Its template's next render gets another; the other template's page is the same as before."""
    before = await both_warm(service)
    victim, other = lease_of(service, "one"), lease_of(service, "two")
    process_of(service, victim, kind).kill()
    await gone(service, victim)
    assert await both_warm(service) == before
    assert lease_of(service, "one") != victim
    assert lease_of(service, "two") == other


@pytest.mark.parametrize("kind", ["renderer", "browser"])
async def test_a_page_that_dies_in_a_render_takes_no_other_along(
    service: Service, silent: str, kind: str
) -> None:
    """Killed after its document was replaced and before it is painted, while another renders."""
    before = await both_warm(service)
    victim, other = lease_of(service, "one"), lease_of(service, "two")
    render = await held(service, silent)
    assert lease_of(service, "one") == victim
    process_of(service, victim, kind).kill()
    failed, beside = await asyncio.gather(render, shown(service, "two"))
    assert failed.status == 502
    assert beside == before[1]
    await gone(service, victim)
    assert await both_warm(service) == before
    assert lease_of(service, "two") == other


@pytest.mark.parametrize("ending", ["time", "hang-up"])
async def test_a_render_that_is_cut_off_leaves_no_page(
    service: Service, silent: str, ending: str
) -> None:
    """Its time is up, or its caller hangs up: what it waited for could come in the next render."""
    before = await both_warm(service)
    victim = lease_of(service, "one")
    if ending == "time":
        render = await held(service, silent, timeout_ms=5_000)
        assert (await render).status == 504
    else:
        render = await held(service, silent)
        render.cancel()
    await gone(service, victim)
    assert await both_warm(service) == before


@pytest.mark.slow
async def test_a_page_that_takes_too_much_memory_takes_no_other_along(service: Service) -> None:
    """A text of 100,000 paragraphs, each with elements of its own."""
    before = await both_warm(service)
    victim, other = lease_of(service, "one"), lease_of(service, "two")
    heavy = {**SAMPLE, "times": 100_000}
    failed = await service.render(**{**job("one"), "data": heavy}, timeout_ms=60_000)
    assert failed.status == 502
    assert "memory" in (await failed.json())["detail"]
    await gone(service, victim)
    assert await both_warm(service) == before
    assert lease_of(service, "two") == other


async def test_pages_beyond_the_number_that_may_wait_end_the_one_unused_for_longest(
    service: Service,
) -> None:
    """Two may wait here: another size of a template is another page."""
    await both_warm(service)
    first = lease_of(service, "one")
    await shown(service, "two")
    answer = await service.render(**job("two", width=61))
    assert answer.headers["X-Isolation"] == "page"
    await gone(service, first)
    assert await settled(lambda: dict(service.engine.pool.warm()) == {"two": 2})


async def test_renders_of_all_levels_at_once_have_what_they_ask_for(service: Service) -> None:
    """More than may run, of two templates and three levels; in the end only warm pages wait."""
    before = await both_warm(service)

    async def one(number: int) -> bool:
        name = ("one", "two")[number % 2]
        level = ("process", "context", "page")[number % 3]
        answer = await service.render(**job(name), isolation=level, timeout_ms=60_000)
        assert (answer.status, answer.headers["X-Isolation"]) == (200, level)
        return await answer.read() == before[number % 2]

    assert all(await asyncio.gather(*map(one, range(9))))

    def rest() -> bool:
        counts = service.counts()
        waiting = {"ready": 1, "warm": 2}
        return {state: number for state, number in counts.items() if number} == waiting

    assert await settled(rest)
