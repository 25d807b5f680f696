"""Render jobs for tests; building one needs no pool, no network and no running event loop."""

import functools
from pathlib import Path
from typing import Any

from poster_service.browser.fonts import Fonts
from poster_service.render.job import RenderContext, RenderJob
from poster_service.render.job_builder import JobBuilder, PaintIdentity
from poster_service.render.markup import Templates
from poster_service.render.request import Limits, RenderRequest
from poster_service.settings import default_templates


@functools.cache
def templates() -> Templates:
    """The bundled ones, compiled when first needed: not by each worker that collects tests."""
    return Templates(default_templates())


def build(
    context: RenderContext | None = None,
    *,
    program: str = "chrome",
    shared: bool = False,
    **options: Any,
) -> RenderJob:
    """The job of a request with these options."""
    identity = PaintIdentity(Path(program), Fonts())
    builder = JobBuilder(templates(), Limits(), identity, shares_pictures=shared)
    no_deadline: Any = None
    request = RenderRequest.parse(options, Limits())
    return builder.build_now(request, context or RenderContext("caller"), no_deadline)
