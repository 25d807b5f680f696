"""A picture in base64 as it came over the pipe, in pieces, and its bytes.

Its own file because nothing of it may touch the event loop at once: a picture of 50 megapixels is
200 MB of base64, and a second or more where it is joined, copied and decoded in one go.
"""

import asyncio

import pybase64

#: Base64 as the pipe hands it over: as text, as bytes, or in pieces where it is large. The pieces
#: are given away: they are emptied as they are decoded.
Base64 = str | bytes | list[bytes]
#: From here on it is decoded in a thread, in characters: a tenth of a millisecond.
LARGE = 1 << 18


async def decoded(data: Base64) -> bytes:
    """The bytes.

    Raises:
        ValueError: It is no base64.
    """
    if isinstance(data, list):
        return await asyncio.to_thread(_joined, data)
    if len(data) < LARGE:
        return pybase64.b64decode(data, validate=True)
    return await asyncio.to_thread(pybase64.b64decode, data, validate=True)


def _joined(pieces: list[bytes]) -> bytes:
    """The bytes of all pieces; each is let go when it was decoded, so that little is held twice."""
    made: list[bytes] = []
    rest = b""
    for at, piece in enumerate(pieces):
        pieces[at] = b""
        block = rest + piece
        whole = len(block) // 4 * 4
        made.append(pybase64.b64decode(block[:whole], validate=True))
        rest = block[whole:]
    if rest:
        raise ValueError("no base64: it ends too early")
    return b"".join(made)
