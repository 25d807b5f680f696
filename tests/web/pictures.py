"""Looking at pictures: decoded sizes and colours at given points, not byte counts."""

import io

from PIL import Image

RED = (255, 0, 0, 255)
GREEN = (0, 128, 0, 255)
BLUE = (0, 0, 255, 255)
LIME = (0, 255, 0, 255)
WHITE = (255, 255, 255, 255)
CLEAR = (0, 0, 0, 0)


def decode(body: bytes) -> Image.Image:
    """The picture as RGBA."""
    with Image.open(io.BytesIO(body)) as picture:
        return picture.convert("RGBA")


def at(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    """The RGBA value of one pixel."""
    value = picture.getpixel((x, y))
    assert isinstance(value, tuple)
    return tuple(int(channel) for channel in value)


def ink(body: bytes) -> bytes:
    """The picture's pixels; equal for two texts only if the same glyphs were drawn."""
    return decode(body).tobytes()


def near(one: tuple[int, ...], other: tuple[int, ...], by: int = 12) -> bool:
    """Whether two colours are alike, for encodings that lose something."""
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))
