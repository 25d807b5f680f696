"""The same service in Python: pyppeteer's `launch` for each render, closed the library's way.

POST /render {"html", "width", "height"} -> PNG. With ?ending=killed the browser process gets
SIGKILL instead, as a time-out handler would do. On SIGTERM it says so, cleans up for 300 ms, says
that it has, and leaves with 0. Chrome's own words go to the log.
"""

import asyncio
import os
import traceback
from typing import Any

from aiohttp import web
from pyppeteer import launch

CHROME = "/usr/lib/chromium/chromium-headless-shell"
CLEANING_S = 0.3
PATIENCE_S = 10


async def render(html: str, width: int, height: int, ending: str) -> bytes:
    """One picture by a Chrome of its own."""
    # Its signal handlers would stand in the way of aiohttp's.
    browser = await launch(
        executablePath=CHROME, args=["--no-sandbox"], autoClose=False, dumpio=True,
        handleSIGINT=False, handleSIGTERM=False, handleSIGHUP=False,
    )  # fmt: skip
    try:
        return await asyncio.wait_for(paint(browser, html, width, height), PATIENCE_S)
    finally:
        await end(browser, ending)


async def paint(browser: Any, html: str, width: int, height: int) -> bytes:
    """What is done in that Chrome."""
    page = await browser.newPage()
    await page.setViewport({"width": width, "height": height})
    await page.setContent(html)
    picture: bytes = await page.screenshot(type="png")
    return picture


async def end(browser: Any, ending: str) -> None:
    """The library's way, or the way of a time-out handler."""
    if ending != "killed":
        await browser.close()
        return
    browser.process.kill()
    browser.process.wait()


async def answer(request: web.Request) -> web.Response:
    """POST /render."""
    options = await request.json()
    ending = request.query.get("ending", "")
    try:
        picture = await render(options["html"], options["width"], options["height"], ending)
    except Exception:
        return web.Response(status=500, text=traceback.format_exc())
    return web.Response(body=picture, content_type="image/png")


async def say_ready(_: web.Application) -> None:
    """Called just before the port is open; callers try until it is."""
    print("ready")


async def clean_up(_: web.Application) -> None:
    """What TERM leads to in aiohttp."""
    print("told")
    await asyncio.sleep(CLEANING_S)
    print("cleaned up")


def main() -> None:
    """Serve until TERM."""
    app = web.Application()
    app.router.add_post("/render", answer)
    app.on_startup.append(say_ready)
    app.on_shutdown.append(clean_up)
    web.run_app(app, port=int(os.environ["PORT"]), print=None)


if __name__ == "__main__":
    main()
