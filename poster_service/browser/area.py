"""The part of a document that is captured, in the pixels of its picture.

A module of its own because a picture is right only if each of its pixels is one of the page's: all
that is captured begins at a whole device pixel and has a whole number of them. It needs no Chrome.
"""

import math
from dataclasses import dataclass

from poster_service.browser.types import CaptureOptions, Region, max_picture_side
from poster_service.errors import PictureTooLarge

#: Of products of floating-point numbers, in device pixels.
NOISE = 1e-6


@dataclass(frozen=True)
class Area:
    """A part of the document in the pixels of its picture.

    Attributes:
        left: From the left edge of the document.
        top: From its upper edge.
        width: At least 1.
        height: At least 1.
        density: Pixels to a CSS pixel.
        zoom: The part of `density` that is not the page's device scale factor.
    """

    left: int
    top: int
    width: int
    height: int
    density: float
    zoom: float = 1.0

    def clip(self) -> dict[str, float]:
        """The same for CDP (Page.Viewport), in CSS pixels."""
        return {
            "x": self.left / self.density,
            "y": self.top / self.density,
            "width": self.width / self.density,
            "height": self.height / self.density,
            "scale": self.zoom,
        }


def area_of(region: Region, scale: float, zoom: float = 1.0) -> Area:
    """The pixels of a region at a device scale factor, painted larger by `zoom` than that says.

    They are as many as its size needs, at any place: an edge between two pixels takes the
    nearer ones where not all of them fit.
    """
    zoom *= region.scale
    density = scale * zoom
    width, height = _pixels(region.width * density), _pixels(region.height * density)
    return Area(
        _begin(region.x * density, region.width * density),
        _begin(region.y * density, region.height * density),
        width,
        height,
        density,
        zoom,
    )


def most_height(width: int, options: CaptureOptions) -> int:
    """The most CSS pixels of height that a picture of a width may have, at least 1."""
    scale = options.page.scale * options.zoom
    across = _pixels(width * scale)
    most = min(_most_side(options), options.max_pixels // across)
    return max(1, math.floor(most / scale))


def _most_side(options: CaptureOptions) -> int:
    return options.max_side or max_picture_side(options.format)


def check_size(area: Area, what: str, options: CaptureOptions) -> None:
    """Refuse a picture that is larger than allowed.

    Raises:
        PictureTooLarge: With the size and the limits.
    """
    most = _most_side(options)
    if max(area.width, area.height) > most or area.width * area.height > options.max_pixels:
        raise PictureTooLarge(
            f"{what} is {area.width} x {area.height} device pixels; at most {most} a side in"
            f" this format and {options.max_pixels} in all are allowed"
        )


def _pixels(length: float) -> int:
    """As many whole pixels as a length needs; one at least."""
    return max(1, math.ceil(length - NOISE))


def _begin(begin: float, length: float) -> int:
    """The first pixel of a length: that in which it begins, or the next where more fits then."""
    first = math.floor(begin + NOISE)
    covered = first + _pixels(length) >= begin + length - NOISE
    return first if covered or begin - first < 0.5 else first + 1
