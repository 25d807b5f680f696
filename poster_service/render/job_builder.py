"""Builds a render job from a request: template, defaults, static or not, cache key, deadline.

All that can fail without a Chrome fails here.
"""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from poster_service.browser.fonts import Fonts
from poster_service.browser.types import CaptureOptions, Environment
from poster_service.render.job import Deadline, RenderContext, RenderJob
from poster_service.render.markup import Templates
from poster_service.render.options import (
    DEFAULT_HEIGHT,
    DEFAULT_QUALITY,
    DEFAULT_WIDTH,
    RenderOptions,
)
from poster_service.render.request import Limits, RenderRequest, check_pixels
from poster_service.render.source import Html
from poster_service.render.static_page import is_static
from poster_service.render.template import Template, check_files

#: A Chrome's program file is read again for its identity after so many seconds.
IDENTITY_SECONDS = 1.0
#: A page of up to so many characters is examined in the event loop, which takes half a millisecond;
#: a larger one in a thread.
MAX_INLINE_CHARACTERS = 1 << 13


class PaintIdentity:
    """The identity of what paints, Chrome and fonts: an upgrade of either gives other pictures."""

    def __init__(self, program: Path, fonts: Fonts) -> None:
        self._program = program
        self._fonts = fonts
        self._text, self._until = "", -math.inf

    @property
    def is_fresh(self) -> bool:
        """Whether `text` reads no file now."""
        return time.monotonic() < self._until

    def text(self) -> str:
        """The identity; reads the program's and the fonts' state at most once a second."""
        if not self.is_fresh:
            self._text = f"{_program_state(self._program)} {self._fonts.identity()}"
            self._until = time.monotonic() + IDENTITY_SECONDS
        return self._text


def _program_state(program: Path) -> str:
    try:
        found = program.stat()
    except OSError:
        return ""
    return f"{program} {found.st_size} {found.st_mtime_ns}"


class JobBuilder:
    """Turns requests into jobs."""

    def __init__(
        self,
        templates: Templates,
        limits: Limits,
        identity: PaintIdentity,
        *,
        shares_pictures: bool,
    ) -> None:
        """Hold what all jobs need.

        Args:
            templates: The templates that a request may name.
            limits: The bounds of pictures and times.
            identity: What paints; part of each cache key.
            shares_pictures: Whether callers get each other's pictures.
        """
        self._templates = templates
        self._limits = limits
        self._identity = identity
        self._shares_pictures = shares_pictures

    async def build(self, request: RenderRequest, context: RenderContext) -> RenderJob:
        """Build the job of a request; in a thread where that reads files or takes long.

        A template's files are read once, for its page and for its part of the cache key, so that
        both are of the same version.

        Raises:
            CallerError: The request cannot be served as it is.
            PageFailed: Its template is at fault.
        """
        deadline = Deadline(request.options.timeout_ms or self._limits.timeout_ms)
        if self._is_quick(request):
            return self.build_now(request, context, deadline)
        return await asyncio.to_thread(self.build_now, request, context, deadline)

    def build_now(
        self, request: RenderRequest, context: RenderContext, deadline: Deadline
    ) -> RenderJob:
        """Build the job in this thread; for arguments and errors see `build`."""
        begin = time.monotonic()
        template, html = self._page(request)
        capture = self._capture_options(request, template)
        key = cache_key(request, capture, html, self._painter(template, context))
        static = is_static(html, runs_scripts=request.options.javascript)
        return RenderJob(request, context, deadline, template, html, capture, static, key, begin)

    def _is_quick(self, request: RenderRequest) -> bool:
        """Whether building reads no file, and takes less than a thread's turn would."""
        source = request.source
        is_small = isinstance(source, Html) and len(source.html) <= MAX_INLINE_CHARACTERS
        return is_small and not request.files and self._identity.is_fresh

    def _page(self, request: RenderRequest) -> tuple[Template | None, str]:
        """The template and the page's HTML."""
        source = request.source
        if isinstance(source, Html):
            return None, source.html
        template = self._templates.find(source.template)
        check_files(template, request.files)
        return template, self._templates.render(template, source.data or {})

    def _painter(self, template: Template | None, context: RenderContext) -> Iterable[object]:
        """The rest of the cache key beside page, options, files: owner, template, Chrome, fonts."""
        version = template.files.digest if template else ""
        owner = "" if self._shares_pictures else context.caller
        return owner, template and template.name, version, self._identity.text()

    def _capture_options(self, request: RenderRequest, template: Template | None) -> CaptureOptions:
        """How the picture is taken: each value the caller's, else the template's, else ours."""
        options, limits = request.options, self._limits
        width = options.width or (template and template.width) or DEFAULT_WIDTH
        height = options.height or (template and template.height) or DEFAULT_HEIGHT
        check_pixels(options, width, height, limits)
        lossy = options.format in ("jpeg", "webp")
        return CaptureOptions(
            width=width,
            height=height,
            scale=options.device_scale_factor,
            format=options.format,
            quality=(options.quality or DEFAULT_QUALITY) if lossy else None,
            full_page=options.full_page,
            background=options.colour(),
            max_pixels=limits.max_pixels,
            max_messages=limits.max_messages,
            max_message_bytes=limits.max_message_bytes,
            mobile=options.mobile,
            environment=environment_of(options),
        )


def environment_of(options: RenderOptions) -> Environment:
    """Who looks at the page and on what, as the options have it."""
    return Environment(
        touch=options.touch,
        media=options.media,
        media_features=tuple(sorted(options.media_features.items())),
        timezone=options.timezone,
        locale=options.locale,
        user_agent=options.user_agent,
        javascript=options.javascript,
    )


def cache_key(
    request: RenderRequest, capture: CaptureOptions, html: str, painter: Iterable[object]
) -> bytes:
    """32 bytes that are the same for equal renders, and for no others.

    Every option counts, with the defaults filled in, unless its declaration says that it does not
    change the output; files that came with the request count by their digest.
    """
    options = request.options.output_options() | asdict(capture)
    files = [file.digest() for file in request.files]
    text = json.dumps([list(painter), options, files], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=32)
    digest.update(html.encode("utf-8", "surrogatepass"))
    return digest.digest()
