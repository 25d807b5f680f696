"""A picture out of a frame is the one that Chrome's own way takes, byte for byte."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.render.posters import POSTERS
from bench.render.posters import html as poster
from poster_service.browser.chrome import Chrome
from poster_service.browser.page import PosterPage
from poster_service.browser.shown import Shown
from poster_service.browser.spec import ChromeSpec
from poster_service.browser.types import CaptureOptions, PageOptions, Region, Reply, Request
from tests.chrome.conftest import PROGRAMS, installed
from tests.conftest import left
from tests.web.pictures import decode

WHITE = (255, 255, 255, 255)
CLEAR = (0, 0, 0, 0)
#: Rows that differ, of a page that is larger than its viewport and busy more often than not.
ROWS = "<body style='margin:0'>" + "".join(
    f"<div style='height:40px;width:1200px;font:20px sans-serif;background:hsl({row * 7} 70% 60%);"
    f"box-shadow:0 0 9px #0008'>row {row}</div>"
    for row in range(100)
)
BUSY = (
    "<script>setInterval(() => { const t = performance.now(); while (performance.now() - t < 25);"
    " }, 30)</script>"
)
#: What a page can see of its viewport, and the events that report a change of it.
WATCH = """<script>
    const seen = () => [innerWidth, innerHeight, outerWidth, outerHeight, screen.width, scrollY,
        devicePixelRatio, visualViewport.scale, visualViewport.width].join();
    const first = [];
    onload = () => {
        first.push(seen());
        for (const kind of ['resize', 'scroll']) {
            addEventListener(kind, () => first.push(kind), true);
            visualViewport.addEventListener(kind, () => first.push('visual ' + kind));
        }
    };
</script>"""

CHECK = "if (first[0] !== seen() || first.length > 1) throw new Error(`${first} ${seen()}`)"


@pytest.fixture
async def chrome(make_spec: Callable[[Path], ChromeSpec]) -> AsyncIterator[Chrome]:
    """A headless-shell, the Chrome whose frames are given by its client."""
    spec = replace(make_spec(installed(PROGRAMS[0])), renders=99, renew_timeout=20.0)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)
    yield one
    one.page.abandon()
    one.end()
    await one.wait_gone()
    assert left(spec.instance, spec.instance_dir) == []


async def loaded(chrome: Chrome, html: str, options: PageOptions) -> PosterPage:
    """The page of a Chrome that is not used yet, with a document."""

    async def route(request: Request) -> Reply | None:
        is_page = request.kind == "Document"
        return Reply(200, (("Content-Type", "text/html"),), html.encode()) if is_page else None

    page = chrome.page
    await page.set_up(options)
    await page.loading.load(route)
    await page.wait_painted()
    return page


async def slow(page: PosterPage, wanted: CaptureOptions, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The same picture by Page.captureScreenshot."""
    with monkeypatch.context() as patch:
        patch.setattr(Shown, "is_exact", False)
        return await page.capture(wanted)


def wanted(page: PageOptions, clip: Region | None = None) -> CaptureOptions:
    """A PNG of the viewport, or of a part of the document."""
    return CaptureOptions(page, "png", None, False, page.background, 50_000_000, clip=clip)


def parts(options: PageOptions) -> list[CaptureOptions]:
    """The viewport, all of it, pieces of it, larger and smaller, in each format."""
    view = wanted(options)
    clip = replace(view, clip=Region(17, 33, 201, 133))
    return [
        view,
        replace(view, format="jpeg", quality=80),
        replace(view, zoom=0.5),
        replace(view, full_page=True),
        clip,
        replace(clip, clip=Region(118, 33, 201, 133)),
        replace(clip, format="webp", quality=70),
        replace(clip, zoom=1.5, format="jpeg", quality=60),
        view,
    ]


def pages() -> list[Any]:
    """The posters at one scale each, on a screen, on a phone and on nothing; few are quick."""
    sizes = [(3.0, 200, 400), (2.0, 500, 400), (1.5, 500, 400), (1.0, 500, 400), (2.0, 400, 200)]
    found = []
    for one, (scale, width, height) in zip(POSTERS, sizes, strict=True):
        for kind in ("screen", "phone"):
            options = PageOptions(width, height, scale, WHITE, mobile=kind == "phone")
            is_quick = (one.name, kind) == ("card", "screen")
            marks = () if is_quick else pytest.mark.slow
            found.append(pytest.param(one.name, options, id=f"{one.name} {kind}", marks=marks))
    return [*found, pytest.param("card", replace(options, background=CLEAR), id="card clear")]


@pytest.mark.parametrize(("name", "options"), pages())
async def test_each_part_of_a_page_is_the_same_both_ways(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch, name: str, options: PageOptions
) -> None:
    """Also after another part, and after the other way."""
    page = await loaded(chrome, poster(name), options)
    for one in parts(options):
        drawn = await page.capture(one)
        assert drawn == await slow(page, one, monkeypatch), one


@pytest.mark.parametrize(
    ("width", "height", "scale"),
    [(333, 777, 1.3), *(pytest.param(*one, marks=pytest.mark.slow)
                        for one in ((751, 501, 1.5), (1001, 333, 0.5)))],
)  # fmt: skip
async def test_a_viewport_without_whole_device_pixels_has_the_pixels_of_chromes_own_way(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch, width: int, height: int, scale: float
) -> None:
    """Those of a frame are others, so it is not used.

    Each picture is the first of its page: at a scale below 1 a second one of the same page has
    slightly other pixels, either way.
    """
    options = PageOptions(width, height, scale, WHITE)
    for one in (wanted(options), wanted(options, Region(17, 33, 301, 203))):
        taken = []
        for way in (lambda page, one: page.capture(one), partial(slow, monkeypatch=monkeypatch)):
            page = await loaded(chrome, poster("gradient"), options)
            taken.append(await way(page, one))
            await chrome.renew()
        assert taken[0] == taken[1]


@pytest.mark.parametrize("scale", [1.0, pytest.param(2.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("script", ["", BUSY], ids=["calm", "busy"])
async def test_parts_of_equal_size_are_not_taken_for_each_other(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch, script: str, scale: float
) -> None:
    """A frame may be drawn before a busy page has moved: then its picture is not used."""
    options = PageOptions(300, 200, scale, WHITE)
    page = await loaded(chrome, ROWS + script, options)
    places = [(0, 0), (0, 111), (250, 333), (111, 1234), (250, 3000)]
    clips = [wanted(options, Region(x, y, 300, 200)) for x, y in places]
    expected = {one: await slow(page, one, monkeypatch) for one in [wanted(options), *clips]}
    assert len(set(expected.values())) == len(clips)  # the first clip is the viewport
    for one in random.Random(1).choices(list(expected), k=30):
        assert await page.capture(one) == expected[one], one.clip


@pytest.mark.parametrize("mobile", [False, True])
async def test_a_page_does_not_notice_what_its_frames_show(chrome: Chrome, mobile: bool) -> None:
    """No event and no size, while its parts are captured and after."""
    options = PageOptions(300, 400, 2, WHITE, mobile=mobile)
    page = await loaded(chrome, WATCH + ROWS, options)
    for one in parts(options):
        await page.capture(one)
        await page.waits.run((CHECK,))
        assert not page.witness.script_errors
    assert decode(await page.capture(wanted(options))).size == (600, 800)


async def test_a_chrome_that_refuses_to_show_a_part_captures_it_its_own_way(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another version might; the picture is the same."""
    options = PageOptions(300, 400, 2, WHITE)
    page = await loaded(chrome, ROWS, options)
    for one in parts(options)[:2]:
        drawn = await page.capture(one)
        with monkeypatch.context() as patch:
            patch.setattr(Shown, "metrics", lambda _: {"width": -1})
            page._capture.note_set_up()  # so that it is shown again
            assert await page.capture(one) == drawn
