"""Pages that paint by frames, where we give the frames and where Chrome has its own clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from poster_service.browser.chrome import Chrome
from poster_service.browser.spec import ChromeSpec, supports_begin_frame
from poster_service.browser.types import CaptureOptions, PageOptions, Reply, Request
from tests.conftest import left
from tests.web.pictures import BLUE, GREEN, at, decode, near

DRAWS = "document.body.style.background = 'green'"
#: Each is green only when what it waits for has come.
PAGES = {
    "a frame after loading": f"<script>onload = () => requestAnimationFrame(() => {DRAWS})"
    "</script>",
    "a frame in a frame": "<script>requestAnimationFrame(() => requestAnimationFrame(() => "
    f"{DRAWS}))</script>",
    "frames before it is loaded": "<img src=slow.svg><script>let n = 0; const tick = () => "
    f"++n > 3 ? {DRAWS} : requestAnimationFrame(tick); requestAnimationFrame(tick)</script>",
    "an observer": "<p id=p>x<script>new IntersectionObserver((all) => all[0].isIntersecting && "
    f"({DRAWS})).observe(p)</script>",
    "a size observer": f"<p id=p>x<script>new ResizeObserver(() => {DRAWS}).observe(p)</script>",
    "an animation at its end": "<style>@keyframes go { to { background: green } } body { animation:"
    " go 1ms forwards }</style><img src=slow.svg>",
    "an endless animation": "<style>@keyframes go { from { outline: 1px solid red } } body {"
    " background: green } p { animation: go 1s infinite }</style><p>",
    "a picture further down": "<body style='background:green'><div style='height:3000px'></div>"
    "<img loading=lazy src=slow.svg>",
    "a canvas": "<canvas id=c width=60 height=60></canvas><script>onload = () => "
    "requestAnimationFrame(() => { const t = c.getContext('2d'); t.fillStyle = 'green';"
    " t.fillRect(0, 0, 60, 60) })</script>",
    "a transition": f"<style>body {{ transition: background 1ms }}</style><img src=slow.svg>"
    f"<script>setTimeout(() => {DRAWS}, 10)</script>",
}
HEAD = (
    "<!doctype html><style>html, body { margin: 0; height: 100% } canvas { display: block }</style>"
)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'></svg>"


def picture(
    scale: float = 1, *, full_page: bool = False, form: Literal["png", "jpeg", "webp"] = "png"
) -> CaptureOptions:
    """Sixty by sixty CSS pixels."""
    white = (255, 255, 255, 255)
    return CaptureOptions(
        PageOptions(60, 60, scale, white, is_full=full_page),
        format=form, quality=90 if form != "png" else None,
        full_page=full_page, background=white, max_pixels=10_000_000,
    )  # fmt: skip


class Painter:
    """Renders in one Chrome, each page in a context of its own."""

    def __init__(self, one: Chrome) -> None:
        self.chrome = one

    async def paint(self, html: str, wanted: CaptureOptions, *, is_static: bool = False) -> bytes:
        """One picture of a page whose pictures take a while to come."""

        async def route(request: Request) -> Reply:
            if request.kind == "Document":
                return Reply(200, (("Content-Type", "text/html"),), (HEAD + html).encode())
            await asyncio.sleep(0.2)
            return Reply(200, (("Content-Type", "image/svg+xml"),), SVG)

        page = self.chrome.page
        async with asyncio.timeout(60):
            await page.set_up(wanted.page)
            await page.loading.load(route, is_static=is_static)
            await page.wait_painted(is_static=is_static)
            body = await page.capture(wanted)
        await self.chrome.renew()
        return body


@pytest.fixture
async def painter(make_spec: Callable[[Path], ChromeSpec], program: Path) -> AsyncIterator[Painter]:
    """One for each Chrome; headless-shell is given its frames."""
    spec = replace(make_spec(program), renders=99, renew_timeout=20.0)  # on a busy machine
    assert supports_begin_frame(spec) is ("headless" in program.name)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)
    yield Painter(one)
    one.page.abandon()
    one.end()
    await one.wait_gone()
    assert left(spec.instance, spec.instance_dir) == []


@pytest.mark.slow
async def test_what_needs_frames_gets_them(painter: Painter) -> None:
    """Chrome's own clock or ours gives them to scripts, observers, animations and lazy content."""
    wrong = {}
    for name, page in PAGES.items():
        full = "further down" in name
        body = await painter.paint(page, picture(full_page=full))
        if (colour := at(decode(body), 30, 30)) != GREEN:
            wrong[name] = colour
    assert wrong == {}


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        (picture(), (60, 60)),
        (picture(form="jpeg"), (60, 60)),
        (picture(form="webp"), (60, 60)),
        (picture(2.5), (150, 150)),
        (picture(0.5, form="jpeg"), (30, 30)),
        (picture(full_page=True), (60, 400)),
        (picture(2, full_page=True, form="webp"), (120, 800)),
    ],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else "",
)
async def test_a_picture_has_its_size_in_each_way_of_taking_it(
    painter: Painter, wanted: CaptureOptions, size: tuple[int, int]
) -> None:
    """Out of a frame where that can be, else by Chrome's own way."""
    page = "<div style='height:400px;background:linear-gradient(green 50%, blue 50%)'>"
    taken = decode(await painter.paint(page, wanted))
    assert taken.size == size
    assert near(at(taken, size[0] // 2, 5), GREEN)
    if wanted.full_page:
        assert near(at(taken, 5, size[1] - 5), BLUE)


# Whether a script in the head, before anything is laid out, finds the viewport that was asked for.
LOOKS = """<script>
    const is = [innerWidth, innerHeight, devicePixelRatio].join();
    const colour = is === '%s' ? '#008000' : '#ff0000';
    document.write('<style>body { background: ' + colour + '}</style>');
</script>"""


@pytest.mark.slow
async def test_a_page_has_its_look_and_not_that_of_the_last_one(painter: Painter) -> None:
    """Prepared for what was wanted last, and given what is wanted now, before it loads."""
    for scale, is_said in ((1, "60,60,1"), (1, "60,60,1"), (2, "60,60,2"), (1, "60,60,1")):
        wanted = picture(scale)
        body = await painter.paint(LOOKS % is_said, wanted)
        assert near(at(decode(body), 30, 30), GREEN), (scale, is_said)


@pytest.mark.slow
async def test_the_background_is_of_this_render_too(painter: Painter) -> None:
    """A page that was prepared for another one is given its own."""
    white, nothing = picture(), (0, 0, 0, 0)
    clear = replace(white, page=replace(white.page, background=nothing), background=nothing)
    taken = [decode(await painter.paint("<p>", one)) for one in (white, clear, clear, white)]
    assert [at(one, 30, 30)[3] for one in taken] == [255, 0, 0, 255]


@pytest.mark.slow
async def test_a_still_page_is_the_same_with_fewer_frames(painter: Painter) -> None:
    """Pictures, fonts, what lies further down and what scrolls: one frame shows it all."""
    page = (
        "<div style='height:30px;background:linear-gradient(green,blue)'></div>"
        "<img src=late.svg style='width:60px;height:20px;background:blue' loading=lazy>"
        "<p style='content-visibility:auto;font:bold 20px sans-serif'>中文 text</p>"
    )
    one, other = [
        decode(await painter.paint(page, picture(), is_static=is_static))
        for is_static in (True, False)
    ]
    assert one.tobytes() == other.tobytes()
    assert near(at(one, 30, 40), BLUE)


@pytest.mark.slow
async def test_a_pages_clock_begins_with_its_render(painter: Painter) -> None:
    """However long its Chrome has stood ready: a drawing by the time of its frames is the same."""
    await asyncio.sleep(1)
    begin = time.time() * 1000 - 500
    page = f"""<body><script>
        document.body.style.background = {begin} <= performance.timeOrigin ? '#008000' : '#ff0000';
    </script>"""
    assert near(at(decode(await painter.paint(page, picture())), 30, 30), GREEN)
