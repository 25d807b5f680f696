"""The formats of answers, and what each of them means for capturing and encoding.

Chrome gives pictures, a PDF, or text of the page (`browser.types.Format`). An answer has one of
these, or an encoding that is made of a picture of Chrome's afterwards (`encode.py`), so that a
format may be added without one of Chrome's.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from poster_service.browser.types import Format

OutputFormat = Literal["png", "jpeg", "webp", "avif", "pdf", "html", "elements"]
FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
CONTENT_TYPES: Mapping[OutputFormat, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "pdf": "application/pdf",
    "html": "text/html",
    "elements": "application/json",
}
#: The formats that have pixels, and all that look like the page.
PICTURES: tuple[OutputFormat, ...] = ("png", "jpeg", "webp", "avif")
PAINTED: tuple[OutputFormat, ...] = (*PICTURES, "pdf")
#: Parameters of media types, for the header; JSON is UTF-8 in any case (RFC 8259, 8.1).
_PARAMETERS: Mapping[OutputFormat, str] = {"html": "; charset=utf-8"}
#: Those whose encoder has a quality.
LOSSY: tuple[OutputFormat, ...] = ("jpeg", "webp", "avif")
#: Those in which what the page does not paint stays transparent.
TRANSPARENT: tuple[OutputFormat, ...] = ("png", "webp", "avif")
#: Of what Chrome captures for those that are encoded here.
_CAPTURED_AS: Mapping[OutputFormat, Format] = {"avif": "png"}
#: Its encoder takes 40 bytes of this process' memory and 200 ns of CPU for each pixel (measured),
#: and cannot be interrupted: 4096 x 4096 take 670 MB and 4 s, four times that if nothing repeats.
MAX_AVIF_PIXELS = 4096 * 4096
#: A longer side is refused by readers that use libavif as it comes.
MAX_AVIF_SIDE = 32_768


def content_type(wanted: OutputFormat) -> str:
    """The value of the header Content-Type."""
    return CONTENT_TYPES[wanted] + _PARAMETERS.get(wanted, "")


def captured_as(wanted: OutputFormat) -> Format:
    """What Chrome is asked for, to answer in a format."""
    return _CAPTURED_AS.get(wanted) or wanted  # type: ignore[return-value]


def most_pixels(wanted: OutputFormat, limit: int) -> int:
    """The device pixels that a picture in a format may have, where the settings allow `limit`."""
    return min(limit, MAX_AVIF_PIXELS) if wanted == "avif" else limit
