"""A picture service with Playwright, as it is usually written: one browser, a context per render.

POST /render {"html", "width", "height", "full_page"} -> PNG. It tells its address on stdout.
"""

import os
import traceback

from aiohttp import web
from playwright.async_api import async_playwright

BROWSER = web.AppKey("BROWSER", object)


async def answer(request):
    """POST /render."""
    options = await request.json()
    size = {"width": options["width"], "height": options["height"]}
    try:
        context = await request.app[BROWSER].new_context(viewport=size)
        try:
            page = await context.new_page()
            await page.set_content(options["html"], wait_until="load")
            full_page = bool(options.get("full_page"))
            picture = await page.screenshot(type="png", full_page=full_page)
        finally:
            await context.close()
    except Exception:
        return web.Response(status=500, text=traceback.format_exc())
    return web.Response(body=picture, content_type="image/png")


async def browser(app):
    """The one browser, for as long as the service runs."""
    async with async_playwright() as playwright:
        app[BROWSER] = await playwright.chromium.launch(
            executable_path=os.environ["CHROME"], chromium_sandbox=os.getuid() != 0
        )
        yield
        await app[BROWSER].close()


async def main():
    """Serve until TERM."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/render", answer)
    app.cleanup_ctx.append(browser)
    return app


if __name__ == "__main__":
    from listen import serve

    serve(main())
