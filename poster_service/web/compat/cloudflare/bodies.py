"""The JSON bodies of Browser Run's routes: every property that its SDK declares, and no other.

As the types of the official SDKs have them (`cloudflare` 7.3 for TypeScript, 5.9 for Python).
Properties that browserless has too are of puppeteer's models.
"""

from typing import Annotated, Literal

from pydantic import Field

from poster_service.web.compat.puppeteer import bodies
from poster_service.web.compat.puppeteer.bodies import (
    Body,
    CommonPage,
    CommonPdfOptions,
    RejectedType,
    ScreenshotOptions,
    Texts,
)

Types = Annotated[list[RejectedType], Field(max_length=50)]
SnapshotFormat = Literal["content", "screenshot", "markdown", "accessibilityTree"]
DEFAULT_FORMATS: tuple[SnapshotFormat, ...] = ("content", "screenshot")
#: The most milliseconds that the SDK's documentation allows for a capture.
MAX_ACTION_MS = 120_000


class CookieParam(bodies.CookieParam):
    """A cookie of the page."""

    source_port: float | None = None


class Page(CommonPage):
    """What every route takes."""

    action_timeout: Annotated[float, Field(ge=0, le=MAX_ACTION_MS)] | None = None
    allow_request_pattern: Texts = Field(default_factory=list)
    allow_resource_types: Types = Field(default_factory=list)
    cookies: Annotated[list[CookieParam], Field(max_length=50)] = Field(default_factory=list)
    user_agent: str | None = None


class Screenshot(Page):
    """POST /screenshot."""

    screenshot_options: ScreenshotOptions | None = None
    scroll_page: bool = False
    selector: str | None = None


class Pdf(Page):
    """POST /pdf."""

    pdf_options: CommonPdfOptions | None = None


class Snapshot(Page):
    """POST /snapshot."""

    formats: Annotated[list[SnapshotFormat], Field(min_length=1, max_length=4)] = Field(
        default_factory=lambda: list(DEFAULT_FORMATS)
    )
    screenshot_options: ScreenshotOptions | None = None


class ScrapedElement(Body):
    """What is looked for."""

    selector: str


class Scrape(Page):
    """POST /scrape."""

    elements: Annotated[list[ScrapedElement], Field(min_length=1, max_length=20)]


class Links(Page):
    """POST /links."""

    exclude_external_links: bool = False
    visible_links_only: bool = False
