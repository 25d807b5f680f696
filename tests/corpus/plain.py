"""A Chromium driven plainly, to compare with: no pool, no policy, no display clock of ours.

It speaks the DevTools protocol over a web socket, as puppeteer does: viewport, navigate, load
event, `Page.captureScreenshot` or `Page.printToPDF`. It shares no code with the service.
"""

import asyncio
import base64
import contextlib
import itertools
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

SWITCHES = (
    "--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars", "--disable-gpu",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0",
)  # fmt: skip
START_SECONDS = 30.0
PIXELS_PER_INCH = 96
# A lazy picture begins to load when it is near enough to the viewport, which may be after the load
# event: those that are sure to load are waited for. Chrome's margin is 1,250 CSS pixels at least; a
# picture farther away may load during a capture, or may not.
READY = """Promise.all([
    document.fonts.ready,
    ...[...document.images]
        .filter((image) => image.complete || image.loading !== 'lazy' ||
            image.getBoundingClientRect().top < innerHeight + 1000)
        .map((image) => image.decode().catch(() => 0)),
])"""


class PlainChromium:
    """One Chromium; each picture in a page of its own. Made by `plain_chromium`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded: dict[str, asyncio.Event] = {}
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            reported = message.json()
            if "id" in reported:
                self._answers.pop(reported["id"]).set_result(reported)
            elif reported.get("method") == "Page.loadEventFired":
                self._loaded[reported["sessionId"]].set()

    async def send(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, of a session if one is named."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": session} if session else {}))
        reply = await asyncio.wait_for(answer, 60)
        assert "error" not in reply, (method, reply)
        result: dict[str, Any] = reply["result"]
        return result

    @contextlib.asynccontextmanager
    async def page(self, url: str, width: int, height: int, scale: float) -> AsyncIterator[str]:
        """A page that has loaded; gives the name of its session."""
        made = await self.send("Target.createTarget", url="about:blank")
        target = made["targetId"]
        attached = await self.send("Target.attachToTarget", targetId=target, flatten=True)
        session = str(attached["sessionId"])
        self._loaded[session] = asyncio.Event()
        await self.send("Page.enable", session)
        await self.send(
            "Emulation.setDeviceMetricsOverride", session,
            width=width, height=height, deviceScaleFactor=scale, mobile=False,
        )  # fmt: skip
        self._loaded[session].clear()
        await self.send("Page.navigate", session, url=url)
        await asyncio.wait_for(self._loaded[session].wait(), 60)
        await self.send("Runtime.evaluate", session, expression=READY, awaitPromise=True)
        yield session
        await self.send("Target.closeTarget", targetId=target)

    async def picture(self, session: str, *, full_page: bool) -> bytes:
        """A PNG of the viewport, or of the whole document as puppeteer takes it."""
        more: dict[str, Any] = {}
        if full_page:
            size = (await self.send("Page.getLayoutMetrics", session))["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            more = {"clip": clip, "captureBeyondViewport": True}
        reported = await self.send("Page.captureScreenshot", session, format="png", **more)
        return base64.b64decode(reported["data"])

    async def pdf(self, session: str, width: int, height: int) -> bytes:
        """A PDF on paper of a size in CSS pixels, without margins."""
        margins = dict.fromkeys(("marginTop", "marginBottom", "marginLeft", "marginRight"), 0)
        reported = await self.send(
            "Page.printToPDF", session, printBackground=True, preferCSSPageSize=True,
            paperWidth=width / PIXELS_PER_INCH, paperHeight=height / PIXELS_PER_INCH, **margins,
        )  # fmt: skip
        return base64.b64decode(reported["data"])

    def close(self) -> None:
        """Stop reading."""
        self._reader.cancel()


@contextlib.asynccontextmanager
async def plain_chromium(program: Path) -> AsyncIterator[PlainChromium]:
    """Start a Chromium, and end its whole process group at the end."""
    with tempfile.TemporaryDirectory(prefix="plain-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            program, *SWITCHES, f"--user-data-dir={folder}", "about:blank", start_new_session=True,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": folder, "LANG": "C.UTF-8", "TMPDIR": folder},
        )  # fmt: skip
        try:
            address = await asyncio.wait_for(_address(Path(folder)), START_SECONDS)
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(address, max_msg_size=0) as socket,
            ):
                chromium = PlainChromium(socket)
                yield chromium
                chromium.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _address(profile: Path) -> str:
    """The address of its DevTools, which it writes into a file when it is ready."""
    file = profile / "DevToolsActivePort"
    while not file.exists() or len(file.read_text().splitlines()) < 2:  # noqa: ASYNC110 - a file
        await asyncio.sleep(0.02)
    port, path = file.read_text().splitlines()[:2]
    return f"ws://127.0.0.1:{port}{path}"


@contextlib.asynccontextmanager
async def web_of(pages: Path, assets: Path) -> AsyncIterator[str]:
    """A web server with the corpus; gives its address."""
    app = web.Application()
    app.router.add_static("/assets", assets)
    app.router.add_static("/", pages)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
