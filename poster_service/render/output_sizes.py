"""How many pixels the pictures of several outputs have, as far as that is known before a render.

A picture of the viewport has a known size, a full page at least that of the viewport. That of an
element is known when the page has been laid out.
"""

import math

from poster_service.browser.types import max_side
from poster_service.errors import Fault, InvalidField
from poster_service.render.formats import PICTURES, most_pixels
from poster_service.render.options import RenderOptions
from poster_service.render.output_options import Output

Size = tuple[int, int]


def check_outputs(options: RenderOptions, viewport: Size, max_pixels: int) -> None:
    """Refuse outputs whose pictures are too large or too small, each or together.

    Args:
        options: With outputs or without.
        viewport: Its width and height in CSS pixels.
        max_pixels: Of all pictures together.

    Raises:
        InvalidField: With the sizes and the bounds.
    """
    total = 0
    for place, one in enumerate(options.outputs or ()):
        if one.format not in PICTURES or one.selector or one.clip:
            continue
        across, down = _size(one, options, viewport)
        most, pixels = max_side(one.format), most_pixels(one.format, max_pixels)
        is_small = min(viewport) * _scale(one, options) < 1
        if is_small or max(across, down) > most or across * down > pixels:
            raise InvalidField.of(
                Fault(
                    f"outputs.{place}.device_scale_factor",
                    f"the picture would be {across} x {down} device pixels, or less",
                    f"sides of 1 to {most} device pixels, {pixels} in all, for {one.format}",
                )
            )
        total += across * down
    if total > max_pixels:
        raise InvalidField.of(
            Fault(
                "outputs",
                f"the pictures would have {total} device pixels together",
                f"up to {max_pixels}",
            )
        )


def viewport_pixels(options: RenderOptions, viewport: Size) -> int:
    """Device pixels of all outputs that are pictures of the viewport; 0 without outputs."""
    shown = (one for one in options.outputs or () if one.format in PICTURES and one.is_viewport)
    return sum(math.prod(_size(one, options, viewport)) for one in shown)


def _scale(one: Output, options: RenderOptions) -> float:
    return one.device_scale_factor or options.device_scale_factor


def _size(one: Output, options: RenderOptions, viewport: Size) -> Size:
    """Width and height of a picture of the viewport in device pixels, rounded up."""
    width, height = (math.ceil(side * _scale(one, options)) for side in viewport)
    return width, height
