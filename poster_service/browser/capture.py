"""How a page that has loaded is captured: the viewport, more or less than that, a PDF, its text.

A module of its own because what Chrome does during a capture decides whether the picture is right.
It speaks CDP through the page's `Send` and its `Frames` only.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from poster_service.browser.area import Area
from poster_service.browser.containers import scroll_back
from poster_service.browser.contents import Contents
from poster_service.browser.frames import STEADY, Frames, Send
from poster_service.browser.joining import Joined, is_too_large, memory, pieces
from poster_service.browser.pieces import Base64, decoded
from poster_service.browser.printing import ExpectData, Printing
from poster_service.browser.region import measure, zoomed_viewport
from poster_service.browser.shown import Shown, Surface
from poster_service.browser.types import CaptureOptions
from poster_service.browser.world import World
from poster_service.buffers import Share
from poster_service.errors import PageFailed

#: Stops what moves by itself, and has it go on. By scripts, since CDP's Animation.setPlaybackRate
#: sets the time of animations back where the client drives the display clock (measured in 156).
PAUSE = """for (const one of globalThis.moving = Document.prototype.getAnimations.call(document)
    .filter((one) => one.playState === 'running')) one.pause();"""
RESUME = "for (const one of moving) one.play();"
#: How a piece of a picture is encoded, and every PNG. 40 instead of 150 ms of CPU (docs/facts.md,
#: "Capture").
PNG = {"format": "png", "optimizeForSpeed": True}


class Capture:
    """Captures one page."""

    def __init__(
        self,
        send: Send,
        expect_data: ExpectData,
        frames: Frames | None,
        world: World,
        contents: Contents,
    ) -> None:
        """Take what reaches the page.

        Args:
            send: Sends a command to the page and returns its answer, or raises.
            expect_data: While inside, an answer may be as large as a picture. Not to be used around
                commands whose answer the page decides, which could be of any size too.
            frames: None where Chrome has a display clock of its own.
            world: Where scripts find the page's elements.
            contents: Reads the page's text.
        """
        self._send = send
        self._expect_data = expect_data
        self._frames = frames
        self._world = world
        self._contents = contents
        self._surface = Surface(send)
        #: Device pixels of the pictures so far that are not of the viewport.
        self._pixels = 0
        #: Device pixels of all pictures so far.
        self.pixels_taken = 0

    async def take(self, options: CaptureOptions, share: Share | None = None) -> bytes:
        """The picture, PDF or text.

        Args:
            options: Of this picture.
            share: Where the memory of a picture that is joined from pieces is counted.

        Raises:
            CallerError: There is no such part of the page, or it is larger than allowed; see
                `region.measure` and `contents.Contents`.
            PageFailed: Chrome could not.
        """
        if options.format == "pdf":
            await self._surface.restore()
            async with self._frames_going():
                data = await Printing(self._send, self._expect_data).pdf(options)
            return await decoded(data)
        if options.format == "html":
            return await self._contents.document()
        if options.format == "elements":
            return await self._contents.elements(options.elements)
        if options.is_viewport and options.zoom == 1:
            return await self._picture(options)
        if options.is_viewport:
            return await self._picture(options, await zoomed_viewport(self._send, options))
        left = replace(options, max_pixels=max(0, options.max_pixels - self._pixels))
        area = await measure(self._send, self._world, left)
        picture = await self._of_area(area, options, share)
        if options.selector is not None:
            await scroll_back(self._world)
        return picture

    async def _of_area(self, area: Area, options: CaptureOptions, share: Share | None) -> bytes:
        """A picture of more or less than the viewport, in one piece or joined."""
        self._pixels += area.width * area.height
        if is_too_large(area):
            await self._surface.restore()
            return await self._joined(area, options, share)
        return await self._picture(options, area)

    def take_over(self, before: "Capture") -> None:
        """Go on with a page that another object has captured before."""
        self._surface.take_over(before._surface)

    def note_set_up(self) -> None:
        """Note that the page's viewport was set."""
        self._surface.note_set_up()

    async def _picture(self, options: CaptureOptions, area: Area | None = None) -> bytes:
        """A picture of the viewport or an area: out of a frame, or else by Chrome's own way."""
        encoded = encoding(options)
        self.pixels_taken += pixels_of(options, area)
        if data := await self._drawn(Shown(options.page.viewport, area), encoded):
            return await _bytes(data)
        await self._surface.restore()
        return await _bytes(await self._screenshot(encoded, area))

    async def _drawn(self, shown: Shown, encoded: dict[str, Any]) -> Base64:
        """A picture out of a frame, in base64; empty where that is not possible."""
        if self._frames is None or not shown.is_exact:
            return ""
        is_plain = shown.area is None and shown.viewport.scale == 1
        is_moved = not (is_plain and self._surface.is_untouched)
        if is_moved and not await self._surface.show(shown):
            return ""
        with self._expect_data():
            return await self._frames.picture(encoded, is_moved=is_moved)

    async def _screenshot(self, encoded: dict[str, Any], area: Area | None = None) -> Base64:
        """The picture by Page.captureScreenshot, which waits for the display clock, in base64.

        A full page, as any part beyond the viewport, is a clip, and not `captureBeyondViewport`.
        That option makes the viewport 1 x 1 for a moment and then restores it (measured in 156; a
        workaround for a bug of Chrome's own): media queries change and change back, `resize` fires,
        transitions start and are captured half way, and at times Chrome waits for a frame that
        never comes. All else that it does is to have Chrome record what lies outside the viewport,
        which `BLINK_SETTINGS` (spec.py) do from the start. So nothing is laid out again:
        `100vh` and fixed or sticky elements refer to the viewport. Compared on 31 pages, at scale 1
        and 2, pixels are the same.

        Args:
            encoded: The parameters that say how it is encoded.
            area: What is captured; None for the viewport.
        """
        parameters = encoded if area is None else {**encoded, "clip": area.clip()}
        async with self._frames_going():
            with self._expect_data():
                answer = await self._send("Page.captureScreenshot", parameters)
        data: Base64 = answer["data"]
        return data

    async def _joined(self, area: Area, options: CaptureOptions, share: Share | None) -> bytes:
        """The picture, joined from pieces.

        Each piece begins at a whole device pixel, so that its pixels are those of the whole.
        """
        held = memory(area)
        self.pixels_taken += area.width * area.height
        if share is not None:
            held += share.size
            await share.fit(held)
        picture = await asyncio.to_thread(Joined, area, options)
        async with self._animations_paused(replace(area, width=1, height=1)):
            for piece in pieces(area):
                png = await _bytes(await self._screenshot(PNG, piece))
                await asyncio.to_thread(picture.add, piece, png)
                if share is not None:
                    share.set(held)  # the piece, which came over the pipe, is gone
        return await asyncio.to_thread(picture.encoded)

    @contextlib.asynccontextmanager
    async def _animations_paused(self, pixel: Area) -> AsyncIterator[None]:
        """CSS animations and transitions stand still while inside, so that pieces fit together.

        An animation begins, and stands still, with a frame, which comes with a capture of a pixel.
        """
        await self._screenshot(PNG, pixel)
        await self._world.value(PAUSE)
        await self._screenshot(PNG, pixel)
        yield
        await self._world.value(RESUME)

    def _frames_going(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Frames while inside, where this Chrome leaves its display clock to us."""
        return self._frames.going(0, STEADY) if self._frames else contextlib.nullcontext()


def pixels_of(options: CaptureOptions, area: Area | None) -> int:
    """The device pixels of a picture of an area, or of the viewport."""
    if area is not None:
        return area.width * area.height
    viewport = options.page.viewport
    return round(viewport.width * viewport.scale) * round(viewport.height * viewport.scale)


def encoding(options: CaptureOptions) -> dict[str, Any]:
    """The parameters of CDP that say how a picture is encoded."""
    if options.format == "png":
        return PNG
    return {"format": options.format, "quality": options.quality}


async def _bytes(data: Base64) -> bytes:
    """The bytes of a picture.

    Raises:
        PageFailed: There is none.
    """
    if not data:
        raise PageFailed("Chrome returned no picture of the page")
    return await decoded(data)
