"""The Python client over a real service: pictures, errors, jobs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from poster_service.client import (
    Busy,
    Client,
    Files,
    JobFailed,
    Picture,
    RenderFailed,
    RequestRefused,
)
from poster_service.render.warnings import parsed
from tests.web.pictures import BLUE, GREEN, at, decode
from tests.web.service import Service, running_in_own_folder
from tests.web.tokens import APP, TOKENS, WEB, bearer

SMALL: dict[str, Any] = {"width": 20, "height": 10}
RED = "<style>body { margin: 0; background: #ff0000 }</style>"


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """With tokens, and results in its memory."""
    async with running_in_own_folder(tokens=TOKENS, storage="memory://") as found:
        yield found


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    """A client with a token."""
    async with Client(service.address, WEB) as found:
        yield found


async def test_a_picture_has_what_the_answer_says_of_it(service: Service, client: Client) -> None:
    """Its bytes, type, times and warnings."""
    options = {"html": RED + "<img src='http://127.0.0.1:9/a.png'>", **SMALL}
    picture = await client.render(**options)
    assert decode(picture.body).size == (20, 10)
    assert picture.media_type == "image/png"
    assert list(picture.timing) == ["queue", "lease", "setup", "load", "wait", "capture"]
    assert all(took >= 0 for took in picture.timing.values())
    async with service.client.post(
        f"{service.address}/render", json=options, headers=bearer(WEB)
    ) as response:
        assert picture.body == await response.read()
        assert picture.etag == response.headers["ETag"].strip('"')
        assert list(picture.warnings) == parsed(response.headers["X-Render-Warnings"])
    assert picture.warnings[0]["url"] == "http://127.0.0.1:9/a.png"
    assert picture.cache == "bypass"
    assert picture.request_id


async def test_files_beside_a_page_are_sent_with_it(client: Client, tmp_path: Path) -> None:
    """Each by its path, from memory or from a disk; the page is UTF-8, though it says otherwise.

    Nested options and lists come as they would in JSON.
    """
    square = "<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20'><path fill='blue' d='"
    path = tmp_path / "a.svg"
    path.write_text(f"{square}M0 0h20v20H0z'/></svg>")
    page = (
        '<meta charset="gbk"><link rel=stylesheet href="style/图 1.css">'
        "<img src='img/a&quot;b.svg'>"
    )
    style = "body { margin: 0; background: #008000 } img { display: block }"
    files: Files = {"style/图 1.css": style.encode(), 'img/a"b.svg': path}
    picture = await client.render(
        html=page, files=files, width=60, height=40, full_page=False, background=None,
        clip={"x": 0, "y": 0, "width": 50, "height": 30}, fail_on=["subresource", "not_fetched"],
    )  # fmt: skip
    image = decode(picture.body)
    assert image.size == (50, 30)
    assert (at(image, 10, 10), at(image, 40, 25)) == (BLUE, GREEN)


@pytest.mark.slow
async def test_files_go_with_every_kind_of_render(client: Client) -> None:
    """Stored, several outputs, a job, a text in Markdown; what is wrong is named as ever."""
    files = {"a.css": b"body { background: #0000ff }"}
    page = "<link rel=stylesheet href=a.css>"
    given: dict[str, Any] = {"html": page, "files": files, **SMALL}
    stored = await client.store(**given)
    assert at(decode((await client.fetch(stored["url"])).body), 1, 1) == BLUE
    outputs = [{"name": "a"}, {"name": "b", "format": "jpeg"}]
    several = await client.render_outputs(outputs=outputs, **given)
    assert at(decode(several["a"].body), 1, 1) == BLUE
    job = await client.submit(key="with-files", **given)
    assert (await client.submit(key="with-files", **given)).id == job.id
    done = await client.wait(job)
    assert done.result is not None
    assert at(decode((await client.fetch(done.result["url"])).body), 1, 1) == BLUE
    text = await client.render(markdown="![x](a.svg)", files={"a.svg": b"<svg/>"}, **SMALL)
    assert decode(text.body).size == (20, 10)
    with pytest.raises(RequestRefused) as caught:
        await client.render(html=page, files={"../a.css": b""})
    assert "path below the page" in caught.value.detail


@pytest.mark.slow
async def test_several_outputs_come_by_their_names(client: Client) -> None:
    """As many as were asked for, in one render."""
    outputs = [{"name": "small", "format": "webp"}, {"name": "paper", "format": "pdf"}]
    found = await client.render_outputs(html=RED, outputs=outputs, **SMALL)
    assert list(found) == ["small", "paper"]
    assert found["small"].media_type == "image/webp"
    assert found["paper"].body.startswith(b"%PDF")
    with pytest.raises(ValueError, match="render_outputs"):
        await client.render(html=RED, outputs=outputs)


async def test_a_wrong_option_is_named(client: Client) -> None:
    """By the fields of the problem."""
    with pytest.raises(RequestRefused) as caught:
        await client.render(html="x", width=0, height=-1)
    error = caught.value
    assert (error.status, error.code, error.field) == (400, "invalid_field", "width")
    assert error.allowed
    assert [one["field"] for one in error.errors] == ["width", "height"]
    assert error.request_id
    assert error.detail in str(error)


async def test_a_wrong_token_and_a_slow_page_are_errors_of_their_kind(
    service: Service, client: Client
) -> None:
    """The caller's, and the page's."""
    async with Client(service.address, "not-a-token-0123456789") as other:
        with pytest.raises(RequestRefused) as caught:
            await other.render(html="x")
        assert caught.value.status == 401
    with pytest.raises(RenderFailed) as late:
        await client.render(html="<script>for(;;);</script>", timeout_ms=1500)
    assert (late.value.status, late.value.code) == (504, "render_timeout")


@pytest.mark.slow
async def test_a_quota_that_is_used_up_says_when_to_come_back() -> None:
    """To a client that does not wait for it itself."""
    async with (
        running_in_own_folder(tokens=TOKENS, token_renders_per_minute=1, token_burst=1) as limited,
        Client(limited.address, WEB, retries=0) as client,
    ):
        await client.render(html=RED, **SMALL)
        with pytest.raises(Busy) as caught:
            await client.render(html=RED, **SMALL)
    assert caught.value.status == 429
    assert caught.value.retry_after
    assert caught.value.retry_after > 0


@pytest.mark.slow
async def test_many_pages_come_each_with_its_place(client: Client) -> None:
    """Also the error of one of them, which ends none of the others."""
    requests = [{"html": f"<p>{number}", **SMALL} for number in range(5)]
    requests[2] = {"html": "x", "width": 0}
    found = {place: one async for place, one in client.render_many(requests, at_once=2)}
    assert sorted(found) == [0, 1, 2, 3, 4]
    kinds = [type(found[place]) for place in range(5)]
    assert kinds == [Picture, Picture, RequestRefused, Picture, Picture]
    async for _ in client.render_many([]):
        pytest.fail("there is nothing")


@pytest.mark.slow
async def test_who_leaves_many_pages_early_leaves_nothing_running(
    service: Service, client: Client
) -> None:
    """What runs is cancelled, and its Chromes are free."""
    requests = [{"html": RED, **SMALL}, *({"html": RED, "delay_ms": 10_000} for _ in range(3))]
    pages = client.render_many(requests, at_once=2)
    async for place, _ in pages:
        assert place == 0
        break
    await pages.aclose()
    assert await service.at_rest()


async def test_a_job_is_submitted_waited_for_and_fetched(service: Service, client: Client) -> None:
    """And the same key gives the same job."""
    job = await client.submit(html=RED, key="one-wish", **SMALL)
    again = await client.submit(html=RED, key="one-wish", **SMALL)
    assert job.id == again.id
    done = await client.wait(job)
    assert done.state == "done"
    assert done.result is not None
    picture = await client.fetch(done.result["url"])
    assert picture.media_type == "image/png"
    assert picture.body == (await client.render(html=RED, **SMALL)).body
    async with Client(service.address, APP) as other:
        with pytest.raises(RequestRefused) as caught:
            await other.job(job.id)
    assert caught.value.code == "unknown_job"


@pytest.mark.slow
async def test_a_job_that_fails_raises_its_problem(client: Client) -> None:
    """That of the render."""
    job = await client.submit(html="x", selector="#none", **SMALL)
    with pytest.raises(JobFailed) as caught:
        await client.wait(job.id)
    assert caught.value.field == "selector"
    assert caught.value.status == 422


@pytest.mark.slow
async def test_a_job_can_be_cancelled_while_another_waits_for_it(client: Client) -> None:
    """Who waits learns of it; a wait that is too long ends by itself, and the job goes on."""
    job = await client.submit(html="x", delay_ms=30_000, timeout_ms=50_000)
    with pytest.raises(TimeoutError):
        await client.wait(job, timeout=0.01)
    waiting = asyncio.create_task(client.wait(job))
    await asyncio.sleep(0)
    cancelled = await client.cancel(job)
    assert cancelled.state == "cancelled"
    with pytest.raises(JobFailed) as caught:
        await waiting
    assert caught.value.code == "cancelled"


@pytest.mark.slow
async def test_a_stored_result_has_an_address(client: Client) -> None:
    """Which the client can fetch."""
    stored = await client.store(html=RED, format="jpeg", **SMALL)
    assert (stored["width"], stored["height"]) == (20, 10)
    assert (await client.fetch(stored["url"])).media_type == "image/jpeg"


async def test_a_batch_is_sent_waited_for_and_its_items_are_fetched(client: Client) -> None:
    """With what they share once; the same key gives the same batch; a wrong item is named."""
    common = {"html": "<style>body { background: {{ colour }} }</style>", **SMALL}
    items: list[dict[str, Any]] = [
        {"data": {"colour": "#ff0000"}, "id": "red"},
        {"data": {"colour": "#0000ff"}},
        {"data": {"colour": "red"}, "selector": "#none"},
    ]
    batch = await client.batch(items, key="the-batch", **common)
    again = await client.batch(items, key="the-batch", **common)
    assert (batch.items, batch.id) == (3, again.id)
    done = await client.wait_batch(batch)
    assert (done.state, done.left, done.has_ended) == ("done", 0, True)
    assert (done.counts["done"], done.counts["failed"]) == (2, 1)
    found = await client.batch_items(done)
    assert [one["id"] for one in found] == ["red", "2", "3"]
    assert decode((await client.fetch(found[0]["url"])).body).size == (20, 10)
    (failed,) = await client.batch_items(done.id, "failed")
    assert failed["problem"]["field"] == "selector"
    with pytest.raises(RequestRefused) as caught:
        await client.batch([*items, {"data": {}}], **common)
    assert caught.value.field.startswith("line 5")


@pytest.mark.slow
async def test_a_batch_can_be_cancelled(client: Client) -> None:
    """It ends, with nothing left."""
    items: list[dict[str, Any]] = [{"data": {}} for _ in range(5)]
    batch = await client.batch(items, html="x", delay_ms=30_000, timeout_ms=50_000)
    with pytest.raises(TimeoutError):
        await client.wait_batch(batch, timeout=0.01)
    await client.cancel_batch(batch)
    ended = await client.wait_batch(batch)
    assert (ended.state, ended.counts["done"]) == ("cancelled", 0)
