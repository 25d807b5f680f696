"""A render job: all that is known of a render before it is painted, in one frozen object.

Built once, by `job_builder.JobBuilder`; the cache looks it up, the renderer paints it, the log line
describes it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from poster_service.browser.types import CaptureOptions, PageOptions
from poster_service.browser.warm import WarmKey
from poster_service.isolation import Isolation
from poster_service.render.header_footer import has_date
from poster_service.render.options import RenderOptions
from poster_service.render.request import RenderRequest
from poster_service.render.source import Url
from poster_service.render.static_page import adds_movement
from poster_service.render.template import Template


class Deadline:
    """When a render must be done; it may be moved while the render runs.

    Attributes:
        when: On the event loop's clock, in seconds.
        milliseconds: How long the render was given at first, for error messages.
    """

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds
        self.when = asyncio.get_running_loop().time() + milliseconds / 1000
        self._alarm: asyncio.Timeout | None = None

    @property
    def left(self) -> float:
        """Seconds until then, 0 afterwards."""
        return max(0.0, self.when - asyncio.get_running_loop().time())

    @property
    def is_watched(self) -> bool:
        """Whether something runs now that is cancelled at that time."""
        return self._alarm is not None

    def restart(self) -> None:
        """Give the render its whole time again, from now on."""
        self.move(asyncio.get_running_loop().time() + self.milliseconds / 1000)

    def move(self, when: float) -> None:
        """Set another time; without effect once the time is up."""
        if self._alarm is not None:
            if self._alarm.expired():
                return
            self._alarm.reschedule(when)
        self.when = when

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Cancel what runs inside when the time is up.

        Raises:
            TimeoutError: The time was up.
        """
        async with asyncio.timeout_at(self.when) as alarm:
            self._alarm = alarm
            try:
                yield
            finally:
                self._alarm = None


@dataclass(frozen=True)
class CacheControl:
    """What a caller says about caching, in the terms of RFC 9111, section 5.2.1.

    Attributes:
        no_cache: Paint it now, and store that.
        no_store: Neither look in the cache nor store.
        max_age: The oldest picture that will do, in seconds.
    """

    no_cache: bool = False
    no_store: bool = False
    max_age: float = float("inf")


@dataclass(frozen=True)
class RenderContext:
    """Who asks for a render, and how; everything about it that is no part of the request.

    Attributes:
        caller: An opaque name by which slots, connections and cached pictures are kept apart; ""
            without tokens.
        cache_control: What the caller says about caching.
        folder: The folder of a page that is a local file, for its relative addresses. No caller
            over HTTP has one.
        is_background: Whether it gets a slot only when no other render waits, and its time begins
            with the slot.
    """

    caller: str = ""
    cache_control: CacheControl = field(default_factory=CacheControl)
    folder: Path | None = None
    is_background: bool = False


@dataclass(frozen=True)
class RenderJob:
    """One render, with everything found and filled in that needs no Chrome.

    Attributes:
        request: What the caller sent: source, options and files, checked.
        context: Who asks, and how.
        deadline: When the render must be done.
        template: None when the HTML is the caller's own.
        html: The page as Chrome gets it; "" of a page on the web.
        page: How the page is set up, with every default filled in.
        captures: What is captured of it, likewise.
        is_static: Whether nothing on the page runs or moves, as far as its text tells.
        isolation: What it may share with other renders.
        cache_key: The same for two jobs whose pictures are the same, and for no others.
        begin: When its building began, on the monotonic clock.
        warm: What its page may be shared with; None where it is not shared.
    """

    request: RenderRequest
    context: RenderContext
    deadline: Deadline
    template: Template | None
    html: str
    page: PageOptions
    captures: tuple[CaptureOptions, ...]
    is_static: bool
    cache_key: bytes
    isolation: Isolation
    begin: float = field(default_factory=time.monotonic)
    warm: WarmKey | None = None

    @property
    def options(self) -> RenderOptions:
        """The options of the request."""
        return self.request.options

    @property
    def format(self) -> str:
        """The encoding, or "several" where there are outputs, for the log and the metrics."""
        return "several" if self.options.outputs else self.options.format

    @property
    def caller(self) -> str:
        """The caller's name."""
        return self.context.caller

    @property
    def source_name(self) -> str:
        """The template's name, or "html", for the log."""
        return self.request.source.label

    @property
    def may_be_static(self) -> bool:
        """Whether its page may be static: of a page on the web only its document tells."""
        is_visit = isinstance(self.request.source, Url)
        return self.is_static or (is_visit and not adds_movement(self.options))

    @property
    def may_be_cached(self) -> bool:
        """Whether its picture may be given to others, or others' to it.

        Not if it may come out differently each time, unless `cache_ttl` says for how long one
        picture will do; and not where files of this machine are part of the page.
        """
        ttl = self.options.cache_ttl
        is_stable = self.may_be_static and not any(has_date(one.pdf) for one in self.captures)
        is_wanted = is_stable if ttl is None else ttl > 0
        return is_wanted and not self.context.cache_control.no_store and self.context.folder is None
