"""A page that is used again: what it loads each time, and what is left of the last document."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from poster_service.browser.chrome import Chrome
from poster_service.browser.spec import ChromeSpec
from poster_service.browser.types import (
    ADDRESS,
    CaptureOptions,
    Environment,
    PageOptions,
    Reply,
    Request,
    Route,
)
from poster_service.browser.warm import CLEAN, WarmKey, WarmPage
from poster_service.errors import ChromeDied
from tests.chrome.conftest import PROGRAMS, installed

MakeSpec = Callable[[Path], ChromeSpec]

OPTIONS = PageOptions(60, 40, 1, (255, 255, 255, 255), environment=Environment(javascript=False))
CAPTURE = CaptureOptions(OPTIONS, "png", None, False, OPTIONS.background, 1_000_000)
PICTURE = "https://pictures.example/x.svg"
PAGE = (
    '<!doctype html><html lang="de" class="a"><head><title>A</title><meta charset="utf-8">'
    '<link rel="stylesheet" href="style.css"></head><!-- a -->'
    '<body class="b"><img src="%s" alt=""><p style="color: red" id="p">secret %s</p></body></html>'
)
POLICY = "default-src 'none'; style-src 'self'; img-src 'self' https: data:; base-uri 'none'"


def svg(colour: str) -> Reply:
    """A picture of one colour, which any cache may store."""
    text = (
        "<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20'>"
        f"<rect width='20' height='20' fill='{colour}'/></svg>"
    )
    headers = (("Content-Type", "image/svg+xml"), ("Cache-Control", "max-age=3600"))
    return Reply(200, headers, text.encode())


class Site:
    """Answers what a page asks for, and notes it.

    Attributes:
        asked: Addresses, in the order in which they were asked for.
    """

    def __init__(self, html: str, files: Mapping[str, Reply], pause: float = 0) -> None:
        self._html, self._files, self._pause = html, files, pause
        self.asked: list[str] = []

    async def answer(self, request: Request) -> Reply | None:
        """The document, a file, or nothing."""
        if request.url == ADDRESS:
            headers = (("Content-Type", "text/html"), ("Content-Security-Policy", POLICY))
            return Reply(200, headers, self._html.encode())
        self.asked.append(request.url)
        await asyncio.sleep(self._pause)
        return self._files.get(request.url)


class Warm:
    """A Chrome whose page is used again and again."""

    def __init__(self, chrome: Chrome) -> None:
        self.chrome = chrome
        self.life = WarmPage(WarmKey("card", 1, OPTIONS))

    async def render(self, route: Route, *, evicts: bool = True) -> bytes:
        """The picture of a document; then the page is cleaned."""
        page = self.chrome.page
        await page.set_up(OPTIONS)
        await page.loading.load(route, is_static=True)
        await page.wait_painted(is_static=True)
        picture = await page.capture(CAPTURE)
        await self.clean(evicts=evicts)
        return picture

    async def clean(self, *, evicts: bool = True) -> None:
        """Make the page ready for the next document."""
        await self.chrome.clean(self.life, evicts=evicts)

    async def value(self, expression: str) -> object:
        """What an expression gives in the page."""
        answer = await self.chrome.page._calls.evaluate(expression)
        return answer["result"].get("value")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(PROGRAMS[0], id="headless-shell"),
        pytest.param(PROGRAMS[1], id="chromium", marks=pytest.mark.slow),
    ],
)
def program(request: pytest.FixtureRequest) -> Path:
    """Each Chrome."""
    return installed(request.param)


@contextlib.asynccontextmanager
async def warm_page(spec: ChromeSpec) -> AsyncIterator[Warm]:
    """A Chrome of its own, ended afterwards."""
    spec.instance_dir.mkdir(parents=True, exist_ok=True)
    chrome = await Chrome.start(spec, 1)
    try:
        yield Warm(chrome)
    finally:
        chrome.end()
        await chrome.wait_gone()


STYLE = Reply(200, (("Content-Type", "text/css"),), b"body { margin: 0 }")
OWN = {f"{ADDRESS}style.css": STYLE}


async def test_a_picture_is_asked_for_again_and_the_page_keeps_its_own_files(
    make_spec: MakeSpec, program: Path
) -> None:
    """Another picture at the same address is seen at once, and a slow one is waited for.

    Without the removal from Chrome's memory it is not, with any header of its server: this test can
    fail.
    """
    async with warm_page(make_spec(program)) as warm:
        red = Site(PAGE % (PICTURE, "A"), {**OWN, PICTURE: svg("red")})
        blue = Site(PAGE % (PICTURE, "A"), {**OWN, PICTURE: svg("blue")}, pause=0.3)
        first = await warm.render(red.answer)
        second = await warm.render(blue.answer, evicts=False)
        assert second != first
        assert PICTURE in blue.asked
        blue.asked.clear()
        red.asked.clear()
        stale = await warm.render(red.answer)
        assert (stale, red.asked) == (second, [])
        assert await warm.render(red.answer) == first
        assert PICTURE in red.asked


async def test_nothing_of_a_document_is_left(make_spec: MakeSpec, program: Path) -> None:
    """Neither text, title, attributes, comments nor a picture; the style sheet stays loaded."""
    async with warm_page(make_spec(program)) as warm:
        site = Site(PAGE % (PICTURE, "A"), {**OWN, PICTURE: svg("red")})
        await warm.render(site.answer)
        assert await warm.value("new XMLSerializer().serializeToString(document)") == (
            '<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head>'
            '<link rel="stylesheet" href="style.css" /></head><body></body></html>'
        )
        assert await warm.value("document.title + document.styleSheets.length") == "1"
        assert await warm.value("performance.getEntriesByType('resource').length") == 0
        again = Site(PAGE % ("data:,", "B"), OWN)
        await warm.render(again.answer, evicts=False)
        await warm.render(again.answer, evicts=False)
        assert again.asked.count(f"{ADDRESS}style.css") <= 1, "only after it was removed"


async def test_a_page_that_is_not_as_it_was_is_not_used_again(
    make_spec: MakeSpec, program: Path
) -> None:
    """For every difference; here those that no page without scripts can cause."""
    site = Site(PAGE % ("data:,", "A"), OWN)
    for wrong, why in {
        "history.pushState(null, '', '/elsewhere')": "address",
        "document.head.append(Object.assign(document.createElement('link'),"
        " {rel: 'stylesheet', href: 'style.css'}))": "sheets",
        "document.body.animate([{opacity: 0}, {opacity: 1}], 1e6) && document.documentElement"
        ".animate([{opacity: 0}, {opacity: 1}], 1e6) && 1": "moving",
    }.items():
        async with warm_page(make_spec(program)) as warm:
            await warm.render(site.answer)
            await warm.clean()
            await warm.value(wrong)
            with pytest.raises(ChromeDied, match=why):
                await warm.clean()


async def test_another_document_is_another_page(make_spec: MakeSpec, program: Path) -> None:
    """Also where it looks the same."""
    async with warm_page(make_spec(program)) as warm:
        site = Site(PAGE % ("data:,", "A"), OWN)
        await warm.render(site.answer)
        state = await warm.value(CLEAN)
        assert isinstance(state, dict)
        warm.life.check(state)
        with pytest.raises(ChromeDied, match="origin"):
            warm.life.check({**state, "origin": state["origin"] + 1})
        with pytest.raises(ChromeDied, match="could not be emptied"):
            warm.life.check(None)


def test_memory_that_grows_ends_a_page() -> None:
    """Compared with what it was after the first renders."""
    life = WarmPage(WarmKey("card", 1, replace(OPTIONS, scale=2)))
    life.check_memory(100 << 20)
    life.check_memory(300 << 20)
    with pytest.raises(ChromeDied, match="grown by 300 MiB"):
        life.check_memory(400 << 20)
