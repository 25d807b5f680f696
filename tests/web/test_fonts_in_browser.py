"""The fonts page in a real browser: each family has a line that the service has rendered."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.generated_fonts import BRAND, branded_folder
from tests.web.browser import PATIENCE, chromium, serious_barriers, visiting
from tests.web.conftest import StartService

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
expect.set_options(timeout=PATIENCE)
TOKEN = "web-token-0123456789"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of this file."""
    async with chromium() as found:
        yield found


@pytest.fixture
def folder(work_dir: Path) -> Path:
    """Fonts of the operator."""
    return branded_folder(work_dir.parent)


async def dark_share(page: Page, family: str) -> float:
    """Which share of the begin of a family's line is black, at half its height."""
    line = page.get_by_role("img", name=f"A line in {family}", exact=True)
    await expect(line.locator("img")).to_be_visible()
    await line.locator("img").evaluate("one => one.decode()")
    shot = Image.open(io.BytesIO(await line.screenshot(caret="initial"))).convert("L")
    middle = shot.crop((6, shot.height // 2, 200, shot.height // 2 + 1)).tobytes()
    return sum(one < 64 for one in middle) / len(middle)


async def test_each_family_has_a_line_in_its_own_font(
    start_service: StartService, folder: Path, browser: Browser
) -> None:
    """After the token; a name is searched, an own text is drawn, and axe finds nothing serious."""
    service = await start_service(fonts=str(folder), tokens=f"web={TOKEN}")
    async with visiting(browser, service.address, "/fonts", reduced_motion="reduce") as visit:
        page = visit.page
        await page.locator("#token-input").fill(TOKEN)
        await page.get_by_role("button", name="Use it").click()
        # Squares side by side are a black bar, unlike any other font's letters.
        assert await dark_share(page, BRAND) == 1
        assert 0 < await dark_share(page, "DejaVu Sans") < 0.9
        assert await serious_barriers(page) == []
        await page.locator("#search").fill("brand's")
        await expect(page.locator("#message")).to_contain_text("1 of")
        await expect(page.locator("#families tr:visible")).to_have_count(1)
        before = await page.locator("#families tr:visible img").get_attribute("src")
        assert before is not None
        await page.locator("#text").fill("i")
        await expect(page.locator("#families tr:visible img")).not_to_have_attribute("src", before)
        assert await dark_share(page, BRAND) < 0.3
        await page.locator("#search").fill("no such font")
        await expect(page.locator("#message")).to_have_text(
            "No family or script matches “no such font”."
        )
        await expect(page.locator("#table")).to_be_hidden()


async def test_its_sheets_come_out_of_the_cache(
    start_service: StartService, browser: Browser
) -> None:
    """The second reader costs no render; all is well in dark colours and on a narrow screen."""
    service = await start_service(cache_bytes=32 << 20)
    for visitor in range(2):
        async with visiting(
            browser, service.address, "/fonts", color_scheme="dark", reduced_motion="reduce",
            viewport={"width": 420, "height": 900},
        ) as visit:  # fmt: skip
            await expect(visit.page.locator("#families img").first).to_be_visible()
            if visitor == 0:
                assert await serious_barriers(visit.page) == []
            else:
                assert service.engine.cache.answers["hit"] >= 1
