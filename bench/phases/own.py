"""Lives of a Chrome by the service's own parts, step by step.

    python -m bench.phases.own FILE_WITH_THE_CPU_OF_OUR_GROUP LIVES [root | context]

Run by `python -m bench.phases` inside a control group. Each Chrome is started, watched and ended as
the service does it, with a shim from the fork server, sandbox and user as they are by default; with
`root` without these two; with `context` it is one Chrome, and a life is that of a browser context.
HTTP, queue, options and answer are not part of it. Prints a JSON list.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from bench.phases.meter import QUIET_SECONDS, Meter, Step
from bench.render.environments import CHROME
from bench.render.posters import REFERENCE
from poster_service.browser.chrome import Chrome, _launch
from poster_service.browser.page import PosterPage
from poster_service.browser.page_factory import PageFactory
from poster_service.browser.pool_folder import PoolFolder
from poster_service.browser.spec import ChromeSpec, Sandbox
from poster_service.browser.types import CaptureOptions, PageOptions, Reply, Request
from poster_service.chrome_setup import chrome_spec
from poster_service.settings import Settings

PICTURE = CaptureOptions(
    PageOptions(REFERENCE.width, REFERENCE.height, 1, (255, 255, 255, 255)),
    format="png", quality=None, full_page=False, background=(255, 255, 255, 255),
    max_pixels=10_000_000,
)  # fmt: skip
Done = Callable[[str], Awaitable[None]]
HTML = REFERENCE.body["html"].encode()


async def document(_: Request) -> Reply:
    """The reference poster."""
    return Reply(200, (("Content-Type", "text/html; charset=utf-8"),), HTML)


def measured(usage: Path) -> tuple[Meter, Done]:
    """A meter, and what to call after each step."""
    meter = Meter(usage)

    async def done(step: str) -> None:
        meter.stop()
        await asyncio.sleep(QUIET_SECONDS)
        meter.note(step)

    return meter, done


async def life(usage: Path, spec: ChromeSpec, lease: int) -> dict[str, Step]:
    """One Chrome from its start to its end."""
    meter, done = measured(usage)
    group, connection = _launch(spec, lease)
    pages = await PageFactory.open(connection, spec.viewport_hint, supports_begin_frame=True)
    await done("start")
    page = await pages.new_page(own_context=False)
    chrome = Chrome(spec, group, connection, pages, page)
    await done("page")
    await render(page, done)
    chrome.end()
    ending = await chrome.wait_gone()
    assert ending.clean, ending
    await done("end")
    return meter.steps


async def contexts(usage: Path, spec: ChromeSpec, number: int) -> list[dict[str, Step]]:
    """So many browser contexts of one Chrome, after one that is not measured.

    The next page is opened within the step that ends the last, as the service does it.
    """
    found: list[dict[str, Step]] = []
    chrome = await Chrome.start(replace(spec, renders=number + 2), 1)
    for _ in range(number + 1):
        meter, done = measured(usage)
        await render(chrome.page, done)
        await chrome.renew()
        await done("end")
        found.append(meter.steps)
    chrome.end()
    await chrome.wait_gone()
    return found[1:]


async def render(page: PosterPage, done: Done) -> None:
    """One render in a page that is ready."""
    await done("ready")
    await page.set_up(PICTURE.page)
    await page.loading.load(document, is_static=True)
    await done("load")
    await page.wait_painted(is_static=True)
    await done("wait")
    assert await page.capture(PICTURE)
    await done("capture")


async def measure(usage: Path, lives: int, home: Path, how: str) -> list[dict[str, Step]]:
    """So many lives, after one that is not measured; `how` is "root", "context" or ""."""
    spec = chrome_spec(Settings(chrome=Path(CHROME), work_dir=home), Path(CHROME))
    if how == "root":
        spec = replace(spec, user=None, sandbox=Sandbox.OFF)
    folder = PoolFolder(spec.instance_dir)
    await folder.open(shared=spec.user is not None)
    await asyncio.to_thread(spec.fonts.prepare)
    assert spec.server
    spec.server.start()
    while not spec.server.is_up:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.01)
    spec.viewport_hint.note(PICTURE.page.viewport)
    try:
        if how == "context":
            return await contexts(usage, spec, lives)
        return [await life(usage, spec, lease) for lease in range(1, lives + 2)][1:]
    finally:
        spec.server.close()
        await folder.close()


def main() -> None:
    """Measure and print."""
    usage, lives = Path(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="pp-") as home:
        Path(home).chmod(0o711)
        how = "".join(sys.argv[3:])
        print(json.dumps(asyncio.run(measure(usage, lives, Path(home), how))))


if __name__ == "__main__":
    main()
