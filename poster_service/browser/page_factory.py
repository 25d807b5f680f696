"""Opens and closes the pages of one Chrome.

Its own file because a page is opened ahead of its render and closed after it: what happens here
takes none of a render's time, and every failure means that the Chrome is replaced.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections import defaultdict
from typing import Any

from poster_service.browser.page import PAGES, AttachedTarget, PosterPage
from poster_service.browser.page_calls import errors_end_chrome
from poster_service.browser.pipe import STARTUP_MESSAGES, PipeConnection
from poster_service.browser.types import ADDRESS, ViewportHint
from poster_service.errors import ChromeDied
from poster_service.process.exits import LOOK_SECONDS, wait_exit


class PageFactory:
    """Opens the page of each lease in one Chrome, and closes it again.

    Pages are opened by the protocol's own commands: pyppeteer's Page switches on seven domains of
    which one is needed, listens to all of them, and costs 15 ms of CPU a page (measured). Through
    it a page that floods its console would also keep the event loop of all renders busy.
    """

    def __init__(
        self, connection: PipeConnection, hint: ViewportHint, *, supports_begin_frame: bool
    ) -> None:
        self._connection = connection
        self._hint = hint
        self._supports_begin_frame = supports_begin_frame

    @classmethod
    async def open(
        cls, connection: PipeConnection, hint: ViewportHint, *, supports_begin_frame: bool
    ) -> "PageFactory":
        """Open the pipe to a Chrome that has just been started.

        Args:
            connection: The pipe to it.
            hint: The viewport that its pages are prepared with.
            supports_begin_frame: It was started with the switches of `frames.py`, and no page.

        Raises:
            ChromeDied: The pipe closed before Chrome answered.
        """
        with errors_end_chrome():
            connection.open()
            await connection.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        return cls(connection, hint, supports_begin_frame=supports_begin_frame)

    async def new_page(self, *, own_context: bool) -> PosterPage:
        """Open a page; with a browser context of its own it finds nothing that others stored.

        In headless-shell it is on its way to ADDRESS already, and held there until it is given its
        document: for a page in which nothing runs the navigation costs its render nothing, and no
        blank page is loaded before it (measured: a ninth of the CPU of a whole life, an eighth of
        the time). In full Chromium it is blank, and goes there when it is loaded: a tab that is on
        its way somewhere is drawn as such, which took a seventh of a core for as long as the page
        waited for its render (measured). Without a context of its own that is the page that Chrome
        starts with.

        Raises:
            ChromeDied: The pipe closed before the page answered.
        """
        self._connection.allow(STARTUP_MESSAGES)
        with errors_end_chrome():
            context = None
            if own_context:
                created = await self._connection.send("Target.createBrowserContext")
                context = str(created["browserContextId"])
            existing = [] if own_context or self._supports_begin_frame else await self._pages()
            if existing:
                page = await self._attach(existing[0], context, None)
            elif self._supports_begin_frame:
                page = await self._create_on_its_way(context)
            else:
                page = await self._create_blank(context)
            await page.make_ready()
        return page

    async def _create_blank(self, context: str | None) -> PosterPage:
        """A blank page in a context, or in the one that Chrome starts with."""
        return await self._attach(await self._create("about:blank", context), context, None)

    async def _create_on_its_way(self, context: str | None) -> PosterPage:
        """The same for headless-shell; it is held at ADDRESS, in frames that are asked for.

        The session is attached after the page's request has come. A session that sees the
        navigation begin cannot speak to the page until the navigation is done (measured), nor can
        any attached later while target discovery is on.
        """
        loop = asyncio.get_running_loop()
        held: defaultdict[str, asyncio.Future[dict[str, Any]]] = defaultdict(loop.create_future)

        def hold(event: dict[str, Any]) -> None:
            """By frame: what is left of an earlier page may ask for things too."""
            if event.get("resourceType") == "Document" and not held[event["frameId"]].done():
                held[event["frameId"]].set_result(event)

        self._connection.on("Fetch.requestPaused", hold)
        try:
            target = await self._create(ADDRESS, context)
            ends: set[asyncio.Future[Any]] = {held[target], self._connection.closed}
            await asyncio.wait(ends, return_when=FIRST_COMPLETED)
        finally:
            self._connection.remove_listener("Fetch.requestPaused", hold)
        if not held[target].done():
            raise ChromeDied("Chrome ended while its page was opened")
        return await self._attach(target, context, held[target].result())

    async def _create(self, address: str, context: str | None) -> str:
        """A page in a context, or in the one that Chrome starts with; CDP's id of its target."""
        parameters: dict[str, Any] = {"url": address}
        if self._supports_begin_frame:
            parameters["enableBeginFrameControl"] = True
        if context is not None:
            parameters["browserContextId"] = context
        await self._connection.send("Target.setDiscoverTargets", {"discover": False})
        created = await self._connection.send("Target.createTarget", parameters)
        return str(created["targetId"])

    async def _attach(
        self, target: str, context: str | None, held: dict[str, Any] | None
    ) -> PosterPage:
        session = await self._connection.createSession({"targetId": target, "type": "page"})
        attached = AttachedTarget(session, target, context, held)
        frames = self._supports_begin_frame
        return PosterPage(self._connection, self._hint, attached, supports_begin_frame=frames)

    async def _pages(self) -> list[str]:
        """CDP's target ids of all pages."""
        targets = await self._connection.send("Target.getTargets", {"filter": PAGES})
        return [str(info["targetId"]) for info in targets["targetInfos"]]

    async def close(self, page: PosterPage) -> list[int]:
        """Close a page and all that its context holds; wait until its renderer processes are dead.

        Returns their pids; they may be zombies still. Their zygote reaps a renderer when it starts
        the next one, or else after two seconds (measured), so the caller opens the next page first
        and then waits for them to be reaped. Takes as long as it takes: the caller sets a limit.

        Raises:
            ChromeDied: The pipe closed meanwhile, or Chrome refused.
        """
        page.abandon()
        with errors_end_chrome():
            renderers = await self._renderers()
            exits = [wait_exit(pid) for pid in renderers]
            try:
                await self._connection.send(
                    "Target.disposeBrowserContext", {"browserContextId": page.context}
                )
                # Chrome forgets a renderer when its channel closes; only the kernel knows for sure.
                await asyncio.gather(*exits)
            finally:
                for exit_ in exits:
                    exit_.cancel()
            while late := await self._renderers():  # started while the page was being closed
                if late := [pid for pid in late if pid not in renderers]:
                    renderers += late
                    await asyncio.gather(*map(wait_exit, late))
                else:  # dead, but Chrome has not noticed yet
                    await asyncio.sleep(LOOK_SECONDS)
        return renderers

    async def _renderers(self) -> list[int]:
        """Pids of the renderer processes of all contexts."""
        info = await self._connection.send("SystemInfo.getProcessInfo")
        return [int(each["id"]) for each in info["processInfo"] if each["type"] == "renderer"]
