"""A picture in base64 as it came over the pipe, in pieces, and its bytes.

Its own file because a large picture must not block the event loop: one of 50 megapixels is 200 MB
of base64, which takes a second or more to join, copy and decode in one go.
"""

import asyncio

import pybase64

#: Base64 as the pipe returns it: as text, or where it is large as a part of the message, or in
#: pieces, or decoded already. Decoding empties the pieces.
Base64 = str | bytes | memoryview | list[bytes]
#: From this size on it is decoded in a thread, in characters: a tenth of a millisecond, which is
#: about what a thread's turn takes.
LARGE = 1 << 20


async def decoded(data: Base64) -> bytes:
    """The bytes that base64 stands for.

    Raises:
        ValueError: It is not base64.
    """
    if isinstance(data, bytes):
        return data
    if isinstance(data, list):
        return await asyncio.to_thread(_joined, data)
    if len(data) < LARGE:
        return pybase64.b64decode(data, validate=True)
    return await asyncio.to_thread(pybase64.b64decode, data, validate=True)


def _joined(pieces: list[bytes]) -> bytes:
    """The bytes of all pieces; each is released once decoded, so that little is held twice."""
    blocks: list[bytes] = []
    rest = b""
    for at, piece in enumerate(pieces):
        pieces[at] = b""
        block = rest + piece
        whole = len(block) // 4 * 4
        blocks.append(pybase64.b64decode(block[:whole], validate=True))
        rest = block[whole:]
    if rest:
        raise ValueError("not base64: it ends too early")
    return b"".join(blocks)
