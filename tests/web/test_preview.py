"""`poster-service template preview`: the studio shows a template, and again on each save."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import pytest

from poster_service.commands.template import STARTER
from tests.chrome.conftest import PROGRAMS, installed
from tests.docs.service import environment, started
from tests.web.browser import playwright_running

pytestmark = pytest.mark.slow
#: A page that the service renders, although a part of it has no effect, and a picture is missing.
PAGE = """<!doctype html>
<p style="color: red">{{ title }}</p><img src="none.png" alt="">
<img src="http://pictures.example/a.png" alt="">
"""


def begun(folder: Path) -> Path:
    """A template as `new` makes it."""
    folder.mkdir(parents=True)
    for file in STARTER.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


async def test_a_save_is_in_the_studios_picture(work_dir: Path, tmp_path: Path) -> None:
    """A style, then mistakes as `template check` finds them, then their correction.

    It begins with one that the service can live with. Nothing is left at the end.
    """
    folder = begun(tmp_path / "mine/hello")
    (folder / "poster.html").write_text(PAGE)
    command = (sys.executable, "-m", "poster_service", "template", "preview", str(folder))
    env = environment(work_dir)
    async with (
        started(*command, work_dir=work_dir, env=env) as address,
        playwright_running() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=installed(PROGRAMS[1]))
        try:
            page = await browser.new_page()
            await page.goto(f"{address}/?watch#template=hello")
            shown = page.locator("#stage img").first
            await shown.wait_for(timeout=60_000)
            before = await shown.get_attribute("src")
            (folder / "style.css").write_text("body { background: teal }")
            other = page.locator(f"#stage img:not([src='{before}'])").first
            await other.wait_for(timeout=60_000)
            findings = page.locator("#findings li")
            (folder / "poster.html").write_text("<!doctype html>\n{{ titel }}")
            reported = findings.filter(has_text="did you mean `title`?")
            await reported.wait_for(timeout=60_000)
            assert (await reported.inner_text()).startswith("error hello/poster.html:2")
            # What works and has no effect is found too, and the warning has a template's remedy.
            (folder / "poster.html").write_text(PAGE)
            await reported.wait_for(state="detached", timeout=60_000)
            styled = findings.filter(has_text="style= has no effect")
            assert (await styled.inner_text()).startswith("error hello/poster.html:2")
            await findings.filter(has_text="the page never uses `link`").wait_for(timeout=60_000)
            for remedy in ("The policy of templates forbids it", "The template's folder has no"):
                await page.locator("#warnings", has_text=remedy).wait_for(timeout=60_000)
            assert "Send it in a form" not in await page.locator("#warnings").inner_text()
            (folder / "poster.html").write_text(STARTER.joinpath("poster.html").read_text())
            await page.get_by_text("template check: nothing is wrong").wait_for(timeout=60_000)
            assert await findings.count() == 0
        finally:
            await browser.close()


async def test_only_this_template_is_served_and_only_here(work_dir: Path, tmp_path: Path) -> None:
    """Beside one with a mistake; its version changes with its files, and with those it includes."""
    folder = begun(tmp_path / "mine/hello")
    begun(tmp_path / "mine/broken").joinpath("poster.html").write_text("{% if %}")
    (tmp_path / "mine/shared").mkdir()
    part = tmp_path / "mine/shared/part.html"
    part.write_text("a")
    page = folder / "poster.html"
    page.write_text(page.read_text("utf-8") + "{% include 'shared/part.html' %}", "utf-8")
    env = environment(work_dir, POSTER_HOST="0.0.0.0")
    command = (sys.executable, "-m", "poster_service", "template", "preview", str(folder))
    async with (
        started(*command, work_dir=work_dir, env=env) as address,
        aiohttp.ClientSession() as s,
    ):
        assert address.startswith("http://127.0.0.1:")

        async def version() -> int:
            async with s.get(f"{address}/templates") as answer:
                (found,) = json.loads(await answer.text())["templates"]
            assert found["name"] == "hello"
            return int(found["version"])

        before = await version()
        assert await version() == before
        await asyncio.to_thread(part.write_text, "changed")
        assert await version() != before
