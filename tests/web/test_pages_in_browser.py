"""The API page and the status page, in a real browser."""

import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from playwright.async_api import Browser, expect

from poster_service.process import census
from tests.bundled import FOLDER
from tests.docs.pages import ROOT
from tests.web.browser import PATIENCE, chromium, serious_barriers, visiting
from tests.web.conftest import Service, StartService
from tests.web.service import running_in_own_folder
from tools import screenshots

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
expect.set_options(timeout=PATIENCE)
#: A busy machine stalls the event loop, which the page reports: a warning, and no more.
WELL = re.compile(r"verdict (good|warn)")
TOKEN = "web-token-0123456789"
#: Where the screenshots are put that the tests take, for a person or a CI to look at.
TAKEN = ROOT / "dist" / "screenshots"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of this file."""
    async with chromium() as found:
        yield found


@pytest.fixture(scope="module")
async def guarded(browser: Browser) -> AsyncIterator[Service]:
    """A service with a token, which the tests of this file share."""
    assert browser.is_connected()  # it starts first: its start blocks, which no service's loop may
    async with running_in_own_folder(tokens=f"web={TOKEN}") as found:
        yield found


async def test_a_request_of_the_api_page_is_a_picture(guarded: Service, browser: Browser) -> None:
    """The token once for the description and the requests; the example as it stands."""
    async with visiting(browser, guarded.address, "/docs") as visit:
        page = visit.page
        await page.locator("#token-input").fill(TOKEN)
        await page.get_by_role("button", name="Use it").click()
        operation = page.locator("#operations-Render-post_render")
        await operation.locator(".opblock-summary-control").click()
        await operation.get_by_role("button", name="Execute").click()
        picture = operation.locator(".live-responses-table img")
        await expect(picture).to_be_visible()
        size = await picture.evaluate(
            "one => one.decode().then(() => [one.naturalWidth, one.naturalHeight])"
        )
        assert size == [1200, 630]


async def test_the_status_page_says_what_is_wrong(
    start_service: StartService, browser: Browser
) -> None:
    """An error is in its list, each lease has its processes, and a stop is not well."""
    service = await start_service()
    async with visiting(browser, service.address, "/status", reduced_motion="reduce") as visit:
        page = visit.page
        verdict = page.locator("#verdict")
        await expect(verdict).to_have_class(WELL)
        await expect(page.locator("#tiles")).to_contain_text("Zombies0")
        failed = await service.render(html="<p>x", selector="#none")
        errors = page.locator("#errors")
        await expect(errors).to_contain_text("selector_not_found")
        await expect(errors).to_contain_text(failed.headers["X-Request-Id"])
        await expect(page.locator("#outcomes")).to_contain_text("selector_not_found")
        assert (await service.render(html="<p>x", width=0)).status == 400
        await expect(page.locator("#refused")).to_contain_text("invalid_field1")
        tiles = page.locator("#tiles")
        await expect(tiles.locator(".tile", has_text="Caller errors")).to_contain_text("2 since")
        await expect(tiles.locator(".tile", has_text="Service errors")).to_contain_text("0 since")
        await page.locator(".lease summary").first.click()
        await expect(page.locator(".lease").first).to_contain_text("poster-shim")
        assert await serious_barriers(page) == []
        await page.get_by_role("button", name="Pause").click()
        await service.engine.drain()
        await page.get_by_role("button", name="Pause").click()
        await expect(verdict).to_contain_text("the service stops and accepts no renders")


#: Every control that a person may use, and those that show no focus while they have it.
CONTROLS = """() => [...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex="0"]')]
  .filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0)
  .map((one, at) => { one.dataset.at = at; return one.id || one.innerText || one.outerHTML })"""
FOCUSED = """() => {
  const one = document.activeElement;
  const shows = (it) => getComputedStyle(it).outlineStyle !== 'none';
  return [Number(one.dataset.at ?? -1), shows(one) || shows(one.parentElement)
    || Boolean(one.closest('#editor') && shows(document.getElementById('editor')))];
}"""


@pytest.mark.parametrize("path", ["/", "/#template=article-card", "/docs", "/status", "/fonts"])
async def test_every_control_is_reached_by_the_keyboard_and_shows_its_focus(
    service: Service, browser: Browser, path: str
) -> None:
    """By Tab alone, from the top of the page."""
    async with visiting(browser, service.address, path) as visit:
        page = visit.page
        await page.wait_for_selector("html[data-ready]")
        if path == "/status":  # or its tables are drawn again meanwhile
            await page.get_by_role("button", name="Pause").click()
        elif path == "/docs":
            await expect(page.locator(".opblock-summary-control").first).to_be_visible()
        elif path != "/fonts":
            await expect(page.locator("#status-line")).to_contain_text("Rendered")
            await expect(page.locator(".cm-content")).to_have_count(0 if "template" in path else 1)
        controls = await page.evaluate(CONTROLS)
        assert len(controls) > 5
        await page.evaluate("document.activeElement.blur()")
        reached, shown = set(), set()
        for _ in range(len(controls) + 20):
            await page.keyboard.press("Tab")
            at, shows = await page.evaluate(FOCUSED)
            reached.add(at)
            if shows:  # a part of a date shows its own
                shown.add(at)
        assert [name for at, name in enumerate(controls) if at not in reached] == []
        assert [name for at, name in enumerate(controls) if at not in shown] == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_api_page_shows_its_focus_in_colours_that_are_seen(
    service: Service, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    """Those of the other pages: Swagger UI's own outline is hardly seen on dark."""
    outline = "getComputedStyle(document.activeElement).outlineColor"
    async with visiting(browser, service.address, "/docs", color_scheme=scheme) as visit:
        page = visit.page
        await expect(page.locator(".opblock-summary-control").first).to_be_visible()
        await page.keyboard.press("Tab")
        usual = await page.evaluate(outline)
        for control in (".operation-filter-input", ".opblock-summary-control", ".expand-operation"):
            await page.locator(control).first.focus()
            assert await page.evaluate(outline) == usual, control


@contextlib.contextmanager
def process_of_lease(
    service: Service, lease: int, script: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the tag of a lease; killed and waited for at the end, and not before."""
    tag = census.make_tag(service.instance, lease)
    hard = resource.getrlimit(census.RLIMIT_LOCKS)[1]
    limit = f"import resource, time; resource.setrlimit({census.RLIMIT_LOCKS}, ({tag}, {hard}))"
    process = subprocess.Popen([sys.executable, "-c", f"{limit}\n{script}"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_the_status_page_shows_a_zombie_and_what_was_left_behind(
    service: Service, browser: Browser
) -> None:
    """Real ones: a process that has exited and is not waited for, and one that no Chrome owns."""
    async with visiting(browser, service.address, "/status", reduced_motion="reduce") as visit:
        page = visit.page
        verdict = page.locator("#verdict")
        await expect(verdict).to_have_class(WELL)
        with (
            process_of_lease(service, 4_000_001, "") as dead,
            process_of_lease(service, 4_000_002, "time.sleep(600)") as left,
        ):
            await expect(verdict).to_have_class("verdict bad")
            await expect(verdict).to_contain_text("Zombies: 1.")
            await expect(verdict).to_contain_text("Processes of no Chrome of the pool: 2.")
            await expect(page.locator("#tiles .bad")).to_contain_text("Zombies1")
            lease = page.locator(".lease", has_text="Lease 4000001")
            await lease.locator("summary").click()
            row = lease.locator("tr", has_text=str(dead.pid))
            await expect(row).to_contain_text(f"zombie, not waited for by {os.getpid()}")
            lease = page.locator(".lease", has_text="Lease 4000002")
            await expect(lease).to_contain_text("left behind: the pool has no such Chrome")
            await expect(lease).to_contain_text(str(left.pid))
            assert await serious_barriers(page) == []
        await expect(verdict).to_have_class(WELL)


async def test_the_status_page_asks_for_the_token(guarded: Service, browser: Browser) -> None:
    """And shows nothing without it."""
    async with visiting(
        browser, guarded.address, "/status", color_scheme="dark", reduced_motion="reduce"
    ) as visit:
        page = visit.page
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#verdict")).to_contain_text("need a token")
        await page.locator("#token-input").fill(TOKEN)
        await page.get_by_role("button", name="Use it").click()
        await expect(page.locator("#verdict")).to_have_class(WELL)
        assert await serious_barriers(page) == []


async def test_the_pages_lead_to_each_other(service: Service, browser: Browser) -> None:
    """By the line at the top, also behind a prefix: addresses are relative."""
    async with visiting(browser, service.address, "/status") as visit:
        page = visit.page
        await expect(page.locator("#verdict")).to_have_class(WELL)
        await page.get_by_role("link", name="API").click()
        await expect(page.get_by_text("/healthz", exact=True)).to_be_visible()
        assert await serious_barriers(page) == []
        await page.get_by_role("link", name="Fonts").click()
        await expect(page.locator("#message")).to_contain_text("families")


async def test_the_screenshots_of_the_docs_are_those_of_the_pages(
    start_service: StartService, browser: Browser
) -> None:
    """Taken again into dist/screenshots; the difference is small, and the words are the same."""
    service = await start_service(templates=FOLDER)
    # One screenshot has an error in it, as the status page of a service that is in use.
    await service.render(html="<p>x", selector="#none")
    shutil.rmtree(TAKEN, ignore_errors=True)
    TAKEN.mkdir(parents=True)
    await screenshots.take(browser, service.address, TAKEN)
    found = list(screenshots.stale(TAKEN))
    assert not found, f"{found}; look at {TAKEN} and copy what is right to {screenshots.FOLDER}"


def test_a_stale_screenshot_is_found(tmp_path: Path) -> None:
    """One of another page, one of another size, one that is missing, and other words."""
    for file in (*screenshots.FOLDER.glob("*.webp"), screenshots.FOLDER / screenshots.WORDS):
        shutil.copy(file, tmp_path)
    assert list(screenshots.stale(tmp_path)) == []
    shutil.copy(tmp_path / "studio-template.webp", tmp_path / "studio.webp")
    shutil.copy(tmp_path / "template-invoice.webp", tmp_path / "template-ticket.webp")
    (tmp_path / "api-page.webp").unlink()
    with Image.open(tmp_path / "status-page.webp") as image:
        image.crop((0, 0, 1200, 990)).save(tmp_path / "status-page.webp")
    words = tmp_path / screenshots.WORDS
    words.write_text(words.read_text("utf-8").replace('"Gallery"', '"Galerie"'), "utf-8")
    shutil.copy(tmp_path / "template-invoice.webp", tmp_path / "template-gone.webp")
    found = list(screenshots.stale(screenshots.FOLDER, tmp_path))
    assert [one.partition(":")[0] for one in found if "picture" in one or "there is no" in one] == [
        "api-page", "status-page", "studio", "template-gone", "template-ticket",
    ]  # fmt: skip
    assert {one.partition(":")[0] for one in found if "other words" in one} == {
        "studio", "studio-template", "studio-gallery", "studio-narrow",
    }  # fmt: skip
