"""Joins a picture that is larger than Chrome's surface from pieces, outside of Chrome.

Its own file because it is the one use of Pillow in the browser's package, which is imported only
where a picture is that large. All of it is for a thread.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from poster_service.browser.area import Area
from poster_service.browser.types import MAX_SIDE, CaptureOptions

if TYPE_CHECKING:
    from PIL import Image

#: Pixels of one piece: of the surface that Chrome paints, of its PNG, and of that once decoded.
PIECE_PIXELS = 1 << 24
#: Bytes of a pixel in memory.
DEPTH = 4
#: zlib level of a joined PNG: as Chrome's own, it is made quickly and may be compressed again.
FAST = 1


def is_too_large(area: Area) -> bool:
    """Whether it is larger than Chrome can paint at once."""
    return max(area.width, area.height) > MAX_SIDE


def pieces(area: Area) -> Iterator[Area]:
    """The area in pieces that Chrome can paint, row by row; none overlaps another."""
    across = _cuts(area.width, MAX_SIDE)
    down = _cuts(area.height, min(MAX_SIDE, max(1, PIECE_PIXELS // across[0][1])))
    for top, height in down:
        for left, width in across:
            yield replace(
                area, left=area.left + left, top=area.top + top, width=width, height=height
            )


def _cuts(length: int, most: int) -> list[tuple[int, int]]:
    """Where the pieces of a length begin and how long they are, none longer than `most`."""
    step = math.ceil(length / math.ceil(length / most))
    return [(at, min(step, length - at)) for at in range(0, length, step)]


def memory(area: Area) -> int:
    """Bytes that joining takes: the picture, a piece, and the encoded picture at worst."""
    return DEPTH * (2 * area.width * area.height + 2 * PIECE_PIXELS)


class Joined:
    """A picture of which one piece after another is known."""

    def __init__(self, area: Area, options: CaptureOptions) -> None:
        """Allocate it; `options` say how it is encoded."""
        from PIL import Image  # only a picture as large as this needs it

        self._area = area
        self._options = options
        mode = "RGB" if options.format == "jpeg" else "RGBA"
        self._picture = Image.new(mode, (area.width, area.height))

    def add(self, piece: Area, png: bytes) -> None:
        """Add a piece as Chrome encoded it.

        Raises:
            ValueError: It has not the size of its piece.
        """
        with _opened(png) as picture:
            if picture.size != (piece.width, piece.height):
                raise ValueError(f"a piece of {piece} has {picture.size} pixels")
            place = piece.left - self._area.left, piece.top - self._area.top
            self._picture.paste(picture.convert(self._picture.mode), place)

    def encoded(self) -> bytes:
        """The whole picture; it cannot be used afterwards."""
        out = io.BytesIO()
        if self._options.format == "jpeg":
            self._picture.save(out, "JPEG", quality=self._options.quality)
        else:
            self._picture.save(out, "PNG", compress_level=FAST)
        self._picture.close()
        return out.getvalue()


def _opened(png: bytes) -> "Image.Image":
    from PIL import Image

    return Image.open(io.BytesIO(png), formats=["PNG"])
