"""A real browser that opens the service's pages as a person's does: Chromium by Playwright.

A visit notes all that must not happen on any of our pages: a request to another host, what the
Content-Security-Policy refuses, a script that fails.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    async_playwright,
)

from poster_service.browser.installed import find
from tests.conftest import short_folder
from tests.docs.pages import ROOT
from tests.web.compat.environments import node_with

#: How long a page may take for anything, in milliseconds: machines of tests are busy.
PATIENCE = 90_000
LOCK = ROOT / "web_assets" / "package-lock.json"


@contextlib.asynccontextmanager
async def playwright_running() -> AsyncIterator[Playwright]:
    """Playwright, whose browsers have their files in a folder of their own.

    In /tmp a load test that runs meanwhile would count them: it knows their names.
    """
    with short_folder() as folder:
        manager = async_playwright()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(folder))
            playwright = await manager.start()
        try:
            yield playwright
        finally:
            await playwright.stop()


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A running browser."""
    async with playwright_running() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find(None)),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
            timeout=PATIENCE,
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """A page that is open, and what went wrong on it.

    Attributes:
        page: As Playwright has it.
        faults: What no page of ours may do.
        requests: The addresses that it asked for.
    """

    page: Page
    host: str
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def note_request(self, request: Request) -> None:
        """A request, which must be for the service or for what the page has made itself."""
        self.requests.append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and parts.netloc != self.host:
            self.faults.append(f"asked {request.url}")

    def note_console(self, message: ConsoleMessage) -> None:
        """A line of the console; Chrome writes there what a policy refuses."""
        if "Content Security Policy" in message.text or message.type == "warning":
            self.faults.append(message.text)


@contextlib.asynccontextmanager
async def visiting(
    browser: Browser, address: str, path: str = "/", **context: Any
) -> AsyncIterator[Visit]:
    """A page of the service in a window of its own; fails if it did what no page of ours may do."""
    own = await browser.new_context(**context)
    own.set_default_timeout(PATIENCE)
    try:
        page = await own.new_page()
        visit = Visit(page, urlsplit(address).netloc)
        page.on("request", visit.note_request)
        page.on("console", visit.note_console)
        page.on("pageerror", lambda error: visit.faults.append(str(error)))
        await page.goto(f"{address}{path}")
        yield visit
        assert not visit.faults, "\n".join(visit.faults)
    finally:
        await own.close()


async def serious_barriers(page: Page) -> list[str]:
    """What axe finds on a page that keeps people from using it: serious and critical."""
    version = json.loads(LOCK.read_text())["packages"]["node_modules/axe-core"]["version"]
    folder = node_with(f"axe-core@{version}")
    await page.evaluate((folder / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {node['target']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
