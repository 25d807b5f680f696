"""Screenshots of the service's pages for docs/images: python -m tools.screenshots ADDRESS [FOLDER].

ADDRESS is that of a running service without tokens, such as http://127.0.0.1:8080. Chrome and the
packages of the tests (Playwright) are needed. Files are WebP of at most `MOST_BYTES`.
"""

import asyncio
import io
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from poster_service.browser.installed import find

FOLDER = Path(__file__).parent.parent / "docs" / "images"
MOST_BYTES = 150_000
#: How long a page may take for anything, in milliseconds.
PATIENCE = 60_000


async def _rendered(page: Page) -> None:
    await expect(page.locator("#status-line")).to_contain_text("Rendered", timeout=PATIENCE)
    await expect(page.locator(".cm-content")).to_be_visible(timeout=PATIENCE)


async def _form(page: Page) -> None:
    await expect(page.locator("#facts")).to_contain_text("1200 × 630", timeout=PATIENCE)


async def _gallery(page: Page) -> None:
    await _rendered(page)
    await page.get_by_role("button", name="Gallery").click()
    cards = page.locator("#gallery-cards .template-card")
    await expect(cards.first).to_be_visible(timeout=PATIENCE)
    for card in await cards.all():
        await card.scroll_into_view_if_needed()
        await expect(card.locator("img")).to_be_visible(timeout=PATIENCE)
    await cards.first.scroll_into_view_if_needed()


async def _api(page: Page) -> None:
    await expect(page.get_by_text("/healthz", exact=True)).to_be_visible(timeout=PATIENCE)


async def _status(page: Page) -> None:
    await expect(page.locator("#tiles")).to_contain_text("Zombies", timeout=PATIENCE)
    await page.locator(".lease summary").first.click()


@dataclass(frozen=True)
class Shot:
    """One screenshot.

    Attributes:
        path: Of the page.
        wait: Waits until the page shows what it is for.
        size: Of the window, in CSS pixels.
        scheme: Colours of the page.
    """

    path: str
    wait: Callable[[Page], Awaitable[None]]
    size: tuple[int, int] = (1440, 900)
    scheme: Literal["light", "dark"] = "light"


SHOTS: Mapping[str, Shot] = {
    "studio": Shot("/", _rendered),
    "studio-template": Shot("/#template=article-card", _form, scheme="dark"),
    "studio-gallery": Shot("/", _gallery),
    "studio-narrow": Shot("/", _rendered, size=(420, 900)),
    "api-page": Shot("/docs", _api, size=(1200, 800)),
    "status-page": Shot("/status", _status, size=(1200, 1000)),
}


async def take(browser: Browser, address: str, folder: Path) -> None:
    """Take every screenshot into a folder.

    Args:
        browser: A running one.
        address: Of a service without tokens.
        folder: Where the files are written, named as in `SHOTS`.
    """
    for name, shot in SHOTS.items():
        width, height = shot.size
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=shot.scheme,
            reduced_motion="reduce",
        )
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        await page.goto(f"{address}{shot.path}")
        await shot.wait(page)
        data = await page.screenshot()
        await context.close()
        image = Image.open(io.BytesIO(data)).convert("RGB")
        image.save(folder / f"{name}.webp", quality=82, method=6)


async def main(address: str, folder: Path) -> None:
    """Start a browser and take all."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find(None)), args=arguments, timeout=PATIENCE
        )
        await take(browser, address, folder)
        await browser.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER))
