"""Loads the document of one page: its navigation, and when it counts as loaded.

Its own file because several events of Chrome's may end it, and none of them is sure to come.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Mapping
from typing import Any

from poster_service.browser.frames import PATIENCE, SLOW, STILL
from poster_service.browser.page_access import PageAccess
from poster_service.browser.page_calls import retrieve_exception, settle
from poster_service.browser.page_requests import PageRequests
from poster_service.browser.types import ADDRESS, Request, Route, WaitUntil
from poster_service.errors import DISPLAYED, Fault, NotAPage, PageFailed

#: How many requests may be under way on an idle network.
LEVEL_OF: Mapping[str, int] = {"networkidle0": 0, "networkidle2": 2}


class Loading:
    """Loads the document of one page.

    Attributes:
        is_warm: Whether the page has had a document before, which is replaced and not loaded.
        listener: The script that runs in each document (`page_setup.document_script`), as Chrome
            names it; {} without one.
    """

    def __init__(self, access: PageAccess, requests: PageRequests, target: str) -> None:
        """`requests` answers those of the page; `target` is the id of its main frame."""
        self._calls, self._witness, self._frames = access.calls, access.witness, access.frames
        self._requests, self._target = requests, target
        self.is_warm = False
        self.listener: dict[str, Any] = {}
        loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[None] = loop.create_future()
        self._parsed: asyncio.Future[None] = loop.create_future()

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], object]]:
        """What listens to events of the page's session."""
        return {
            "Page.domContentEventFired": self._content_event_fired,
            "Page.loadEventFired": self._load_event_fired,
            "Page.frameStoppedLoading": self._frame_stopped_loading,
        }

    async def load(
        self,
        route: Route,
        address: str = ADDRESS,
        until: WaitUntil = "load",
        *,
        is_static: bool = False,
        referrer: str = "",
    ) -> None:
        """Load the document that `route` has for `address`, until the load event or another time.

        A page's clock (`performance.now`, the time of its frames) starts with its navigation. Only
        a static page may get its document by the navigation that has waited since its Chrome became
        ready; any other navigates now.

        Args:
            route: Answers the page's requests, from that for the document on.
            address: Of the document: ADDRESS, or one on the web, from where redirects are followed.
            until: When it counts as loaded.
            is_static: Whether it is known that nothing on the page runs or moves.
            referrer: Address that led there, for an address on the web; "" for none.

        Raises:
            PageFailed: Chrome would not load it.
            NotAPage: Chrome would download it instead of displaying it.
            PosterError: What the route raised in place of the document.
        """
        if self.is_warm:
            await self._replace(route)
            return
        self._requests.answer_with(route)
        if is_static and self.listener:  # it would run in vain, with the first script of ours
            self._calls.session.send("Page.removeScriptToEvaluateOnNewDocument", self.listener)
        async with self._frames(STILL if is_static else PATIENCE, SLOW):
            if self._requests.document.done() and not is_static:
                await self._requests.refuse_document()
            if self._requests.document.done():
                await self._requests.give_document()
            else:
                await self._navigate(address, referrer)
            await self._calls.wait(self._loaded if until == "load" else self._parsed)
            if until in LEVEL_OF:
                await self._wait_quiet(LEVEL_OF[until])

    async def _replace(self, route: Route) -> None:
        """Replace the document by the one that `route` has now, at the same address.

        Chrome parses it as it would one that it loads, in the window that is there: its policy and
        what was loaded for the last document stay. Then the load event comes as always.

        Raises:
            PageFailed: The route has no document, or Chrome failed.
        """
        self._requests.answer_with(route)
        request = Request(ADDRESS, "GET", {}, None, "Document", is_main=True, in_main_frame=True)
        document = await route(request)
        if document is None:
            raise PageFailed("the page could not be loaded")
        self._requests.has_document = True
        self._requests.traffic.start()
        contents = {"frameId": self._target, "html": document.body.decode()}
        async with self._frames(STILL, SLOW):
            await self._calls.send("Page.setDocumentContent", contents)
            await self._calls.wait(self._loaded)

    async def _wait_quiet(self, level: int) -> None:
        """Wait until no more than `level` requests have been under way for a while."""
        quiet = asyncio.ensure_future(self._requests.traffic.quiet(level))
        try:
            await self._calls.wait(quiet)
        finally:
            quiet.cancel()

    async def stop(self) -> None:
        """Give up what the page still loads, and note what that is.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        for url in self._requests.traffic.addresses():
            self._witness.note_unfinished(url)
        await self._calls.send("Page.stopLoading")

    @property
    def has_document(self) -> bool:
        """Whether it was given its document."""
        return self._requests.has_document

    async def _navigate(self, address: str, referrer: str) -> None:
        """Go to an address, and give the document when Chrome asks for it, after any redirects."""
        parameters = {"url": address}
        if referrer:  # whole, as the caller has it; by default another origin would get its origin
            parameters |= {"referrer": referrer, "referrerPolicy": "unsafeUrl"}
        going = asyncio.ensure_future(self._calls.send("Page.navigate", parameters))
        going.add_done_callback(retrieve_exception)
        try:
            is_given = False
            while not (is_given or going.done()):
                ends: set[asyncio.Future[Any]] = {going, self._requests.document}
                await asyncio.wait(ends, return_when=FIRST_COMPLETED)
                if self._requests.document.done():
                    is_given = await self._requests.give_document()
            answer = await going
        finally:
            going.cancel()
        if reason := answer.get("errorText"):
            await self._calls.wait_for_crash_report()
            cause = RuntimeError(reason)
            if is_given and address != ADDRESS and reason == "net::ERR_ABORTED":
                raise NotAPage.of(Fault("url", "is a download, not a page", DISPLAYED)) from cause
            raise PageFailed("the page could not be loaded") from cause

    def _content_event_fired(self, _: dict[str, Any]) -> None:
        """Note that the page's document was parsed, if it is not the blank one before it."""
        if self._requests.has_document:
            settle(self._parsed)

    def _load_event_fired(self, _: dict[str, Any]) -> None:
        """Note that the page has loaded, if it is not the blank one before it."""
        if self._requests.has_document:
            self._finish_loading()

    def _finish_loading(self) -> None:
        settle(self._loaded)
        settle(self._parsed)

    def _frame_stopped_loading(self, event: dict[str, Any]) -> None:
        """Note that the page has loaded, also where no load event comes.

        After `window.stop()`, or when the page began to navigate away and was not allowed to.
        """
        if event["frameId"] == self._target and self._requests.has_document:
            self._finish_loading()
