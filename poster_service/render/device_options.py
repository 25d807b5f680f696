"""The options of a page's device and reader: viewport, media, language, scripts.

They stand in `RenderOptions` between those of one picture and those of the network.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from poster_service.browser.types import MAX_SIDE, Media
from poster_service.quoting import quoted
from poster_service.render.declaration import Option
from poster_service.render.output_options import OutputOptions

DEFAULT_WIDTH = 750
DEFAULT_HEIGHT = 1334
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
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
            raise ValueError(f'"{quoted(name)}" is not a supported media feature')
        if value not in values:
            raise ValueError(f'{name} cannot be "{quoted(value)}"')
    return given


class DeviceOptions(OutputOptions):
    """The device on which a page is displayed, and its reader; with what is captured of it."""

    width: Annotated[
        Side | None,
        Option(
            "Viewport width in CSS pixels.",
            default=f"{DEFAULT_WIDTH}, or the template's own",
            begins="Device",
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
            "Lay the page out as a phone does: `<meta name=viewport>` has effect, and a page"
            " without it is laid out 980 CSS pixels wide and scaled down; with full_page the"
            " picture is that wide.",
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
            "Time zone of the page's scripts, a name of the tz database.",
            allowed="a name like Asia/Tokyo or UTC",
            default="the service's own",
        ),
    ] = None
    locale: Annotated[
        Annotated[str, Field(max_length=35, pattern=LANGUAGE_TAG)] | None,
        Option(
            "Language and region of the reader: how scripts write dates and numbers,"
            " `navigator.language`, and Accept-Language of the page's requests.",
            allowed="a BCP 47 tag like de-DE",
            default="Chrome's own",
        ),
    ] = None
    user_agent: Annotated[
        Annotated[str, Field(max_length=512, pattern=HEADER_WORDS)] | None,
        Option(
            "User agent of the browser, in scripts and in the page's requests.",
            allowed="up to 512 characters of printable ASCII",
            default="Chrome's own",
        ),
    ] = None
    javascript: Annotated[
        bool,
        Option("Whether the page's scripts run. Without them `<noscript>` shows."),
    ] = True
