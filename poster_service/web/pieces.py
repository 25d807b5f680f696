"""A response of several pieces, some of which are sent as base64: never in memory as a whole.

A picture of 50 MB as JSON would be 67 MB more. So what is in memory is the picture itself, and it
becomes base64 slice by slice while it is sent (`sending.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pybase64
from aiohttp import web

from poster_service.buffers import STEP

#: Bytes that become one slice of `STEP` bytes of base64; three bytes are four characters.
PART = STEP // 4 * 3


@dataclass(frozen=True)
class Base64:
    """Bytes that are sent as base64 (RFC 4648, section 4).

    Attributes:
        body: The bytes.
    """

    body: bytes

    def __len__(self) -> int:
        return (len(self.body) + 2) // 3 * 4


Piece = bytes | Base64


class PiecesResponse(web.StreamResponse):
    """A response whose body is some pieces, one after the other; `sending.send` sends it.

    Attributes:
        pieces: The body.
    """

    def __init__(
        self, pieces: Sequence[Piece], content_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(headers=headers)
        self.content_type = content_type
        self.pieces = tuple(pieces)
        self.content_length = sum(map(len, pieces))


def large(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """What pieces hold in memory and is large enough to be counted."""
    bodies = (one.body if isinstance(one, Base64) else one for one in pieces)
    yield from (body for body in bodies if len(body) > STEP)


def slices(pieces: Iterable[Piece]) -> Iterator[bytes | memoryview]:
    """Pieces in slices of up to `STEP` bytes. Each takes some microseconds to make."""
    for one in pieces:
        view = memoryview(one.body if isinstance(one, Base64) else one)
        step = PART if isinstance(one, Base64) else STEP
        for at in range(0, len(view), step):
            part = view[at : at + step]
            yield pybase64.b64encode(part) if isinstance(one, Base64) else part
