"""What is compressed again is the same picture, and never larger."""

import io
import itertools
import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from poster_service.render.encode import LEVELS, checksum, compressed, recompress


def png(mode: str, size: tuple[int, int], pixels: bytes, level: int) -> bytes:
    """A picture of these pixels."""
    out = io.BytesIO()
    Image.frombytes(mode, size, pixels).save(out, "PNG", compress_level=level)
    return out.getvalue()


@given(
    st.data(),
    st.sampled_from(["RGB", "RGBA"]),
    st.sampled_from(sorted(LEVELS.values())),
    st.booleans(),
)
def test_every_pixel_stays(data: st.DataObject, mode: str, level: int, filters: bool) -> None:
    """With and without transparency, for any pixels."""
    size = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    count = size[0] * size[1] * len(mode)
    given_ = png(mode, size, data.draw(st.binary(min_size=count, max_size=count)), 1)
    small = recompress(given_, level, filters=filters)
    with Image.open(io.BytesIO(small)) as after, Image.open(io.BytesIO(given_)) as before:
        assert (after.mode, after.size) == (before.mode, before.size)
        assert after.tobytes() == before.tobytes()
    assert len(small) <= len(given_)


def test_a_photograph_gets_filters_of_its_own() -> None:
    """Where compression alone gains little and every byte counts; the pixels stay."""
    chance = random.Random(1)
    walk = [0]
    for _ in range(299):
        walk.append((walk[-1] + chance.choice((-9, -4, 4, 9))) % 256)
    pixels = bytes((a + b) % 256 for a in walk for b in walk)  # smooth across, and down
    as_chrome = _up_filtered(300, pixels)
    again, only_compressed = recompress(as_chrome, 7, filters=True), recompress(as_chrome, 7)
    assert len(again) <= len(only_compressed) <= len(as_chrome)
    for one in (again, only_compressed):
        with Image.open(io.BytesIO(one)) as picture:
            assert picture.tobytes() == pixels


def _up_filtered(side: int, pixels: bytes) -> bytes:
    """A grey square as Chrome writes it: filter 2 in each row, in several pieces of data."""
    rows = [bytes(side), *(pixels[at : at + side] for at in range(0, len(pixels), side))]
    filtered = b"".join(
        b"\2" + bytes((here - above) % 256 for here, above in zip(row, before, strict=True))
        for before, row in itertools.pairwise(rows)
    )
    data = zlib.compress(filtered, 1)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
            _chunk(b"sBIT", b"\x08"),
            *(_chunk(b"IDAT", data[at : at + 1000]) for at in range(0, len(data), 1000)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("broken", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", "cut", "torn"])
def test_what_is_no_whole_png_is_a_fault(broken: bytes | str) -> None:
    """Ours, since it came from our own Chrome; never half a picture."""
    whole = _up_filtered(4, bytes(16))
    made = {"cut": whole[:-9], "torn": whole.replace(b"\x78\x01", b"\xff\xff")}
    given_ = made[broken] if isinstance(broken, str) else broken
    with pytest.raises(ValueError, match="PNG"):
        recompress(given_, 4)


async def test_fast_is_what_chrome_made() -> None:
    """Not even looked at."""
    assert await compressed(b"as it came", "fast") == b"as it came"


def test_a_picture_larger_than_pillow_believes_in_is_no_fault() -> None:
    """Its guard against untrusted pictures is off; POSTER_MAX_PIXELS is the bound."""
    side = 14_000  # 196 million pixels; Pillow refuses from 179 on
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "PNG", compress_level=1)
    assert len(recompress(out.getvalue(), 1)) <= out.tell()


def test_each_half_of_a_checksum_tells_pictures_of_one_length_apart() -> None:
    """Their own CRCs cancel none of it; of 16 bits, a seventh would be the same."""
    chance = random.Random(1)
    some = {png("L", (12, 12), chance.randbytes(144), 0) for _ in range(20_000)}
    assert len({len(one) for one in some}) == 1
    sums = {checksum(one)[-16:] for one in some}
    assert len({one[:8] for one in sums}) > 0.99 * len(some)
    assert len({one[8:] for one in sums}) > 0.99 * len(some)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100])
def test_a_checksum_is_of_every_byte(size: int) -> None:
    """Also of fewer bytes than the end of a PNG has."""
    body = bytes(range(size))
    others = [body[:at] + b"\xff" + body[at + 1 :] for at in range(size)]
    assert len({checksum(one) for one in (body, *others, body + b"\0")}) == size + 2
