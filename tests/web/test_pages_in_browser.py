"""The API page and the status page, in a real browser."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, expect

from tests.web.browser import PATIENCE, chromium, serious_barriers, visiting
from tests.web.conftest import Service, StartService
from tools import screenshots

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
expect.set_options(timeout=PATIENCE)
#: A busy machine stalls the event loop, which the page reports: a warning, and no more.
WELL = re.compile(r"verdict (good|warn)")
TOKEN = "web-token-0123456789"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of this file."""
    async with chromium() as found:
        yield found


async def test_a_request_of_the_api_page_is_a_picture(
    start_service: StartService, browser: Browser
) -> None:
    """The token once for the description and the requests; the example as it stands."""
    service = await start_service(tokens=f"web={TOKEN}")
    async with visiting(browser, service.address, "/docs") as visit:
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
        await page.locator(".lease summary").first.click()
        await expect(page.locator(".lease").first).to_contain_text("poster-shim")
        assert await serious_barriers(page) == []
        await page.get_by_role("button", name="Pause").click()
        await service.engine.drain()
        await page.get_by_role("button", name="Pause").click()
        await expect(verdict).to_contain_text("the service stops and accepts no renders")


async def test_the_status_page_asks_for_the_token(
    start_service: StartService, browser: Browser
) -> None:
    """And shows nothing without it."""
    service = await start_service(tokens=f"web={TOKEN}")
    async with visiting(
        browser, service.address, "/status", color_scheme="dark", reduced_motion="reduce"
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


async def test_the_screenshots_of_the_docs_can_be_taken_again(
    service: Service, browser: Browser, tmp_path: Path
) -> None:
    """Each has its file in docs/images, small and of the size that the tool takes."""
    await screenshots.take(browser, service.address, tmp_path)
    for name, shot in screenshots.SHOTS.items():
        for folder in (tmp_path, screenshots.FOLDER):
            file = folder / f"{name}.webp"
            assert file.stat().st_size <= screenshots.MOST_BYTES, file
            with Image.open(file) as image:
                assert image.size == shot.size, file
