"""The options of a render: the ONE place where an option is declared.

To add an option, add a field here, and the code that does what it says (docs/contributing.md names
the places). JSON, query, form, signed URL, command line, OpenAPI, error texts, the cache key and
the docs' table read this declaration (declaration.py). Nothing here needs Chrome, Pillow or an HTTP
library.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from poster_service.browser.types import MAX_SIDE, Format, Media
from poster_service.quoting import quoted
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
#: The media features of CSS that Chrome emulates, each with its values (Media Queries 5).
MEDIA_FEATURES: Mapping[str, tuple[str, ...]] = {
    "prefers-color-scheme": ("light", "dark"),
    "prefers-reduced-motion": ("reduce", "no-preference"),
    "prefers-reduced-transparency": ("reduce", "no-preference"),
    "prefers-contrast": ("more", "less", "custom", "no-preference"),
    "forced-colors": ("active", "none"),
    "color-gamut": ("srgb", "p3", "rec2020"),
}
#: What may stand in a header, as `User-Agent` does: visible ASCII and single spaces between.
HEADER_WORDS = r"^[!-~]+( [!-~]+)*$"
#: A language, and perhaps script, region and more (BCP 47).
LANGUAGE_TAG = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$"
#: A name as of the tz database; it has nothing that leads out of a folder.
ZONE_NAME = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"


def _known_features(given: dict[str, str]) -> dict[str, str]:
    """The media features, if each is known and has one of its values; Chrome ignores others.

    Raises:
        ValueError: One is not, or has not; its text is for the caller.
    """
    for name, value in given.items():
        values = MEDIA_FEATURES.get(name)
        if values is None:
            raise ValueError(f'"{quoted(name)}" is no media feature that can be set')
        if value not in values:
            raise ValueError(f'{name} cannot be "{quoted(value)}"')
    return given


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
    mobile: Annotated[
        bool,
        Option(
            "Lay the page out as a phone does: `<meta name=viewport>` counts, and a page without it"
            " is 980 CSS pixels wide, shown smaller; a full page of it is that wide.",
        ),
    ] = False
    touch: Annotated[
        bool, Option("A touch screen: `pointer: coarse`, and `ontouchstart` in scripts.")
    ] = False
    media: Annotated[
        Media | None,
        Option("Media type of CSS.", default="screen, and print for a pdf"),
    ] = None
    media_features: Annotated[
        Annotated[dict[str, str], AfterValidator(_known_features)],
        Option(
            "Media features of CSS, as in `prefers-color-scheme: dark`.",
            allowed="; ".join(
                f"{name}: {', '.join(values)}" for name, values in MEDIA_FEATURES.items()
            ),
        ),
    ] = Field(default_factory=dict)
    timezone: Annotated[
        Annotated[str, Field(max_length=64, pattern=ZONE_NAME)] | None,
        Option(
            "Time zone of the page's scripts, as the tz database names it.",
            allowed="a name like Asia/Tokyo or UTC",
            default="the service's own",
        ),
    ] = None
    locale: Annotated[
        Annotated[str, Field(max_length=35, pattern=LANGUAGE_TAG)] | None,
        Option(
            "Language and region of the reader: how scripts write dates and numbers,"
            " `navigator.language`, and Accept-Language of what the page fetches.",
            allowed="a BCP 47 tag like de-DE",
            default="Chrome's own",
        ),
    ] = None
    user_agent: Annotated[
        Annotated[str, Field(max_length=512, pattern=HEADER_WORDS)] | None,
        Option(
            "What the browser calls itself, in scripts and in what the page fetches.",
            allowed="up to 512 characters of printable ASCII",
            default="Chrome's own",
        ),
    ] = None
    javascript: Annotated[
        bool,
        Option("Whether the page's scripts run. Without them `<noscript>` shows."),
    ] = True
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
