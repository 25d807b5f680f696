"""PNG compression outside Chrome, in threads of its own, while the page and its Chrome go.

Chrome encodes either quickly and large (`optimizeForSpeed`) or slowly and small, and cannot do
anything else meanwhile. Taking the quick one and compressing it again with zlib-ng (in Pillow's
wheels) costs less CPU than Chrome's own small one.
"""

import asyncio
import functools
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from PIL import Image

from poster_service.settings import processors

# Pillow's guard against strangers' pictures; these are our own Chrome's, and POSTER_MAX_PIXELS
# bounds them.
Image.MAX_IMAGE_PIXELS = None

PngCompression = Literal["fast", "balanced", "small"]

#: zlib levels. Of Chrome's own default size: 4 gives 1.05 to 1.17 at 55 ms for a poster of 750 x
#: 1334, 7 gives 0.95 to 1.0 at 200 ms (measured); 8 and 9 take ten times that for 10 % less.
LEVELS: Mapping[PngCompression, int] = {"balanced": 4, "small": 7}


async def compressed(png: bytes, how: PngCompression) -> bytes:
    """The same picture with fewer bytes; "fast" leaves it as Chrome made it.

    Never larger than what was given. Cancelled, one that has begun ends by itself.
    """
    if how == "fast":
        return png
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(threads(), recompress, png, LEVELS[how])


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One for each processor: what comes in a flood waits, and keeps nobody else's thread busy."""
    return ThreadPoolExecutor(processors(), thread_name_prefix="encode")


def recompress(png: bytes, level: int) -> bytes:
    """Encode a PNG of our own Chrome again at a zlib level of 1 to 9; the pixels stay."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        picture.save(out, "PNG", compress_level=level)
    small = out.getvalue()
    return small if len(small) < len(png) else png
