"""What is compressed again is the same picture, and never larger."""

import io

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from poster_service.render.encode import LEVELS, compressed, recompress


def png(mode: str, size: tuple[int, int], pixels: bytes, level: int) -> bytes:
    """A picture of these pixels."""
    out = io.BytesIO()
    Image.frombytes(mode, size, pixels).save(out, "PNG", compress_level=level)
    return out.getvalue()


@given(st.data(), st.sampled_from(["RGB", "RGBA"]), st.sampled_from(sorted(LEVELS.values())))
def test_every_pixel_stays(data: st.DataObject, mode: str, level: int) -> None:
    """With and without transparency, whatever the pixels."""
    size = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    count = size[0] * size[1] * len(mode)
    given_ = png(mode, size, data.draw(st.binary(min_size=count, max_size=count)), 1)
    small = recompress(given_, level)
    with Image.open(io.BytesIO(small)) as after, Image.open(io.BytesIO(given_)) as before:
        assert (after.mode, after.size) == (before.mode, before.size)
        assert after.tobytes() == before.tobytes()
    assert len(small) <= len(given_)


async def test_fast_is_what_chrome_made() -> None:
    """Not even looked at."""
    assert await compressed(b"as it came", "fast") == b"as it came"


def test_a_picture_larger_than_pillow_believes_in_is_no_fault() -> None:
    """Its guard against strangers' pictures is off; POSTER_MAX_PIXELS is the bound."""
    side = 14_000  # 196 million pixels; Pillow refuses from 179 on
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "PNG", compress_level=1)
    assert len(recompress(out.getvalue(), 1)) <= out.tell()
