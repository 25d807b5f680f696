"""However a render ends, nothing of its Chrome is left: no process, no zombie, no folder.

`Service.at_rest` is the search: it looks at the process table and the disk, not at our word.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from poster_service.errors import InvalidSettings
from poster_service.logs import request_id
from poster_service.process import census
from tests.conftest import left, settled
from tests.process.harness import cannot
from tests.web.conftest import Service, StartService
from tests.web.leases import ENDLESS, busy, chrome_of, leased


async def test_after_success_nothing_is_left(service: Service) -> None:
    """The picture came; its Chrome is gone and another one is ready."""
    assert await service.at_rest()
    before = {one.pid for one in census.tagged(service.instance)}
    await service.picture(html="<p>done")
    assert await service.at_rest()
    assert before.isdisjoint(one.pid for one in census.tagged(service.instance))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("zygote", signal.SIGKILL),
        ("renderer", signal.SIGSTOP),
        (None, signal.SIGSTOP),
    ],
    ids=lambda value: getattr(value, "name", value or "browser"),
)
async def test_a_ready_chrome_with_a_dead_or_stopped_part_is_replaced(
    fresh_service: Service, kind: str | None, number: signal.Signals
) -> None:
    """It says nothing by itself; no caller gets it, and the dead part does not stay a zombie."""
    assert await fresh_service.at_rest()
    before = {one.lease for one in census.tagged(fresh_service.instance)}
    chrome_of(fresh_service, kind).send_signal(number)
    assert await settled(
        lambda: before.isdisjoint(one.lease for one in census.tagged(fresh_service.instance))
    )
    assert await fresh_service.at_rest()
    await fresh_service.picture(html="<p>by another one")


async def test_after_a_refused_request_no_chrome_was_used(service: Service) -> None:
    """What can fail without Chrome fails before a Chrome is leased."""
    assert await service.at_rest()
    before = {one.pid for one in census.tagged(service.instance)}
    assert (await service.render(html="<p>", width=0)).status == 400
    assert (await service.render(template="share-poster", data={})).status == 422
    assert {one.pid for one in census.tagged(service.instance)} == before


async def test_after_an_error_of_the_page_nothing_is_left(service: Service) -> None:
    """A page larger than a picture may be fails after it has loaded."""
    page = "<!doctype html><div style='height: 100000px'>"
    response = await service.render(html=page, full_page=True)
    assert response.status == 422
    assert (await response.json())["code"] == "picture_too_large"
    assert await service.at_rest()


async def test_after_a_timeout_nothing_is_left(service: Service) -> None:
    """A page that computes for ever is cut off in its time."""
    response = await service.render(html=ENDLESS, timeout_ms=2000)
    assert response.status == 504
    assert (await response.json())["code"] == "render_timeout"
    assert "load;dur=" in response.headers["Server-Timing"]
    assert await service.at_rest()


@pytest.mark.parametrize(
    ("kind", "code"), [("renderer", "page_crashed"), (None, "chrome_died")], ids=["page", "chrome"]
)
async def test_after_a_crash_nothing_is_left_and_the_caller_is_reported(
    fresh_service: Service, kind: str | None, code: str
) -> None:
    """Renderer or browser process killed in the middle: 502 at once, not at the deadline."""
    render = await busy(fresh_service, timeout_ms=60_000)
    chrome_of(fresh_service, kind).send_signal(signal.SIGKILL)
    response = await asyncio.wait_for(render, 60)
    assert response.status == 502
    assert (await response.json())["code"] == code
    assert await fresh_service.at_rest()
    assert (await fresh_service.render(html="<p>next")).status == 200


async def test_a_stopped_chrome_is_killed_at_the_deadline(service: Service) -> None:
    """SIGSTOP to every process of the lease does not keep it alive."""
    render = await busy(service, timeout_ms=4000)
    lease = min(one.lease for one in census.tagged(service.instance))
    for one in census.tagged(service.instance):
        if one.lease == lease:
            os.kill(one.pid, signal.SIGSTOP)
    assert (await render).status == 504
    assert await service.at_rest()


async def test_a_caller_who_hangs_up_frees_its_chrome_at_once(service: Service) -> None:
    """In the middle of a render of a minute the caller leaves; Chrome goes then and there."""
    render = await busy(service, html=ENDLESS, timeout_ms=60_000)
    render.cancel()
    assert await service.at_rest()


async def test_a_caller_who_hangs_up_while_waiting_gives_up_its_place(
    start_service: StartService,
) -> None:
    """Hanging up in the queue leaves the others in order and takes no Chrome."""
    service = await start_service(concurrency=1)
    running = await busy(service, timeout_ms=60_000)
    waiting = asyncio.create_task(service.render(html="<p>waits"))
    admission = service.engine.admission
    assert await settled(lambda: admission.statistics().waiting == 1)
    waiting.cancel()
    assert await settled(lambda: admission.statistics().waiting == 0)
    running.cancel()
    assert await service.at_rest()


@pytest.mark.parametrize("stage", ["set_up", "load", "wait_painted", "capture"])
async def test_hanging_up_at_every_stage_leaves_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """For each stage of a render: reach it, hang up there, look at the pool and the machine."""
    from poster_service.browser.loading import Loading
    from poster_service.browser.page import PosterPage

    owner = Loading if stage == "load" else PosterPage
    reached = asyncio.Event()
    real = getattr(owner, stage)

    async def announced(*arguments: Any, **options: Any) -> Any:
        reached.set()
        return await real(*arguments, **options)

    monkeypatch.setattr(owner, stage, announced)
    render = asyncio.create_task(service.render(html="<p>x"))
    await reached.wait()
    render.cancel()
    assert await service.at_rest()


async def test_a_ready_chrome_that_dies_is_replaced(fresh_service: Service) -> None:
    """Without a request; the pool notices and mends itself."""
    assert await fresh_service.at_rest()
    (lease,) = {one.lease for one in census.tagged(fresh_service.instance)}
    chrome_of(fresh_service, None).send_signal(signal.SIGKILL)
    assert await settled(
        lambda: lease not in {one.lease for one in census.tagged(fresh_service.instance)}
    )
    assert await fresh_service.at_rest()
    assert (await fresh_service.render(html="<p>")).status == 200


async def test_stopping_ends_running_renders_and_leaves_nothing(fresh_service: Service) -> None:
    """The service goes while a render runs: 503, and no Chrome of any state."""
    render = await busy(fresh_service, html=ENDLESS, timeout_ms=60_000)
    await fresh_service.server.stop()
    response = await render
    assert response.status == 503
    assert (await response.json())["code"] == "stopping"
    assert left(fresh_service.instance, fresh_service.home) == []
    assert (await fresh_service.render(html="<p>")).status == 503


async def test_the_search_finds_what_is_left_on_purpose(service: Service) -> None:
    """A folder, a live process and a zombie of the lease are each found: the searches can fail."""
    assert await service.at_rest()
    (service.home / "leftover").mkdir()
    assert "folder: leftover" in left(service.instance, service.home)
    (service.home / "leftover").rmdir()
    assert any(word.startswith("alive") for word in left(service.instance, service.home))
    tag = census.make_tag(service.instance, 999)
    script = "import resource, sys; resource.setrlimit(10, (int(sys.argv[1]), -1))"
    dead = subprocess.Popen([sys.executable, "-c", script, str(tag)])  # and it is not waited for
    assert await settled(
        lambda: any(word.startswith("zombie") for word in left(service.instance, service.home))
    )
    dead.wait()


async def test_one_dead_picture_host_does_not_fail_the_render(
    start_service: StartService, serve_pages: Callable[..., Any]
) -> None:
    """A server that never answers costs its own time limit, and the rest is painted."""
    closing = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await closing.wait()
        return web.Response()

    service = await start_service(allow_private="127.0.0.0/8", fetch_timeout_ms=300)
    async with serve_pages(never=never) as address:
        page = f"<!doctype html><img src='{address}/never'><p>the rest"
        response = await service.render(html=page)
        closing.set()
    assert response.status == 200


@pytest.mark.parametrize("script", ["alert(1)", "confirm(1)", "prompt(1)", "print()"])
async def test_a_dialog_does_not_hang_a_render(service: Service, script: str) -> None:
    """Dialogs are dismissed; the page goes on."""
    page = f"<!doctype html><script>{script}</script><p>after"
    assert (await service.render(html=page)).status == 200


@pytest.mark.slow
async def test_many_callers_at_once_are_all_served_and_nothing_is_left(service: Service) -> None:
    """Twelve callers on two slots: twelve pictures, then rest."""
    responses = await asyncio.gather(
        *(service.render(html=f"<p>{number}", width=80, height=40) for number in range(12))
    )
    assert [response.status for response in responses] == [200] * 12
    assert await service.at_rest()


@pytest.mark.slow
async def test_a_full_queue_is_reported_at_once_when_to_come_back(
    start_service: StartService,
) -> None:
    """One runs, one waits, the third is refused with Retry-After; the waiting one is served."""
    service = await start_service(concurrency=1, queue_size=1)
    running = await busy(service, timeout_ms=60_000)
    waiting = asyncio.create_task(service.render(html="<p>"))
    assert await settled(lambda: service.engine.admission.statistics().waiting == 1)
    refused = await service.render(html="<p>")
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await refused.json())["code"] == "overloaded"
    running.cancel()
    assert (await waiting).status == 200
    assert await service.at_rest()


async def test_a_client_that_disconnects_without_closing_politely(service: Service) -> None:
    """A reset connection counts as hanging up."""
    async with aiohttp.ClientSession() as client:
        render = asyncio.create_task(
            client.post(f"{service.address}/render", json={"html": ENDLESS, "timeout_ms": 60_000})
        )
        await leased(service)
        render.cancel()
    assert await service.at_rest()


@pytest.mark.slow
async def test_a_page_that_fills_memory_dies_alone_within_its_limit(
    start_service: StartService,
) -> None:
    """With a limit per Chrome the kernel ends the greedy one; the next render is served."""
    limits = {"chrome_memory_mib": 400, "chrome_pids": 200}
    try:
        service = await start_service(**limits)
    except InvalidSettings as error:
        cannot(str(error))
    greedy = """<!doctype html><script>
        const held = []; for (;;) held.push(new Uint8Array(1 << 24).fill(1))</script>"""
    response = await service.render(html=greedy, timeout_ms=30_000)
    assert response.status == 502
    assert (await response.json())["code"] in ("page_crashed", "chrome_died")
    assert (await service.render(html="<p>next")).status == 200
    assert await service.at_rest()


async def test_a_ready_chrome_whose_page_dies_is_replaced(fresh_service: Service) -> None:
    """The renderer of the ready Chrome is killed: no caller gets the dead one."""
    assert await fresh_service.at_rest()
    (lease,) = {one.lease for one in census.tagged(fresh_service.instance)}
    chrome_of(fresh_service, "renderer").send_signal(signal.SIGKILL)
    assert await settled(
        lambda: lease not in {one.lease for one in census.tagged(fresh_service.instance)}
    )
    assert (await fresh_service.render(html="<p>")).status == 200


async def test_chromes_made_for_callers_who_hung_up_are_ended(start_service: StartService) -> None:
    """Four callers come and go at once; afterwards there is one ready Chrome, not four."""
    service = await start_service(concurrency=4)
    callers = [asyncio.create_task(service.render(html=ENDLESS)) for _ in range(4)]
    assert await settled(lambda: service.engine.admission.statistics().running == 4)
    for caller in callers:
        caller.cancel()
    assert await service.at_rest()


async def test_an_answer_that_chrome_refuses_does_not_hang_the_render(
    start_service: StartService, serve_pages: Callable[..., Any]
) -> None:
    """A server with a status that there is not: the picture is missing, the page is painted."""

    async def odd(_: web.Request) -> web.Response:
        return web.Response(status=999)

    service = await start_service(allow_private="127.0.0.0/8")
    async with serve_pages(odd=odd) as address:
        response = await service.render(html=f"<!doctype html><img src='{address}/odd'><p>x")
    assert response.status == 200


async def test_a_page_may_fetch_only_so_much(
    start_service: StartService, serve_pages: Callable[..., Any]
) -> None:
    """Twenty pictures of a megabyte, five megabytes allowed: the rest is not fetched."""
    asked = 0

    async def big(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(body=b"x" * (1 << 20), content_type="image/png")

    service = await start_service(allow_private="127.0.0.0/8", fetch_total_bytes=5 << 20)
    async with serve_pages(big=big) as address:
        pictures = "".join(f"<img src='{address}/big?{number}'>" for number in range(40))
        assert (await service.render(html=f"<!doctype html>{pictures}")).status == 200
    assert 5 <= asked <= 5 + 8  # those under way when the budget was spent


async def test_log_lines_of_a_render_carry_its_own_request_id(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """What a page did not get is logged under its own request and not the one before."""
    caplog.set_level("INFO")
    reported: dict[str, str] = {}

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "subresource omitted" in record.getMessage():
                reported[request_id.get()] = record.__dict__["fields"]["host"]

    logging.getLogger("poster_service").addHandler(note := Note())
    for number in range(3):
        await service.client.post(
            f"{service.address}/render",
            json={"html": f"<!doctype html><img src='http://10.0.0.{number}/x'>"},
            headers={"X-Request-Id": f"request-{number}"},
        )
    logging.getLogger("poster_service").removeHandler(note)
    assert reported == {f"request-{number}": f"10.0.0.{number}" for number in range(3)}


@pytest.mark.slow
async def test_whose_time_passes_in_line_is_asked_to_come_back_and_takes_no_chrome(
    start_service: StartService,
) -> None:
    """503 with Retry-After and not 504: nothing of its page was ever tried."""
    service = await start_service(concurrency=1)
    running = await busy(service, timeout_ms=60_000)
    response = await service.render(html="<p>", timeout_ms=1500)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert "while queued" in (await response.json())["detail"]
    assert response.headers["Server-Timing"].startswith("queue;dur=")
    assert "lease" not in response.headers["Server-Timing"]
    assert service.counts()["leased"] == 1
    running.cancel()
    assert await service.at_rest()
    assert sum(service.engine.pool.statistics().endings.values()) <= 2  # the probe's and that one
