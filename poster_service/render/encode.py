"""Encoding outside Chrome, in threads of its own, while the page and its Chrome go.

AVIF, which Chrome does not write, is made of Chrome's PNG by Pillow. PNG is compressed again, since
Chrome encodes either quickly and large (`optimizeForSpeed`) or slowly and small, and cannot do
anything else meanwhile. The quick one has a good filter in every row already (PNG, chapter 9) and
only a hasty compression, so that alone is done again, by zlib-ng: a third of the CPU of filtering
again (measured), and less than Chrome's own small one.
"""

import asyncio
import functools
import io
import itertools
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from PIL import Image
from zlib_ng import zlib_ng

from poster_service.errors import Fault, InvalidField
from poster_service.render.formats import OutputFormat
from poster_service.render.output_options import DEFAULT_QUALITY, OutputOptions, PngCompression
from poster_service.settings import processors

# Pillow's guard against untrusted pictures; these are our own Chrome's, and POSTER_MAX_PIXELS
# bounds them.
Image.MAX_IMAGE_PIXELS = None

#: zlib-ng levels. Of Chrome's own default size, over the posters of bench/render: 4 gives
#: 1.07 to 1.11, at 20 ms for 750 x 1334; 7 gives 0.91 to 1.08 at 75 ms (measured); 8 and 9 take
#: several times that for some per cent.
LEVELS: Mapping[PngCompression, int] = {"balanced": 4, "small": 7}
#: Photographs do not compress below this share of their pixels. With them, choosing the filter of
#: each row again is worth its price: a sixth fewer bytes for four times the CPU.
PHOTOGRAPH = 0.4
#: Pillow's zlib level for those; higher ones gain nothing there.
FILTERED_LEVEL = 4

#: libaom's speed, 0 to 10. Of posters, 6 takes 560 to 840 ms of CPU and 8 takes 110 to 130 ms for a
#: sixth more bytes; 9 takes 30 to 50 ms for twice the bytes (measured).
AVIF_SPEED = 8
#: Memory of encoding a pixel: pixels as PNG's decoder, Pillow and libaom have them (33 to 37
#: measured).
AVIF_BYTES_PER_PIXEL = 40

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DATA, END = b"IDAT", b"IEND"
#: The CRC of the last data, and IEND, in bytes.
PNG_END = 16
#: Samples of a pixel by colour type (PNG, 11.2.2).
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def is_encoded_again(options: OutputOptions) -> bool:
    """Whether what Chrome gives is not yet what is answered."""
    return options.format == "avif" or options.png_compression != "fast"


def memory_of(png: bytes, options: OutputOptions) -> int:
    """Bytes of memory that encoding a picture again takes, its own included."""
    if options.format == "avif":
        width, height = struct.unpack_from(">II", png, len(SIGNATURE) + 8)
        return len(png) + int(width) * int(height) * AVIF_BYTES_PER_PIXEL
    return 2 * len(png) + size_of_rows(png)


async def encoded(png: bytes, options: OutputOptions) -> bytes:
    """A picture as its options have it. Cancelled, an encoder that has begun ends by itself."""
    if options.format != "avif":
        return await compressed(png, options.png_compression)
    work = functools.partial(to_avif, png, options.quality or DEFAULT_QUALITY)
    return await asyncio.get_running_loop().run_in_executor(threads(), work)


async def check_encoder(wanted: OutputFormat) -> None:
    """Check that this machine can write a format.

    Raises:
        InvalidField: Its Pillow was built without the library for it.
    """
    if wanted == "avif" and not await asyncio.to_thread(writes_avif):
        message = "avif needs a Pillow with libavif, which this service does not have"
        raise InvalidField.of(Fault("format", message, "png, jpeg, webp or pdf"))


@functools.cache
def writes_avif() -> bool:
    """Whether this machine's Pillow writes AVIF. Loads its library, for some milliseconds."""
    from PIL import features

    return bool(features.check("avif"))


def to_avif(png: bytes, quality: int) -> bytes:
    """A PNG as AVIF, with what is transparent in it, at a quality of 1 to 100.

    Colours have half the resolution of brightness, as in Chrome's own JPEG and WebP.

    Raises:
        ValueError: It is not a PNG.
    """
    from PIL import AvifImagePlugin, UnidentifiedImageError

    assert AvifImagePlugin.SUPPORTED  # imported for the encoder that it registers
    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            # One thread for each: as many are encoded at once as there are processors.
            picture.save(
                out, "AVIF", quality=quality, speed=AVIF_SPEED, subsampling="4:2:0", max_threads=1
            )
    except UnidentifiedImageError as error:
        raise ValueError("not a PNG, or a broken PNG") from error
    return out.getvalue()


async def compressed(png: bytes, how: PngCompression) -> bytes:
    """The same picture with fewer bytes; "fast" leaves it as Chrome made it.

    Never larger than what was given. Cancelled, one that has begun ends by itself.
    """
    if how == "fast":
        return png
    loop = asyncio.get_running_loop()
    work = functools.partial(recompress, png, LEVELS[how], filters=how == "small")
    return await loop.run_in_executor(threads(), work)


@functools.cache
def threads() -> ThreadPoolExecutor:
    """A pool of one thread for each processor, used for encoding only."""
    return ThreadPoolExecutor(processors(), thread_name_prefix="encode")


def recompress(png: bytes, level: int, *, filters: bool = False) -> bytes:
    """Compress a PNG of our own Chrome again at a zlib-ng level of 1 to 9; the pixels stay.

    With `filters` those of a photograph are chosen again too, if that makes it smaller.

    Raises:
        ValueError: It is not a whole PNG.
    """
    try:
        found = list(_chunks(png))
        packed = b"".join(body for name, body in found if name == DATA)
        # Each of these is as large as the picture: none is held for longer than it is of use.
        others = [one for one in found if one[0] not in (DATA, END)]
        del found
        # In one piece: growing it would hold the interpreter's lock while it is copied.
        rows = zlib_ng.decompress(packed, bufsize=size_of_rows(png))
    except (struct.error, LookupError, zlib_ng.error) as error:  # type: ignore[misc]  # its stub has an instance
        raise ValueError("not a PNG, or a broken PNG") from error
    del packed
    data, unpacked = zlib_ng.compress(rows, level), len(rows)
    del rows
    parts = itertools.chain.from_iterable(
        _chunk(*one) for one in (*others, (DATA, data), (END, b""))
    )
    made = [png, b"".join((SIGNATURE, *parts))]
    if filters and len(data) > PHOTOGRAPH * unpacked:
        made.append(_filtered_again(png))
    return min(made, key=len)


def size_of_rows(png: bytes) -> int:
    """Bytes of all rows unpacked, with a byte for the filter of each (PNG, 7.2 and 11.2.2)."""
    width, height, depth, colour = struct.unpack_from(">IIBB", png, len(SIGNATURE) + 8)
    return int(height) * (1 + (int(width) * CHANNELS[colour] * int(depth) + 7) // 8)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of each chunk (PNG, 5.3); their checksums are our own Chrome's."""
    if not png.startswith(SIGNATURE) or not png.endswith(b"".join(_chunk(END, b""))):
        raise ValueError("not a PNG, or not a whole PNG")
    at = len(SIGNATURE)
    while at < len(png):
        size, name = struct.unpack_from(">I4s", png, at)
        yield name, png[at + 8 : at + 8 + size]
        at += 12 + size


def _chunk(name: bytes, body: bytes) -> tuple[bytes, ...]:
    """A chunk in parts, so that a large body is not copied for the bytes around it."""
    checksum = zlib_ng.crc32(body, zlib_ng.crc32(name))
    return struct.pack(">I", len(body)), name, body, struct.pack(">I", checksum)


def _filtered_again(png: bytes) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        picture.save(out, "PNG", compress_level=FILTERED_LEVEL)
    return out.getvalue()


def checksum(body: bytes) -> str:
    """What differs for other bytes, but for an accident of one in 2^60; hexadecimal.

    Two checksums and the length: to make a picture with those of another gains no caller anything.
    A quarter of the time of SHA-256 (measured), which was 0.3 ms of each render.
    """
    view = memoryview(body)
    # The end first: that of a PNG holds the CRC of its data, and after its data that would cancel
    # half of this one (measured: 16 of 32 bits were left).
    crc = zlib_ng.crc32(view[:-PNG_END], zlib_ng.crc32(view[-PNG_END:]))
    return f"{len(body):x}-{crc:08x}{zlib_ng.adler32(body):08x}"
