"""The incident's design: pyppeteer's `launch` for each render, closed the library's way.

POST /render {"html", "width", "height", "full_page"} -> PNG. It tells its address on stdout.
"""

import os
import traceback

from aiohttp import web
from pyppeteer import launch


async def answer(request):
    """POST /render."""
    options = await request.json()
    try:
        # Its signal handlers would stand in the way of aiohttp's.
        browser = await launch(
            executablePath=os.environ["CHROME"],
            args=["--no-sandbox"] if os.getuid() == 0 else [],
            autoClose=False,
            handleSIGINT=False,
            handleSIGTERM=False,
            handleSIGHUP=False,
        )
        try:
            page = await browser.newPage()
            await page.setViewport({"width": options["width"], "height": options["height"]})
            await page.setContent(options["html"])
            picture = await page.screenshot(type="png", fullPage=bool(options.get("full_page")))
        finally:
            await browser.close()
    except Exception:
        return web.Response(status=500, text=traceback.format_exc())
    return web.Response(body=picture, content_type="image/png")


async def main():
    """Serve until TERM."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/render", answer)
    return app


if __name__ == "__main__":
    from listen import serve

    serve(main())
