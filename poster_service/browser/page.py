"""What is done to a page: set up, load, wait until it is painted, capture.

What it asks the network for is answered in `page_requests.py`, calls to it go through
`page_calls.py`, and the options that change it before it loads are listed in `page_setup.py`.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from poster_service.browser import page_setup
from poster_service.browser.capture import Capture
from poster_service.browser.contents import Contents
from poster_service.browser.findings import PageFindings
from poster_service.browser.frames import STEADY, Frames
from poster_service.browser.header_footer import measured, overflows
from poster_service.browser.loading import Loading
from poster_service.browser.look import PageLook
from poster_service.browser.page_access import PageAccess
from poster_service.browser.page_calls import PageCalls, errors_end_chrome
from poster_service.browser.page_requests import PageRequests
from poster_service.browser.pipe import FlatSession, PipeConnection, ProtocolError
from poster_service.browser.scrolling import Scrolling
from poster_service.browser.types import (
    CONTENTS,
    CaptureOptions,
    Cookie,
    PageOptions,
    Viewport,
    ViewportHint,
)
from poster_service.browser.waits import PageWaits
from poster_service.browser.warm import CLEAN
from poster_service.browser.witness import Witness
from poster_service.browser.world import World
from poster_service.buffers import Share
from poster_service.errors import ChromeDied, Fault, InvalidField, PageFailed
from poster_service.origins import origin_of

logger = logging.getLogger(__name__)

#: The document of a page that stopped its own parser before its body began; nothing is to paint.
EMPTY = "<!doctype html><body>"
#: What cookies must be, for the caller.
COOKIES = "cookies that a browser takes: `secure` and names that begin with __ need https"
#: Windows that the page opens; workers and frames are of no interest.
PAGES = [{"type": "page"}]


def _refusal(command: page_setup.Command, error: PageFailed) -> InvalidField | None:
    """The caller's fault in a command that Chrome has refused: only Chrome knows all values."""
    method, parameters = command
    name = page_setup.CHECKED_BY_CHROME.get(method)
    if name is None or not isinstance(error.__cause__, ProtocolError):
        return None
    (value,) = parameters.values()
    return InvalidField.of(Fault(name, f'Chrome knows no {name} "{value}"'))


@dataclass(frozen=True)
class AttachedTarget:
    """A target of Chrome's that a page is made of.

    Attributes:
        session: Its session.
        target: CDP's id of it, and of its main frame.
        context: The browser context that is this page's alone; None where the whole Chrome is.
        held: Its request for its document (CDP: Fetch.requestPaused), where it has made it already.
    """

    session: FlatSession
    target: str
    context: str | None
    held: dict[str, Any] | None


class PosterPage:
    """The one page of a lease; a `PageFactory` opens it, one render uses it.

    Attributes:
        target: CDP's id of it, and of its main frame.
        context: The browser context that is this page's alone; None where the whole Chrome is.
        witness: What the page did not get although no route refused it, and what went wrong in its
            scripts; known once it is painted.
        findings: What its scripts report once it is painted.
        loading: Loads its document.
        look: Changes how it looks.
        waits: Waits for what it must have or say, and runs scripts in it.
    """

    def __init__(
        self,
        connection: PipeConnection,
        hint: ViewportHint,
        attached: AttachedTarget,
        *,
        supports_begin_frame: bool,
        is_warm: bool = False,
    ) -> None:
        self._connection, self._hint, self._attached = connection, hint, attached
        self._viewport: Viewport | None = None
        self._environment = page_setup.PLAIN
        #: Whether all of the page is painted and not only what the viewport shows.
        self._is_full = False
        self.target, self.context = attached.target, attached.context
        self._session = attached.session
        self._calls = calls = PageCalls(connection, attached.session)
        #: None where Chrome has a display clock of its own.
        self._frames = Frames(calls.send) if supports_begin_frame else None
        self.witness = witness = Witness()
        self._requests = PageRequests(connection, calls, attached.target, witness, attached.held)
        self._world = world = World(calls, attached.target)
        contents = Contents(calls.send, world, connection.allow_more)
        self._capture = Capture(calls.send, calls.expecting_much, self._frames, world, contents)
        access = PageAccess(calls, world, witness, self._frames_going)
        self.findings = PageFindings(access, is_warm=is_warm)
        self.look = PageLook(access)
        self.scrolling = Scrolling(access, self._requests.traffic)
        self.waits = PageWaits(access)
        self.loading = Loading(access, self._requests, attached.target)
        self.loading.is_warm = is_warm
        #: Where the memory of its picture is counted.
        self._share: Share | None = None
        self._messages: asyncio.Future[Any] | None = None
        self._browser_handlers = {
            "Fetch.requestPaused": self._requests.paused,
            "Target.targetCreated": self._target_created,
        }
        self._listen()

    def _listen(self) -> None:
        """Have the events handled of its own session, and some of the browser's."""
        for name, handler in self._page_handlers().items():
            self._session.on(name, handler)
        for name, handler in self._browser_handlers.items():
            self._connection.on(name, handler)

    def _page_handlers(self) -> dict[str, Callable[[dict[str, Any]], object]]:
        """What listens to events of the page's own session; it ends with the session."""
        return {
            "Inspector.targetCrashed": lambda _: self._calls.note_crash(),
            "Page.javascriptDialogOpening": lambda _: self._requests.spawn(self._dismiss()),
            **self.loading.handlers(),
            "Log.entryAdded": self.witness.read,
        }

    async def make_ready(self) -> None:
        """Switch on what is needed, before anything is loaded.

        Raises:
            ProtocolError: Chrome is gone.
            RenderFailed: Its renderer is, or Chrome refused.
        """
        deny: dict[str, Any] = {"behavior": "deny"}
        if self.context is not None:
            deny["browserContextId"] = self.context
        # Any other page is a window that it opened, or the blank one that Chrome began with.
        discover = {"discover": True, "filter": PAGES}
        script = self.findings.document_script
        self._viewport = self._hint.viewport
        _, self.loading.listener, *_ = await self._calls.wait(
            asyncio.gather(
                self._session.send("Page.enable"),
                self._session.send("Page.addScriptToEvaluateOnNewDocument", {"source": script}),
                self._connection.send("Browser.setDownloadBehavior", deny),
                self._connection.send("Target.setDiscoverTargets", discover),
                *itertools.starmap(self._session.send, page_setup.commands(self._viewport)),
            )
        )

    async def set_up(self, options: PageOptions) -> None:
        """Set viewport, background and environment, before anything loads: all of it sees them.

        Sends nothing where the page was prepared with the same ones.

        Raises:
            InvalidField: Chrome does not know the time zone or the locale.
            RenderFailed: The page or its Chrome is gone.
        """
        self._connection.allow(options.max_messages, options.max_message_bytes)
        self._is_full = options.is_full
        commands = []
        if options.environment != self._environment:
            commands += page_setup.environment_commands(options.environment)
            self._environment = options.environment
        if options.viewport != self._viewport:
            self._viewport = options.viewport
            self._capture.note_set_up()
            commands += page_setup.commands(options.viewport)
        calls = [(command, self._session.send(*command)) for command in commands]
        for command, call in calls:
            try:
                await self._calls.answer(call)
            except PageFailed as error:
                raise _refusal(command, error) or error from error.__cause__

    async def set_cookies(self, cookies: Sequence[Cookie]) -> None:
        """Give the page cookies before it loads; they are gone once it is redirected elsewhere.

        Raises:
            InvalidField: Chrome does not take one of them.
            RenderFailed: The page or its Chrome is gone.
        """
        # By the page's own session: full Chromium's first page, which is incognito, is in another
        # context than the commands of the browser's session are for (measured).
        try:
            parameters = {"cookies": [cookie.parameter() for cookie in cookies]}
            await self._calls.send("Network.setCookies", parameters)
        except PageFailed as error:
            if not isinstance(error.__cause__, ProtocolError):
                raise
            raise InvalidField.of(Fault("cookies", "Chrome refuses one of them", COOKIES)) from None
        self._requests.clear_cookies_outside(origin_of(cookies[0].url))

    async def wait_painted(self, *, is_static: bool = False, patience: float | None = None) -> None:
        """Wait until the fonts are ready and the pictures decoded, not merely loaded.

        A static page needs no frames meanwhile: the frame that is captured is its first, and
        nothing is painted twice.

        Args:
            is_static: As for `Loading.load`.
            patience: Seconds for fonts and pictures that have not come yet; None for no limit.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        is_empty = await self.findings.wait(
            is_full=self._is_full, is_static=is_static, patience=patience
        )
        self._read_messages()
        if is_empty:
            parameters = {"frameId": self.target, "html": EMPTY}
            await self._calls.send("Page.setDocumentContent", parameters)

    def _read_messages(self) -> None:
        """Have Chrome send what it has noted of the page; it comes while the page is captured."""
        self._session.send("Log.enable")
        self._messages = self._session.send("Log.disable")

    async def capture(self, options: CaptureOptions) -> bytes:
        """Capture the page; returns the picture, the PDF or the text.

        Raises:
            CallerError: There is no such part of the page, or it is larger than allowed.
            RenderFailed: The page or its Chrome failed.
        """
        if options.format not in CONTENTS:
            await self._set_background(options)
        if self.scrolling.has_grown:
            options = replace(options, is_cut=True)
        picture = await self._capture.take(options, self._share)
        if self._messages is not None:
            await self._calls.until_done(self._messages)
        if self._viewport is not None and options.format != "pdf":
            self._hint.note(self._viewport)
        return picture

    @property
    def pixels_taken(self) -> int:
        """Device pixels of all pictures of this page so far."""
        return self._capture.pixels_taken

    async def overflows(self, options: CaptureOptions) -> list[dict[str, str]]:
        """What of a PDF's header and footer does not fit into its margin: parameters of warnings.

        Asked in an isolated world, out of reach of the page's scripts.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        width, _ = options.pdf.paper or (options.page.width, options.page.height)
        async with self._frames_going(STEADY, STEADY):
            found = await measured(self._world.value, options.pdf, width)
        return overflows(found, options.pdf)

    async def _set_background(self, options: CaptureOptions) -> None:
        """Give the page the background of one capture, if it has another."""
        if self._viewport is not None and options.background != self._viewport.background:
            self._viewport = replace(self._viewport, background=options.background)
            await self._calls.send(*page_setup.background(self._viewport))

    def _frames_going(
        self, after: float, every: float
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Frames while inside, where this Chrome leaves its display clock to us."""
        return self._frames.going(after, every) if self._frames else contextlib.nullcontext()

    def meter(self, share: Share) -> None:
        """Count the bytes of the page's picture in a share of the budget, from now on."""
        self._share = share
        self._connection.meter = share.add

    @property
    def has_fetched(self) -> bool:
        """Whether it has asked for something at another address than its own origin."""
        return self._requests.has_fetched

    @property
    def crashed(self) -> "asyncio.Future[None]":
        """Done when the page's renderer process has died."""
        return self._calls.crashed

    def ping(self) -> "asyncio.Future[Any]":
        """Ask the page's renderer for a sign of life; done when it, or its end, has come.

        Chrome does not notice that a renderer died with its zygote, in whose PID namespace it was:
        it reports no crash, and the pipe stays open (measured). What is asked, the main thread of
        the renderer answers without a script: the first one of a new page takes five times as
        much (docs/facts.md).

        Raises:
            ChromeDied: The page is gone already.
        """
        sign = self._session.send("Log.disable")
        if sign.done():
            raise ChromeDied("Chrome ended before its page was leased")
        return sign

    def give_up(self, why: str) -> None:
        """End all waiting for this page with a PageFailed; `why` is its message, for the caller."""
        self._calls.give_up(why)

    def abandon(self) -> None:
        """Stop answering the page; it, or all of its Chrome, is about to end."""
        for name, handler in self._browser_handlers.items():
            self._connection.remove_listener(name, handler)
        self._browser_handlers.clear()
        self._requests.stop()

    async def clean(self, *, evicts: bool) -> object:
        """Empty the page's document after a render; returns what `warm.CLEAN` reports.

        Args:
            evicts: Whether what Chrome has loaded is removed from its memory. Otherwise Chrome
                takes a picture from there for the next document, with any Cache-Control
                (measured), and does not ask for it.

        Raises:
            ChromeDied: The page or its Chrome is gone.
        """
        self._requests.stop()
        with errors_end_chrome():
            if evicts:
                for is_off in (True, False):
                    parameters = {"cacheDisabled": is_off}
                    await self._calls.send("Network.setCacheDisabled", parameters)
            # Or the next render would report what this one did not get.
            cleared = self._session.send("Log.clear")
            answer = await self._calls.evaluate(CLEAN)
            await self._calls.wait(cleared)
        return answer.get("result", {}).get("value")

    def successor(self) -> "PosterPage":
        """The same page for another render, which finds nothing of this one; this one ends."""
        self.abandon()
        self._session.remove_all_listeners()
        page = PosterPage(
            self._connection,
            self._hint,
            replace(self._attached, held=None),
            supports_begin_frame=self._frames is not None,
            is_warm=True,
        )
        page._viewport, page._environment = self._viewport, self._environment
        page._capture.take_over(self._capture)
        return page

    def _target_created(self, event: dict[str, Any]) -> None:
        """Close every window that the page opens; a poster is one page."""
        info = event["targetInfo"]
        if info["type"] == "page" and info["targetId"] != self.target:
            self._requests.spawn(self._close_window(info["targetId"]))

    async def _close_window(self, target: str) -> None:
        with contextlib.suppress(ProtocolError):  # it has closed itself
            await self._connection.send("Target.closeTarget", {"targetId": target})

    async def _dismiss(self) -> None:
        """Answer a dialog with "cancel"."""
        await self._session.send("Page.handleJavaScriptDialog", {"accept": False})
