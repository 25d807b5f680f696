"""The options of a render: the ONE place where an option is declared.

To add an option, add a field here, and the code that does what it says (docs/contributing.md names
the places). JSON, query, form, signed URL, command line, OpenAPI, error texts, the cache key and
the docs' table read this declaration (declaration.py). Nothing here needs Chrome, Pillow or an HTTP
library.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from poster_service.browser.types import MAX_SIDE, Format
from poster_service.render.declaration import DEFAULT_FORMAT, Option, OptionGroup

CONTENT_TYPES: Mapping[Format, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "pdf": "application/pdf",
}
DEFAULT_WIDTH = 750
DEFAULT_HEIGHT = 1334
DEFAULT_QUALITY = 80
#: A year, in seconds.
MAX_TTL = 31_536_000
WHITE = (255, 255, 255, 255)
CLEAR = (0, 0, 0, 0)

PngCompression = Literal["fast", "balanced", "small"]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Quality = Annotated[int, Field(ge=1, le=100)]
#: pydantic's `$` does not match before a line feed at the end, Python's would.
Background = Annotated[str, Field(pattern=r"^(transparent|#[0-9a-fA-F]{6})$")]


class RenderOptions(OptionGroup):
    """How a picture is made of a source; every option has a default."""

    width: Annotated[
        Side | None,
        Option(
            "Viewport width in CSS pixels.",
            default=f"{DEFAULT_WIDTH}, or the template's own",
        ),
    ] = None
    height: Annotated[
        Side | None,
        Option(
            "Viewport height in CSS pixels.",
            default=f"{DEFAULT_HEIGHT}, or the template's own",
        ),
    ] = None
    device_scale_factor: Annotated[
        float, Field(ge=0.1, le=5.0), Option("Device pixels per CSS pixel.")
    ] = 1.0
    format: Annotated[Format, Option("Encoding of the answer.")] = DEFAULT_FORMAT
    quality: Annotated[
        Quality | None,
        Option("Encoder quality.", formats=("jpeg", "webp"), default=str(DEFAULT_QUALITY)),
    ] = None
    png_compression: Annotated[
        PngCompression,
        Option(
            "How a png is compressed: `fast` (up to twice the bytes of the others), `balanced`, or"
            " `small` (the most CPU). The pixels are the same.",
            formats=("png",),
        ),
    ] = "fast"
    full_page: Annotated[
        bool,
        Option("The whole document instead of the viewport; a PDF gets one tall page."),
    ] = False
    background: Annotated[
        Background | None,
        Option(
            "Colour under the page: `transparent`, or `#rrggbb`.",
            allowed="transparent or #rrggbb",
            default="transparent for png and webp, white for jpeg and pdf",
            value_formats={"transparent": ("png", "webp", "pdf")},
        ),
    ] = None
    timeout_ms: Annotated[
        Annotated[int, Field(ge=100)] | None,
        Option(
            "Time for the whole render, waiting included, in milliseconds.",
            default="the service's own",
            unit="milliseconds",
            limit="max_timeout_ms",
            changes_output=False,
        ),
    ] = None
    strict: Annotated[
        bool,
        Option(
            "Fail the render if a subresource of the page fails. Without it the picture is made and"
            " X-Render-Warnings lists what failed."
        ),
    ] = False
    cache_ttl: Annotated[
        Annotated[int, Field(ge=0, le=MAX_TTL)] | None,
        Option(
            "Seconds for which equal requests may get the same picture from the cache, even if"
            " the page runs scripts or fetched what may change; 0 is never.",
            default="as long as the page is sure to look the same",
            unit="seconds",
            changes_output=False,
        ),
    ] = None

    def colour(self) -> tuple[int, int, int, int]:
        """The background as RGBA."""
        if self.background is None:
            return CLEAR if self.format in ("png", "webp") else WHITE
        if self.background == "transparent":
            return CLEAR
        red, green, blue = bytes.fromhex(self.background[1:])
        return red, green, blue, 255
