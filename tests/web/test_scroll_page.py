"""Pages that load more, or show it, when they are scrolled: all of it is in the picture.

In headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from tests.web.conftest import Service
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import BLUE, GREEN, LIME, RED, WHITE, at, decode

service = service_in_modes(allow_private="127.0.0.0/8", max_pixels=10_000_000, cache_bytes=1 << 20)


@pytest.fixture
async def pictures() -> AsyncIterator[str]:
    """The address of a server whose pictures, all lime, take a while."""

    async def picture(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        svg = (
            "<svg xmlns='http://www.w3.org/2000/svg' width='300' height='300'>"
            "<rect width='300' height='300' fill='lime'/></svg>"
        )
        return web.Response(text=svg, content_type="image/svg+xml")

    app = web.Application()
    app.router.add_get("/{name}.svg", picture)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


HEAD = "<!doctype html><style>body { margin: 0 } * { overflow-anchor: none }</style>"


async def whole(service: Service, page: str, **options: Any) -> tuple[Image.Image, str]:
    """A full page of a viewport of 300 x 400, and its warnings."""
    given = {"width": 300, "height": 400, "full_page": True, "scroll_page": True, **options}
    answer = await service.render(html=HEAD + page, background="#ffffff", **given)
    assert answer.status == 200, await answer.text()
    return decode(await answer.read()), answer.headers.get("X-Render-Warnings", "")


OBSERVED = """<style>div { height: 300px; background: red }</style>%s<script>
    const seen = new IntersectionObserver((all) => { for (const one of all) if (one.isIntersecting)
        one.target.style.background = 'blue' });
    for (const one of document.querySelectorAll('div')) seen.observe(one);
</script>""" % ("<div></div>" * 20)


@in_both_chromes
async def test_what_shows_itself_when_it_is_seen_is_there(service: Service) -> None:
    """Observers of intersections hear of every part of the page."""
    picture, warnings = await whole(service, OBSERVED)
    assert (picture.size, warnings) == ((300, 6000), "")
    assert {at(picture, 150, y) for y in range(50, 6000, 100)} == {BLUE}
    picture, _ = await whole(service, OBSERVED, scroll_page=False)
    assert at(picture, 150, 5950) == RED


async def test_pictures_that_wait_to_be_seen_are_there(service: Service, pictures: str) -> None:
    """They begin to load when they are scrolled to, and are waited for."""
    slots = "".join(f"<img data-src='{pictures}/{one}.svg'>" for one in range(8))
    page = f"""<style>img {{ display: block; width: 300px; height: 300px; background: red }}
        </style>{slots}<script>
        const seen = new IntersectionObserver((all) => {{ for (const one of all)
            if (one.isIntersecting) one.target.src = one.target.dataset.src }});
        for (const one of document.querySelectorAll('img')) seen.observe(one);
    </script>"""
    picture, _ = await whole(service, page)
    assert {at(picture, 150, y) for y in range(50, 2400, 100)} == {LIME}


async def test_backgrounds_that_wait_to_be_seen_are_there(service: Service, pictures: str) -> None:
    """They are no `<img>`, so that only the requests tell."""
    page = f"""<style>div {{ height: 300px; background: red }}</style>{"<div></div>" * 8}<script>
        let n = 0;
        const seen = new IntersectionObserver((all) => {{ for (const one of all)
            if (one.isIntersecting)
                one.target.style.background = `url({pictures}/${{n++}}.svg)` }});
        for (const one of document.querySelectorAll('div')) seen.observe(one);
    </script>"""
    picture, _ = await whole(service, page)
    assert {at(picture, 150, y) for y in range(50, 2400, 100)} == {LIME}


#: Adds a box of 400 pixels whenever its end is near, up to so many.
MORE = """<style>div { height: 400px; background: green } div:nth-child(2n) { background: blue }
    </style><main></main><script>
    const add = () => main.append(document.createElement('div'));
    const main = document.querySelector('main');
    add(); add();
    addEventListener('scroll', () => {
        if (main.children.length < %s && scrollY + innerHeight > document.body.scrollHeight - 200)
            add();
    });
</script>"""


async def test_a_page_that_loads_more_is_loaded_to_its_end(service: Service) -> None:
    """As often as it does so, within the limits."""
    picture, warnings = await whole(service, MORE % 12)
    assert (picture.size, warnings) == ((300, 4800), "")
    assert [at(picture, 9, y) for y in range(200, 4800, 400)] == [GREEN, BLUE] * 6


async def test_a_page_without_an_end_gives_what_there_is(service: Service) -> None:
    """With a warning; it is neither an error nor without an end."""
    picture, warnings = await whole(service, MORE % "Infinity")
    assert warnings == "endless_scroll;reason=steps"
    assert 400 * 40 < picture.height <= 400 * 60
    assert at(picture, 9, picture.height - 200) in (GREEN, BLUE)


@pytest.mark.slow
async def test_a_page_that_grows_too_high_is_cut(service: Service) -> None:
    """Where the limits of pictures are, and where those of its format are."""
    page = (MORE % "Infinity").replace("height: 400px", "height: 20000px", 1)
    picture, warnings = await whole(service, page, height=4000)
    assert warnings == "endless_scroll;reason=height"
    assert picture.size == (300, 10_000_000 // 300)
    picture, warnings = await whole(
        service, page, height=4000, format="webp", device_scale_factor=2
    )
    assert warnings == "endless_scroll;reason=height"
    assert picture.size == (600, 16_382)


async def test_a_slow_page_leaves_time_for_its_picture(service: Service) -> None:
    """Half of the time is for scrolling."""
    slow = "addEventListener('scroll', () => { const t = performance.now() + 400;"
    slow += " while (performance.now() < t); });"
    page = (MORE % "Infinity") + f"<script>{slow}</script>"
    picture, warnings = await whole(service, page, timeout_ms=12_000)
    assert warnings == "endless_scroll;reason=time"
    assert picture.height > 800


async def test_the_page_is_at_its_top_again(service: Service) -> None:
    """What is fixed, and what changes while the page is scrolled, is as at first."""
    page = """<style>nav { position: fixed; top: 0; height: 50px; width: 100%; background: red }
        nav.top { background: blue } p { height: 3000px; margin: 0; background: lime }</style>
        <nav class=top></nav><p></p><script>
        let far = 0;
        addEventListener('scroll', () => {
            document.querySelector('nav').className = scrollY ? '' : 'top';
            far = Math.max(far, scrollY);
            if (!scrollY) document.body.style.borderTop = far > 2500 ? '10px solid green' : '';
        });</script>"""
    picture, _ = await whole(service, page)
    assert picture.size == (300, 3010)
    assert [at(picture, 150, y) for y in (25, 55, 2900)] == [BLUE, LIME, LIME]
    page = page.replace("position: fixed", "position: absolute")
    picture, _ = await whole(service, page, full_page=False)
    assert picture.size == (300, 400)
    assert at(picture, 150, 25) == BLUE


async def test_a_page_that_refuses_to_scroll_is_painted(service: Service) -> None:
    """Or changes the functions for it, or scrolls by itself."""
    for script in (
        "addEventListener('scroll', () => scrollTo(0, 0))",
        "scrollTo = scrollBy = () => {}; requestAnimationFrame = () => {}",
        "document.documentElement.style.scrollBehavior = 'smooth'",
    ):
        page = f"<div style='height:3000px;background:green'></div><script>{script}</script>"
        picture, _ = await whole(service, page)
        assert picture.size == (300, 3000)
        assert at(picture, 150, 2950) == GREEN


async def test_a_short_page_is_painted(service: Service) -> None:
    """There is nothing to scroll; a PDF of it is a PDF."""
    picture, warnings = await whole(service, "<p>short")
    assert (picture.size, warnings) == ((300, 400), "")
    assert at(picture, 290, 390) == WHITE
    body = await service.picture(html=HEAD + OBSERVED, scroll_page=True, format="pdf")
    assert body.startswith(b"%PDF-")


async def test_a_page_that_is_scrolled_is_not_cached(service: Service) -> None:
    """It may look different each time."""
    words = []
    for given in ({}, {}, {"scroll_page": True}, {"scroll_page": True}):
        answer = await service.render(html="<p>x", **given)
        words.append(answer.headers["X-Cache"])
    assert words == ["miss", "hit", "bypass", "bypass"]
    answer = await service.render(html="<p>x", scroll_page=True, javascript=False)
    assert (answer.status, (await answer.json())["field"]) == (400, "scroll_page")
