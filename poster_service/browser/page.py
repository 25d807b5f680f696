"""What is done to a page: set up, load, wait until it is painted, capture.

Everything a page asks the network for comes to a `Route` (Fetch domain, on the browser's session,
which sees workers, frames of other sites and beacons too), and Chrome has no network of its own.

With `pipe.py` the only user of pyppeteer; its errors end here and leave as ours.
"""

import asyncio
import contextlib
import contextvars
import itertools
import json
import logging
import secrets
from asyncio import FIRST_COMPLETED
from collections import defaultdict
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pybase64
from pyppeteer.errors import PyppeteerError

from poster_service.browser import glyphs
from poster_service.browser.capture import Capture
from poster_service.browser.frames import PATIENCE, SLOW, STEADY, Frames
from poster_service.browser.pieces import decoded
from poster_service.browser.pipe import MAX_MESSAGES, MAX_TOLD_BYTES, FlatSession, PipeConnection
from poster_service.browser.settle import settled
from poster_service.browser.types import Reply as Reply  # noqa: PLC0414 - re-exported
from poster_service.browser.types import Request as Request  # noqa: PLC0414 - re-exported
from poster_service.browser.types import Route as Route  # noqa: PLC0414 - re-exported
from poster_service.browser.witness import COMPLAINTS, LISTEN, LOSSES, MAX_ADDRESS, SEARCH, Witness
from poster_service.buffers import Share
from poster_service.errors import (
    ChromeDied,
    PageCrashed,
    PageFailed,
    RenderFailed,
)
from poster_service.process.exits import LOOK_SECONDS, wait_exit

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: The page's own address. `.invalid` never resolves (RFC 6761), and https makes it a secure
#: context, as a page on the real web is.
ADDRESS = "https://poster.invalid/"

#: Things of one page fetched at once; each is held in memory until Chrome has taken it.
FETCHES_AT_ONCE = 8
#: From here on base64 takes longer than a millisecond.
LARGE_BYTES = 1 << 20
#: The smallest and the largest look that pages are prepared with, in device pixels.
USUAL_PIXELS = (1_000, 4_000_000)
#: Targets that are of interest: a page, and what it opens; no workers, no frames.
PAGES = [{"type": "page"}]
#: How long after a failed call the word of a crash may still come, in seconds.
DEATH_SECONDS = 0.3

# Chrome lets a script close a window only as long as nothing but one entry is in its history: with
# a second one `window.close()` does nothing, by whichever window's function it is called. What a
# page does to its history makes that no shorter.
STAY = "if (window === top) try { history.pushState(null, '', location.href); } catch {}\n"
#: What a page gets that stopped its own parser before its body began; there is nothing to paint.
EMPTY = "<!doctype html><body>"


@dataclass(frozen=True)
class CaptureOptions:
    """What is wanted of a page.

    Attributes:
        width: Viewport width in CSS pixels.
        height: Viewport height in CSS pixels; of the page for a PDF.
        scale: Device scale factor.
        format: Encoding.
        quality: 1 to 100, for jpeg and webp; None otherwise.
        full_page: The whole document instead of the viewport.
        background: RGBA under the page, channels 0 to 255; alpha 0 leaves the unpainted clear.
        max_pixels: Bound on the device pixels of a full page.
        max_messages: What Chrome may tell of the page unasked, in messages.
        max_message_bytes: The same, in bytes.
    """

    width: int
    height: int
    scale: float
    format: Literal["png", "jpeg", "webp", "pdf"]
    quality: int | None
    full_page: bool
    background: tuple[int, int, int, int]
    max_pixels: int
    max_messages: int = 20_000
    max_message_bytes: int = MAX_TOLD_BYTES


@dataclass(frozen=True)
class Viewport:
    """What a page is given before it loads, so that media queries see it at once.

    Attributes:
        width: Viewport width in CSS pixels.
        height: Viewport height in CSS pixels.
        scale: Device scale factor.
        background: RGBA under the page, channels 0 to 255.
    """

    width: int
    height: int
    scale: float
    background: tuple[int, int, int, int]

    def commands(self) -> list[tuple[str, dict[str, Any]]]:
        """The commands that give it to a page."""
        red, green, blue, alpha = self.background
        metrics = {
            "width": self.width,
            "height": self.height,
            "deviceScaleFactor": self.scale,
            "mobile": False,
            "screenOrientation": {"angle": 0, "type": "portraitPrimary"},
        }
        colour = {"r": red, "g": green, "b": blue, "a": alpha / 255}
        return [
            ("Emulation.setDeviceMetricsOverride", metrics),
            ("Emulation.setDefaultBackgroundColorOverride", {"color": colour}),
        ]


class ViewportHint:
    """The look that the last render wanted: the next one wants the same, as a rule.

    Every page has it when it becomes ready, which takes it out of a render's time. A large one is
    not remembered, since a Chrome with a clock of its own would paint blank pages of that size, nor
    a tiny one, as the service's own probe is. Nor is one of another scale than 1: the text of form
    controls would keep the font rendering of that scale, so that a picture would depend on the
    render before it (measured: `<input value="text">` at scale 1 after a page at scale 2).
    """

    def __init__(self) -> None:
        self.look: Viewport | None = None

    def note(self, look: Viewport) -> None:
        """What a render wanted that was done."""
        if look.scale == 1 and USUAL_PIXELS[0] <= look.width * look.height <= USUAL_PIXELS[1]:
            self.look = look

    def forget(self) -> None:
        """A Chrome did not become ready; whether for this, nobody knows."""
        self.look = None


class PageFactory:
    """Opens the page of each lease in one Chrome, and closes it again.

    Pages are opened by the protocol's own commands: pyppeteer's Page switches on seven domains of
    which one is needed, listens to all of them, and costs 15 ms of CPU a page (measured). A page
    that floods its console would keep everybody's event loop busy with it, too.
    """

    def __init__(
        self, connection: PipeConnection, usual: ViewportHint, *, supports_begin_frame: bool
    ) -> None:
        self._connection = connection
        self._usual = usual
        self._gives_frames = supports_begin_frame

    @classmethod
    async def open(
        cls, connection: PipeConnection, usual: ViewportHint, *, supports_begin_frame: bool
    ) -> "PageFactory":
        """Open the pipe to a Chrome that has just been started.

        `supports_begin_frame`: it was started with the switches of `frames.py`, and no page.

        Raises:
            ChromeDied: The pipe closed before Chrome answered.
        """
        with _starting():
            await connection.open()
            await connection.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        return cls(connection, usual, supports_begin_frame=supports_begin_frame)

    async def new_page(self, *, own_context: bool) -> "PosterPage":
        """A page; with a browser context of its own nothing that others stored is there.

        It is on its way to ADDRESS already, and held there until it is given its document: for a
        page in which nothing runs the navigation costs its render nothing, and no blank page is
        loaded before it (measured: a ninth of the CPU of a whole life, an eighth of the time).
        Without a context of its own it is the page that Chrome starts with, if it does; that one
        goes there when it is loaded.

        Raises:
            ChromeDied: The pipe closed before the page answered.
        """
        self._connection.allow(MAX_MESSAGES)
        with _starting():
            context = None
            if own_context:
                made = await self._connection.send("Target.createBrowserContext")
                context = str(made["browserContextId"])
            there = [] if own_context or self._gives_frames else await self._pages()
            if there:
                page = await self._attach(there[0], context, None)
            else:
                page = await self._create(context)
            await page.make_ready()
        return page

    async def _create(self, context: str | None) -> "PosterPage":
        """A page in a context, or in the one that Chrome starts with; it is held at ADDRESS.

        The session comes after its request: one that sees the navigation begin would be kept from
        speaking to the page until the navigation is done (measured), and so would any after it if
        targets were told of meanwhile.
        """
        wanted: dict[str, Any] = {"url": ADDRESS}
        if context is not None:
            wanted["browserContextId"] = context
        if self._gives_frames:
            wanted["enableBeginFrameControl"] = True
        loop = asyncio.get_running_loop()
        held: defaultdict[str, asyncio.Future[dict[str, Any]]] = defaultdict(loop.create_future)

        def hold(event: dict[str, Any]) -> None:
            """By frame: what is left of an earlier page may ask for things too."""
            if event.get("resourceType") == "Document" and not held[event["frameId"]].done():
                held[event["frameId"]].set_result(event)

        await self._connection.send("Target.setDiscoverTargets", {"discover": False})
        self._connection.on("Fetch.requestPaused", hold)
        try:
            told = await self._connection.send("Target.createTarget", wanted)
            target = str(told["targetId"])
            ends: set[asyncio.Future[Any]] = {held[target], self._connection.closed}
            await asyncio.wait(ends, return_when=FIRST_COMPLETED)
        finally:
            self._connection.remove_listener("Fetch.requestPaused", hold)
        if not held[target].done():
            raise ChromeDied("Chrome ended while its page was opened")
        return await self._attach(target, context, held[target].result())

    async def _attach(
        self, target: str, context: str | None, asked: dict[str, Any] | None
    ) -> "PosterPage":
        session = await self._connection.createSession({"targetId": target, "type": "page"})
        frames = self._gives_frames
        return PosterPage(
            self._connection,
            self._usual,
            session,
            target,
            context,
            asked,
            supports_begin_frame=frames,
        )

    async def _pages(self) -> list[str]:
        """The pages that there are, by CDP's name for them."""
        told = await self._connection.send("Target.getTargets", {"filter": PAGES})
        return [str(one["targetId"]) for one in told["targetInfos"]]

    async def close(self, page: "PosterPage") -> list[int]:
        """Close a page and all that its context holds, and see its renderer processes dead.

        Which they were; they may be zombies still. Their zygote waits for one that it has missed
        when it starts the next, or else after two seconds (measured), so the caller opens the next
        page first and then sees them gone. Takes as long as it takes: the caller sets the bound.

        Raises:
            ChromeDied: The pipe closed meanwhile, or Chrome would not.
        """
        page.abandon()
        with _starting():
            renderers = await self._renderers()
            deaths = [wait_exit(pid) for pid in renderers]
            try:
                await self._connection.send(
                    "Target.disposeBrowserContext", {"browserContextId": page.context}
                )
                # Chrome forgets a renderer when its channel closes; the kernel has the last word.
                await asyncio.gather(*deaths)
            finally:
                for death in deaths:
                    death.cancel()
            while late := await self._renderers():  # begun while the page was being closed
                if late := [pid for pid in late if pid not in renderers]:
                    renderers += late
                    await asyncio.gather(*map(wait_exit, late))
                else:  # dead, and not missed by Chrome yet
                    await asyncio.sleep(LOOK_SECONDS)
        return renderers

    async def _renderers(self) -> list[int]:
        """The renderer processes, of all contexts."""
        told = await self._connection.send("SystemInfo.getProcessInfo")
        return [int(one["id"]) for one in told["processInfo"] if one["type"] == "renderer"]


class PosterPage:
    """The one page of a lease; made by a `PageFactory`, used once."""

    def __init__(
        self,
        connection: PipeConnection,
        usual: ViewportHint,
        session: FlatSession,
        target: str,
        context: str | None,
        asked: dict[str, Any] | None,
        *,
        supports_begin_frame: bool,
    ) -> None:
        """`asked` is its request for its document, where it is on its way there already."""
        self._connection = connection
        self._usual = usual
        self._look: Viewport | None = None
        #: Whether all of the page is painted and not only what the viewport shows.
        self._is_full = False
        self._session = session
        #: CDP's name for it, and for its main frame.
        self.target = target
        #: None where Chrome has a display clock of its own.
        self._frames = Frames(self._send) if supports_begin_frame else None
        #: The browser context that is this page's alone; None where the whole Chrome is.
        self.context = context
        loop = asyncio.get_running_loop()
        self._crashed: asyncio.Future[None] = loop.create_future()
        self._given_up: asyncio.Future[str] = loop.create_future()
        self._loaded: asyncio.Future[None] = loop.create_future()
        #: The page's request for its own document, held until there is one.
        self._document: asyncio.Future[dict[str, Any]] = loop.create_future()
        if asked is not None:
            self._document.set_result(asked)
        self._routing: set[asyncio.Task[None]] = set()
        self._route: Route | None = None
        self._gate = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._is_loaded_from_us = False
        #: By the request's id: how many redirects led to it, and from where.
        self._hops: dict[str, tuple[int, str]] = {}
        #: What the page did not get without its route's knowing, and what went wrong in its
        #: scripts; known once painted.
        self.witness = Witness()
        self._messages: asyncio.Future[Any] | None = None
        #: What the page met with beside that, of `SEEN_KINDS` in glyphs.py; known once painted.
        self.seen: tuple[str, ...] = ()
        #: The less common characters that it may show, each once; known once painted.
        self.text = ""
        self._key = f"poster_{secrets.token_hex(4)}"
        self._seen_key = f"poster_{secrets.token_hex(4)}"
        self._context = contextvars.copy_context()
        session.on("Inspector.targetCrashed", lambda _: _settle(self._crashed))
        session.on("Page.javascriptDialogOpening", lambda _: self._spawn(self._dismiss()))
        session.on("Page.loadEventFired", self._has_loaded)
        session.on("Page.frameStoppedLoading", self._stopped_loading)
        session.on("Log.entryAdded", self.witness.read)
        self._heard = {
            "Fetch.requestPaused": self.paused,
            "Target.targetCreated": self._opened,
        }
        for event, handler in self._heard.items():
            connection.on(event, handler)

    async def make_ready(self) -> None:
        """Switch on what is needed, before anything is loaded.

        Raises:
            PyppeteerError: Chrome is gone.
            RenderFailed: Its renderer is, or Chrome refused.
        """
        deny: dict[str, Any] = {"behavior": "deny"}
        if self.context is not None:
            deny["browserContextId"] = self.context
        # Any other page is a window that it opened, or the blank one that Chrome began with.
        discover = {"discover": True, "filter": PAGES}
        self._look = self._usual.look
        listen = STAY + LISTEN % (COMPLAINTS, LOSSES, MAX_ADDRESS, json.dumps(self._key))
        listen += ";" + glyphs.LISTEN % json.dumps(self._seen_key)
        await self._do(
            asyncio.gather(
                self._session.send("Page.enable"),
                self._session.send("Page.addScriptToEvaluateOnNewDocument", {"source": listen}),
                self._connection.send("Browser.setDownloadBehavior", deny),
                self._connection.send("Target.setDiscoverTargets", discover),
                *itertools.starmap(self._session.send, self._look.commands() if self._look else ()),
            )
        )

    async def set_up(self, picture: CaptureOptions) -> None:
        """Set viewport and background, before anything loads: media queries see them at once."""
        self._connection.allow(picture.max_messages, picture.max_message_bytes)
        self._is_full = picture.full_page
        look = Viewport(picture.width, picture.height, picture.scale, picture.background)
        if look != self._look:
            self._look = look
            await asyncio.gather(*itertools.starmap(self._send, look.commands()))

    async def load(self, route: Route, *, is_static: bool = False) -> None:
        """Load the document that `route` has for ADDRESS, as all else, until the load event.

        A page's clock (`performance.now`, the time of its frames) starts with its navigation. Only
        one of which it is known that nothing runs or moves in it may get its document by the
        navigation that has waited since its Chrome became ready; any other navigates now.

        Raises:
            PageFailed: Chrome would not load it.
        """
        self._route = route
        # What the page asks for belongs to this request, not to the one that started the Chrome.
        self._context = contextvars.copy_context()
        async with self._frames_going(PATIENCE, SLOW):
            if self._document.done() and not is_static:
                await self._turn_back()
            if self._document.done():
                await self._give_document()
            else:
                await self._navigate()
            await self._do(self._loaded)

    async def _turn_back(self) -> None:
        """Give up the navigation that waits; aborted, it leaves the page as it is."""
        asked, self._document = self._document, asyncio.get_running_loop().create_future()
        await self._do(self._fail(asked.result(), "Aborted"))

    async def _navigate(self) -> None:
        """Go to ADDRESS, and give the document when it is asked for."""
        going = asyncio.ensure_future(self._send("Page.navigate", {"url": ADDRESS}))
        going.add_done_callback(_look_at)
        ends: set[asyncio.Future[Any]] = {going, self._document}
        try:
            await asyncio.wait(ends, return_when=FIRST_COMPLETED)
            if self._document.done():
                await self._give_document()
            answer = await going
        finally:
            going.cancel()
        if reason := answer.get("errorText"):
            await self._look_for_a_death()
            raise PageFailed("the page could not be loaded") from RuntimeError(reason)

    async def _give_document(self) -> None:
        """Answer the request that was held until now; what answers it ends with the page."""
        await self._do(self._spawn(self._answer_document(self._document.result())))

    async def _answer_document(self, event: Mapping[str, Any]) -> None:
        reply = await self._reply(event)
        if reply is None:
            raise PageFailed("the page could not be loaded")
        self._is_loaded_from_us = True
        await self._fulfil(event, reply)

    async def wait_painted(self, *, is_static: bool = False) -> None:
        """Wait until the fonts are ready and the pictures decoded, not merely loaded.

        A page of which it is known that nothing runs or moves in it needs no frames meanwhile: the
        one that is captured is its first, and nothing is painted twice.
        """
        script = settled(everything=self._is_full)
        met = glyphs.SEEN % json.dumps(self._seen_key)
        findings = f"async () => [await {self._search}, {met}, {glyphs.TEXT}]"
        async with self._frames_going(STEADY if is_static else 0, STEADY):
            answer = await self._send(
                "Runtime.evaluate",
                {
                    "expression": f"{script}.then({findings})",
                    "awaitPromise": True,
                    "returnByValue": True,
                },
            )
        if (
            "exceptionDetails" in answer
        ):  # the page has broken its own document; paint what is there
            logger.info("waiting for fonts and pictures failed in the page")
        told = answer.get("result", {}).get("value")
        found, seen, text = told if isinstance(told, list) and len(told) == 3 else (0, 0, 0)
        self.seen, self.text = glyphs.kinds_of(seen), glyphs.characters_of(text)
        self.witness.hear(found)
        self._read_messages()
        if isinstance(found, dict) and found.get("empty"):
            await self._send("Page.setDocumentContent", {"frameId": self.target, "html": EMPTY})

    async def undrawn(self, characters: str) -> str:
        """Those characters that the page displays and that none of its own fonts has.

        Asked in a world of its own, where nothing of the page's scripts is in the way.

        Args:
            characters: What no installed font has.
        """
        world = await self._send("Page.createIsolatedWorld", {"frameId": self.target})
        async with self._frames_going(STEADY, STEADY):
            answer = await self._send(
                "Runtime.evaluate",
                {
                    "expression": glyphs.undrawn(characters),
                    "contextId": world["executionContextId"],
                    "awaitPromise": True,
                    "returnByValue": True,
                },
            )
        found = set(glyphs.characters_of(answer.get("result", {}).get("value")))
        return "".join(one for one in characters if one in found)

    @property
    def _search(self) -> str:
        return SEARCH % (LOSSES, MAX_ADDRESS, LOSSES, self._key)

    def _read_messages(self) -> None:
        """Have Chrome send what it has noted of the page; it comes while the page is captured."""
        calls = map(self._session.send, ("Log.enable", "Log.disable"))
        self._messages = asyncio.gather(*calls, return_exceptions=True)

    def listen(self) -> None:
        """Take what the page's scripts have failed with so far, without waiting for it.

        For a page whose time is nearly up: it may never be painted.
        """
        with contextlib.suppress(PyppeteerError):
            call = self._session.send(
                "Runtime.evaluate",
                {"expression": self._search, "awaitPromise": True, "returnByValue": True},
            )
            asyncio.ensure_future(call).add_done_callback(self._listened)

    def _listened(self, call: "asyncio.Future[dict[str, Any]]") -> None:
        if not call.cancelled() and call.exception() is None:
            self.witness.hear(call.result().get("result", {}).get("value"))

    async def capture(self, picture: CaptureOptions) -> bytes:
        """Take the picture.

        Raises:
            PictureTooLarge: The full page has more pixels than allowed.
            PageFailed: Chrome could not.
        """
        taker = Capture(self._send, self._expecting_much, self._frames)
        data = await taker.take(picture)
        if self._messages is not None:
            await self._do(self._messages)
        if self._look is not None and picture.format != "pdf":
            self._usual.note(self._look)
        return await decoded(data)

    def _frames_going(
        self, after: float, every: float
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Frames while inside, where they are ours to give."""
        return self._frames.going(after, every) if self._frames else contextlib.nullcontext()

    def meter(self, share: Share) -> None:
        """Count what comes of the page's picture in a share of the budget, from now on."""
        self._connection.meter = share.add

    @property
    def crashed(self) -> "asyncio.Future[None]":
        """Done when the page's renderer process has died."""
        return self._crashed

    def ping(self) -> "asyncio.Future[Any]":
        """Ask the page's renderer for a sign of life; done when it, or its end, has come.

        A renderer that died with its zygote, whose PID namespace it was in, is not missed by
        Chrome: no crash is told, and the pipe stays open (measured).

        Raises:
            ChromeDied: The page is gone already.
        """
        with _starting():
            call = self._session.send("Runtime.evaluate", {"expression": "1"})
        sign: asyncio.Future[Any] = asyncio.ensure_future(call)
        sign.add_done_callback(_look_at)
        return sign

    def give_up(self, why: str) -> None:
        """End whatever is waited for; `why` is for the caller."""
        if not self._given_up.done():
            self._given_up.set_result(why)

    def abandon(self) -> None:
        """Stop answering the page; it, or all of its Chrome, is about to end."""
        self._route = None
        for event, handler in self._heard.items():
            self._connection.remove_listener(event, handler)
        self._heard.clear()
        for task in self._routing:
            task.cancel()

    @contextlib.contextmanager
    def _expecting_much(self) -> Iterator[None]:
        """While inside, an answer of Chrome may be as large as a picture is."""
        self._connection.expects_much = True
        try:
            yield
        finally:
            self._connection.expects_much = False

    async def _send(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            call = self._session.send(method, parameters)
        except PyppeteerError as error:  # of a Chrome that ends, a page may be gone before its pipe
            await self._look_for_a_death()
            raise PageFailed("the page is gone: it was closed") from error
        answer: dict[str, Any] = await self._do(call)
        return answer

    async def _do(self, call: Awaitable[T]) -> T:
        """Wait for a call, but no longer than there is a page to answer it.

        After a crash pending calls would never return, so the crash itself ends the wait.

        Raises:
            PageCrashed: The renderer process died.
            ChromeDied: The pipe closed.
            PageFailed: Chrome refused the call.
        """
        step = asyncio.ensure_future(call)
        step.add_done_callback(_look_at)  # it may fail after nobody waits for it any more
        await self._wait_first(step)
        if step.cancelled():  # by `abandon`: nobody has cancelled whoever waits here
            raise ChromeDied("Chrome ended during the render")
        try:
            return step.result()
        except PyppeteerError as error:
            await self._look_for_a_death()
            raise PageFailed("Chrome could not paint the page") from error

    async def _look_for_a_death(self) -> None:
        """Chrome fails a call of a page that died a moment before it tells of the death."""
        await self._wait_first(asyncio.ensure_future(asyncio.sleep(DEATH_SECONDS)))

    async def _wait_first(self, step: "asyncio.Future[Any]") -> None:
        """Wait for a step, or for the end of the page or its Chrome, which is raised."""
        flooded = self._connection.flooded
        ends: set[asyncio.Future[Any]] = {step, self._crashed, self._connection.closed, flooded}
        await asyncio.wait(ends | {self._given_up}, return_when=FIRST_COMPLETED)
        if self._given_up.done():
            raise PageFailed(self._given_up.result())
        if self._crashed.done():
            raise PageCrashed("the page crashed: its process died, often for lack of memory")
        if self._connection.closed.done():
            raise ChromeDied("Chrome ended during the render")
        if flooded.done():
            raise PageFailed(
                "the page keeps Chrome too busy: too many requests, windows, frames or dialogs, or"
                " too much sent by it"
            )

    def _opened(self, event: dict[str, Any]) -> None:
        """Close every window that the page opens; a poster is one page."""
        target = event["targetInfo"]
        if target["type"] == "page" and target["targetId"] != self.target:
            self._spawn(self._close_window(target["targetId"]))

    async def _close_window(self, target: str) -> None:
        with contextlib.suppress(PyppeteerError):  # it has closed itself
            await self._connection.send("Target.closeTarget", {"targetId": target})

    async def _dismiss(self) -> None:
        """Answer a dialog as somebody who does not want it."""
        await self._session.send("Page.handleJavaScriptDialog", {"accept": False})

    def _has_loaded(self, _: dict[str, Any]) -> None:
        """Settle `_loaded` when the page has loaded, and not the blank one before it."""
        if self._is_loaded_from_us:
            _settle(self._loaded)

    def _stopped_loading(self, event: dict[str, Any]) -> None:
        """Settle `_loaded` also where the load event never comes.

        After `window.stop()`, or when the page began to go elsewhere and was not let.
        """
        if event["frameId"] == self.target and self._is_loaded_from_us:
            _settle(self._loaded)

    def paused(self, event: dict[str, Any]) -> None:
        """Something that a page asks for waits for an answer; the document for its own time."""
        if not self._document.done() and self._is_main(event):
            self._document.set_result(event)
        else:
            self._spawn(self._answer(event))

    def _is_main(self, event: Mapping[str, Any]) -> bool:
        return event.get("resourceType") == "Document" and bool(event["frameId"] == self.target)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, context=self._context)
        self._routing.add(task)
        task.add_done_callback(self._routed)
        return task

    def _routed(self, task: "asyncio.Task[None]") -> None:
        self._routing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("answering the page failed", exc_info=error)

    async def _answer(self, event: dict[str, Any]) -> None:
        """Give the page what the route says; a request that cannot be answered fails.

        The poster is the page's first document and stays it: aborted, a navigation of the page
        itself leaves the page as it is.

        Chrome's word that it has taken the answer is awaited inside the gate: that is what keeps
        a page with a thousand pictures from filling our memory.
        """
        refusal = "Aborted" if self._is_main(event) else None
        if refusal:
            self.witness.stayed(event["request"]["url"])
        async with self._gate:
            try:
                reply = None if refusal else await self._reply(event)
                if reply is not None:
                    await self._fulfil(event, reply)
                    return
            except PyppeteerError:  # Chrome does not like it, a status of 999 for example
                logger.debug("Chrome refused an answer", exc_info=True)
            await self._fail(event, refusal or "BlockedByClient")

    async def _fulfil(self, event: Mapping[str, Any], reply: Reply) -> None:
        answer = {"requestId": event["requestId"]} | await _encoded(reply)
        await self._connection.send("Fetch.fulfillRequest", answer)

    async def _fail(self, event: Mapping[str, Any], reason: str) -> None:
        answer = {"requestId": event["requestId"], "errorReason": reason}
        await self._connection.send("Fetch.failRequest", answer)

    async def _reply(self, event: Mapping[str, Any]) -> Reply | None:
        if self._route is None:
            return None
        try:
            return await self._route(self._request_of(event))
        except Exception:
            logger.exception("the route of a page failed")
            return None

    def _request_of(self, event: Mapping[str, Any]) -> Request:
        asked = event["request"]
        parts = [
            pybase64.b64decode(part["bytes"], validate=True)
            for part in asked.get("postDataEntries", ())
            if part
        ]
        return Request(
            url=asked["url"],
            method=asked["method"],
            headers=asked["headers"],
            body=b"".join(parts) if parts else None,
            kind=event.get("resourceType", "Other"),
            **self._way_of(event),
        )

    def _way_of(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """How many redirects led to a request, and from where: Chrome names the one before."""
        before = event.get("redirectedRequestId")
        if before is None:
            self._hops[event["requestId"]] = 0, event["request"]["url"]
            return {}
        hops, first = self._hops.get(before, (0, ""))
        self._hops[event["requestId"]] = hops + 1, first
        return {"hops": hops + 1, "first": first}


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """While no caller's page is there, whatever goes wrong is the end of that Chrome.

    Raises:
        ChromeDied: Instead of pyppeteer's errors, and of those of a render.
    """
    try:
        yield
    except (PyppeteerError, OSError, RenderFailed) as error:
        raise ChromeDied("Chrome ended while its page was opened or closed") from error


async def _encoded(reply: Reply) -> dict[str, Any]:
    """The reply as Chrome wants it; a large one is encoded beside the event loop."""
    if len(reply.body) < LARGE_BYTES:
        return _wire(reply)
    return await asyncio.to_thread(_wire, reply)


def _wire(reply: Reply) -> dict[str, Any]:
    return {
        "responseCode": reply.status,
        "responseHeaders": [{"name": name, "value": value} for name, value in reply.headers],
        "body": pybase64.b64encode_as_string(reply.body),
    }


def _look_at(step: "asyncio.Future[Any]") -> None:
    """Retrieve the exception of a step, so that it is not reported as lost."""
    if not step.cancelled():
        step.exception()


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
