"""Builds a render job from a request: template, defaults, static or not, cache key, deadline.

All that can fail without a Chrome fails here.
"""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from poster_service.browser.area import area_of, check_size
from poster_service.browser.fonts import Fonts
from poster_service.browser.types import CaptureOptions, Environment, PageOptions, Region
from poster_service.browser.warm import WarmKey
from poster_service.errors import Fault, InvalidField, RenderTimeout
from poster_service.isolation import Isolation, is_laxer, up_to
from poster_service.render import markdown_page
from poster_service.render.device_options import DEFAULT_HEIGHT, DEFAULT_WIDTH
from poster_service.render.formats import (
    LOSSY,
    MAX_AVIF_SIDE,
    PICTURES,
    captured_as,
    most_pixels,
)
from poster_service.render.job import Deadline, RenderContext, RenderJob
from poster_service.render.json_schema import listed
from poster_service.render.markup import Templates
from poster_service.render.options import RenderOptions
from poster_service.render.output_options import DEFAULT_QUALITY, Output, OutputOptions
from poster_service.render.output_sizes import viewport_pixels
from poster_service.render.outputs import naming_output
from poster_service.render.pdf_options import pdf_capture
from poster_service.render.request import Limits, RenderRequest, check_delay, check_pixels
from poster_service.render.source import Html, Markdown, Url
from poster_service.render.static_page import adds_movement, is_static
from poster_service.render.template import Template, check_files
from poster_service.render.warm_fit import is_plain, obstacle_in

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

    def recent(self) -> str | None:
        """The identity that was read within the last second; None: `text` would read files now."""
        return self._text if time.monotonic() < self._until else None

    def text(self) -> str:
        """The identity; reads the program's and the fonts' state at most once a second."""
        if self.recent() is None:
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
        if isinstance(request.source, Markdown):
            return await self._build_parsed(request, context, deadline)
        # Asked for once: between two looks it may grow old, and the loop would read files.
        painter = self._identity.recent()
        if painter is not None and self._is_quick(request):
            return self.build_now(request, context, deadline, painter)
        return await asyncio.to_thread(self.build_now, request, context, deadline)

    async def _build_parsed(
        self, request: RenderRequest, context: RenderContext, deadline: Deadline
    ) -> RenderJob:
        """The same for Markdown, in the thread that parses it.

        Raises:
            RenderTimeout: The time of the render ends before its text is parsed.
        """
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(
            markdown_page.thread(), self.build_now, request, context, deadline
        )
        try:
            async with asyncio.timeout_at(deadline.when):
                return await work
        except TimeoutError as error:
            message = f"the Markdown was not parsed in the {deadline.milliseconds} ms of the render"
            raise RenderTimeout(message) from error

    def build_now(
        self,
        request: RenderRequest,
        context: RenderContext,
        deadline: Deadline,
        painter: str | None = None,
    ) -> RenderJob:
        """Build the job in this thread; for the rest and for errors see `build`.

        `painter` is the identity of Chrome and fonts; without it, it is read from files.
        """
        begin = time.monotonic()
        template, html = self._page(request)
        page = self._page_options(request.options, template)
        captures = tuple(self._captures(request.options, page))
        painted_by = (*self._shared_by(template, context), painter or self._identity.text())
        key = cache_key(request, captures, html, painted_by)
        is_visit = isinstance(request.source, Url)
        static = not is_visit and is_static(html, runs_scripts=request.options.javascript)
        static = static and not adds_movement(request.options)
        level = isolation_of(request.options, template, self._limits)
        job = RenderJob(
            request, context, deadline, template, html, page, captures, static, key, level, begin
        )
        return at_page_level(job) if level == "page" else job

    def _is_quick(self, request: RenderRequest) -> bool:
        """Whether building reads no file, and takes less than a thread's turn would."""
        source = request.source
        is_small = isinstance(source, Url) or (
            isinstance(source, Html) and len(source.html) <= MAX_INLINE_CHARACTERS
        )
        pdfs = [one.pdf for one in request.options.captured if one.pdf is not None]
        templates = sum(len(one.header or "") + len(one.footer or "") for one in pdfs)
        is_small = is_small and templates <= MAX_INLINE_CHARACTERS
        return is_small and not request.files

    def _page(self, request: RenderRequest) -> tuple[Template | None, str]:
        """The template and the page's HTML."""
        source = request.source
        if isinstance(source, Html):
            return None, source.html
        if isinstance(source, Url):
            return None, ""
        if isinstance(source, Markdown):
            return None, markdown_page.page_of(source.markdown)
        template = self._templates.find(source.template)
        check_files(template, request.files)
        return template, self._templates.render(template, source.data or {})

    def _shared_by(self, template: Template | None, context: RenderContext) -> Iterable[object]:
        """Who gets the picture, and of which template: the owner, name, and digest of its files."""
        version = template.files.digest if template else ""
        owner = "" if self._shares_pictures else context.caller
        return owner, template and template.name, version

    def _page_options(self, options: RenderOptions, template: Template | None) -> PageOptions:
        """How the page is set up: each value the caller's, else the template's, else ours."""
        limits, captured = self._limits, options.captured
        width = options.width or (template and template.width) or DEFAULT_WIDTH
        height = options.height or (template and template.height) or DEFAULT_HEIGHT
        check_pixels(options, width, height, limits)
        check_delay(options, limits)
        return PageOptions(
            width=width,
            height=height,
            scale=options.device_scale_factor,
            background=captured[0].colour(),
            is_full=not all(one.is_viewport for one in captured),
            max_messages=limits.max_messages,
            max_message_bytes=limits.max_message_bytes,
            mobile=options.mobile,
            environment=environment_of(options),
        )

    def _captures(self, options: RenderOptions, page: PageOptions) -> Iterator[CaptureOptions]:
        """How each picture is taken; those of unknown size have what the others leave."""
        spare = self._limits.max_pixels - viewport_pixels(options, (page.width, page.height))
        for place, one in enumerate(options.captured):
            with naming_output(options, place):
                yield self._capture_options(one, page, spare)

    def _capture_options(
        self, options: OutputOptions, page: PageOptions, max_pixels: int
    ) -> CaptureOptions:
        """How a picture is taken of the page, with every default filled in."""
        lossy = options.format in LOSSY
        scale = options.device_scale_factor if isinstance(options, Output) else None
        capture = CaptureOptions(
            page=page,
            format=captured_as(options.format),
            quality=(options.quality or DEFAULT_QUALITY) if lossy else None,
            full_page=options.full_page,
            background=options.colour(),
            max_pixels=most_pixels(options.format, max_pixels),
            max_side=MAX_AVIF_SIDE if options.format == "avif" else None,
            pdf=pdf_capture(options.pdf, page.width, page.height, full_page=options.full_page),
            selector=options.selector,
            padding=options.padding,
            clip=Region(**options.clip.model_dump()) if options.clip else None,
            zoom=1.0 if scale is None else scale / page.scale,
            elements=options.elements,
        )
        if capture.clip:
            check_size(area_of(capture.clip, page.scale, capture.zoom), "the clip", capture)
        return capture


def isolation_of(options: RenderOptions, template: Template | None, limits: Limits) -> Isolation:
    """What a render may share with others: as the operator says, or less if the caller says so.

    A template's own level is the operator's, who installs it.

    Raises:
        InvalidField: The caller asks for a laxer level than the operator's.
    """
    own = limits.isolation if template is None else template.isolation or limits.template_isolation
    wanted = options.isolation
    if wanted is not None and is_laxer(wanted, own):
        message = f'"{wanted}" is less isolation than this service gives here'
        raise InvalidField.of(Fault("isolation", message, listed(up_to(own), "or")))
    return wanted or own


def at_page_level(job: RenderJob) -> RenderJob:
    """A job with a warm page, or at the next level where it cannot have one.

    A warm page runs no scripts. That is no part of the cache key: the picture is the same.
    """
    template = job.template
    is_fit = (
        template is not None
        and not template.obstacle
        and job.is_static
        and all(one.format in PICTURES for one in job.captures)
        and not obstacle_in(job.html)
        and is_plain(job.options)
    )
    if template is None or not is_fit:
        return replace(job, isolation="context")
    environment = replace(job.page.environment, javascript=False)
    page = replace(job.page, environment=environment)
    return replace(job, page=page, warm=WarmKey(template.name, template.version, page))


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
    request: RenderRequest,
    captures: Sequence[CaptureOptions],
    html: str,
    painter: Iterable[object],
) -> bytes:
    """32 bytes that are the same for equal renders, and for no others.

    Every option counts, with the defaults filled in, unless its declaration says that it does not
    change the output; files that came with the request count by their digest.
    """
    each = [dict(vars(one)) for one in captures]
    pages = [one.pop("page") for one in each]
    options = request.options.output_options() | vars(pages[0])
    if request.options.outputs is None:
        options |= each[0]
    else:
        pairs = zip(request.options.outputs, each, strict=True)
        options["outputs"] = [one.output_options() | capture for one, capture in pairs]
    files = [file.digest() for file in request.files]
    address = request.source.url if isinstance(request.source, Url) else None
    # `vars` of what is nested: a fifth of the time of dataclasses.asdict, which copies all of it.
    text = json.dumps([list(painter), options, files, address], sort_keys=True, default=vars)
    digest = hashlib.blake2b(text.encode(), digest_size=32)
    digest.update(html.encode("utf-8", "surrogatepass"))
    return digest.digest()
