"""Pictures of the service's pages and samples: python -m tools.screenshots ADDRESS [FOLDER].

ADDRESS is that of a running service without tokens, such as http://127.0.0.1:8080, with the bundled
templates; FOLDER is docs/images where none is given. Chrome and the packages of the tests
(Playwright) are needed. Files are WebP of at most `MOST_BYTES`; `pages.json` beside them has the
words of each page. A test takes all of them again, into dist/screenshots, and fails where a file of
docs/images is stale (`stale`).
"""

import asyncio
import io
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from poster_service.browser.installed import find

FOLDER = Path(__file__).parent.parent / "docs" / "images"
#: The words of each page, in a folder of screenshots.
WORDS = "pages.json"
MOST_BYTES = 150_000
#: A template's sample fits into so many pixels.
SAMPLE = 400, 300
#: How long a page may take for anything, in milliseconds.
PATIENCE = 60_000
#: Pictures are compared in cells of so many pixels a side: figures and the edges of letters differ
#: from one time to the next, and hardly change the mean of a cell.
CELL = 24
#: A cell has changed if the mean of one of its colours differs by more, of 255.
MOST_DIFFERENCE = 24
#: A picture is stale if a greater share of its cells has changed.
MOST_CHANGED = 0.08
#: Words that a reader sees on a page as it stands: not its figures, not what was rendered, and not
#: what is written elsewhere: the operations of the API, the groups of GET /status.
READ_WORDS = """() => [...new Set([...document.querySelectorAll(
    'h1, h2, h3, nav a, button, label, legend, th, .tile dt, .section > summary, .opblock-tag')]
  .filter((one) => one.checkVisibility()
    && !one.closest('.lease, #more, #stage, .cm-editor, #families, .opblock'))
  .map((one) => one.innerText.replace(/\\d+/g, '#').replace(/\\s+/g, ' ').trim())
  .filter(Boolean))]"""


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


async def _fonts(page: Page) -> None:
    await expect(page.locator("#families .line img").first).to_be_visible(timeout=PATIENCE)


@dataclass(frozen=True)
class Shot:
    """One screenshot.

    Attributes:
        path: Of the page.
        wait: Waits until the page shows what it is for.
        size: Of the window, in CSS pixels.
        scheme: Colours of the page.
        most_changed: Which share of its cells may differ from one time to the next.
    """

    path: str
    wait: Callable[[Page], Awaitable[None]]
    size: tuple[int, int] = (1440, 900)
    scheme: Literal["light", "dark"] = "light"
    most_changed: float = MOST_CHANGED


SHOTS: Mapping[str, Shot] = {
    "studio": Shot("/", _rendered),
    "studio-template": Shot("/#template=article-card", _form, scheme="dark"),
    "studio-gallery": Shot("/", _gallery),
    "studio-narrow": Shot("/", _rendered, size=(420, 900)),
    "api-page": Shot("/docs", _api, size=(1200, 800)),
    # On a busy machine its verdict has a line more, for each stall of the event loop.
    "status-page": Shot("/status", _status, size=(1200, 1000), most_changed=0.3),
    "fonts-page": Shot("/fonts", _fonts, size=(1200, 700)),
}


async def take(browser: Browser, address: str, folder: Path) -> None:
    """Take everything into a folder, and write the words of the pages beside it.

    Args:
        browser: A running one.
        address: Of a service without tokens.
        folder: Where the files are written, named as in `SHOTS`.
    """
    words: dict[str, list[str]] = {}
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
        words[name] = await page.evaluate(READ_WORDS)
        _save(await page.screenshot(), folder / f"{name}.webp")
        await context.close()
    await _take_samples(browser, address, folder)
    text = json.dumps(words, ensure_ascii=False, indent=1)
    (folder / WORDS).write_text(f"{text}\n", "utf-8")


async def _take_samples(browser: Browser, address: str, folder: Path) -> None:
    """The sample of each template, small."""
    context = await browser.new_context()
    listing = await (await context.request.get(f"{address}/templates")).json()
    for one in listing["templates"]:
        wanted = {"template": one["name"], "data": one["sample"]}
        answer = await context.request.post(f"{address}/render", data=wanted, timeout=PATIENCE)
        if not answer.ok:
            raise RuntimeError(await answer.text())
        _save(await answer.body(), folder / f"template-{one['name']}.webp", SAMPLE)
    await context.close()


def _save(data: bytes, file: Path, most: tuple[int, int] | None = None) -> None:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if most is not None:
        image.thumbnail(most)
    image.save(file, quality=82, method=6)


def stale(taken: Path, kept: Path = FOLDER) -> Iterator[str]:
    """What is wrong with screenshots that are kept, by those that were taken again.

    Args:
        taken: The folder of the new ones.
        kept: The folder of those that are looked at by readers.
    """
    new, old = _words(taken), _words(kept)
    for name in sorted({file.stem for file in (*taken.glob("*.webp"), *kept.glob("*.webp"))}):
        file = kept / f"{name}.webp"
        if not (taken / file.name).exists():
            yield f"{name}: is a picture of no page and of no template"
            continue
        if not file.exists():
            yield f"{name}: there is no screenshot"
            continue
        if file.stat().st_size > MOST_BYTES:
            yield f"{name}: {file.stat().st_size} bytes are more than {MOST_BYTES}"
        most = SHOTS[name].most_changed if name in SHOTS else MOST_CHANGED
        if (share := changed(taken / file.name, file)) > most:
            yield f"{name}: {share:.1%} of the picture has changed"
        if new.get(name) != old.get(name):
            differing = {*new.get(name, ())} ^ {*old.get(name, ())}
            yield f"{name}: the page has other words: {sorted(differing) or 'another order'}"


def _words(folder: Path) -> dict[str, list[str]]:
    file = folder / WORDS
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


def changed(one: Path, other: Path) -> float:
    """Which share of the cells of a picture differs from those of another, from 0 to 1."""
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return 1.0
        cells = max(1, first.width // CELL), max(1, first.height // CELL)
        pixels = [
            each.convert("RGB").resize(cells, Image.Resampling.BOX).tobytes()
            for each in (first, second)
        ]
    differences = [abs(a - b) for a, b in zip(*pixels, strict=True)]
    count = sum(
        max(differences[at : at + 3]) > MOST_DIFFERENCE for at in range(0, len(differences), 3)
    )
    return count / (cells[0] * cells[1])


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
