"""Reads request bodies: chunk by chunk, decompressed, bounded in bytes, time and memory.

Bytes are counted after decompression, framing is counted too (a chunk of one byte costs as much as
one of a thousand), and a sender that stalls is cut off when others need its memory.
"""

import asyncio
import contextlib
import functools
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import aiohttp
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from poster_service.buffers import STEP, Buffers, Share
from poster_service.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    Fault,
    Overloaded,
    UnsupportedMediaType,
)
from poster_service.quoting import quoted
from poster_service.settings import processors

P = ParamSpec("P")
T = TypeVar("T")

#: The share of the buffers that a request's body takes; opened by the first middleware.
SHARE = web.RequestKey("share", Share)
#: Bytes of memory for each byte of a body while it is read and parsed.
COST = 2

#: Content codings that are decoded, as zlib's `wbits` (RFC 9110, 8.4.1). Brotli and Zstandard are
#: not: no client sends them unasked, and each is one more decoder for untrusted bytes.
CODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ACCEPTED = "gzip, deflate, or no Content-Encoding"
#: Most gzip members that one body may consist of.
MOST_MEMBERS = 1000
STALLED = "the request body stalled, and other requests needed its memory"
#: Bytes decompressed at once in the event loop; more is decompressed in a thread, in larger chunks.
QUICK, PIECE = 64 << 10, 1 << 20

#: Bytes of chunked framing (sizes, extensions, line ends) that a body may have, plus one for each
#: `BYTES_PER_FRAMING` of its own. A chunk has at least 5 and costs about 2 us.
FRAMING, BYTES_PER_FRAMING = 128 << 10, 64

#: Work on a body of this many bytes or more is done in a thread: 1 to 2 ms of the event loop.
LARGE = 256 << 10


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One thread per processor, for work on bodies only: a flood of bodies queues here."""
    return ThreadPoolExecutor(processors(), thread_name_prefix="body")


async def beside(size: int, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Do work on `size` bytes: at once if they are few, else in a thread."""
    if size < LARGE:
        return work(*args, **more)
    call = functools.partial(work, *args, **more)
    return await asyncio.get_running_loop().run_in_executor(threads(), call)


async def read(request: web.Request, most: int, seconds: float) -> bytes:
    """The whole body of a request, decompressed.

    Args:
        request: If it waits for `100 Continue`, that is sent first.
        most: Most bytes, after decompression.
        seconds: Time for the whole body to arrive.

    Raises:
        CallerError: It is too large, too slow, in an unsupported coding, or corrupt.
        Overloaded: The buffers have no room for it.
    """
    share = share_of(request)
    if (announced := request.content_length or 0) <= most:
        share.check(COST * announced)
    body = bytearray()
    async with arriving(request, most, seconds) as parts:
        async for part in parts:
            share.require(COST * (len(body) + len(part)))
            body += part
    return bytes(body)


@contextlib.asynccontextmanager
async def arriving(
    request: web.Request, most: int, seconds: float
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body of a request, decompressed, in parts of any size; none of them is held here.

    Args:
        request: If it waits for `100 Continue`, that is sent first.
        most: Most bytes of all of it, after decompression.
        seconds: Time for the whole body to arrive, and for what is done with it inside.

    Raises:
        CallerError: It is too large, too slow, in an unsupported coding, or corrupt.
        Overloaded: It stalled while others needed its memory.
    """
    coding, share = coding_of(request), share_of(request)
    if (request.content_length or 0) > most:
        raise too_large(most)
    share.waits_for(functools.partial(request.content.set_exception, Overloaded(STALLED, 5)))
    try:
        async with asyncio.timeout(seconds):
            await go_on(request)
            yield _parts(request, most, share, Unpacker(coding) if coding else None)
    except TimeoutError as error:
        raise BodyTooSlow.of(
            Fault("", "the request body took too long", f"up to {seconds:g} s")
        ) from error
    except (aiohttp.ClientPayloadError, web.RequestPayloadError, zlib.error) as error:
        raise BadRequest.of(
            Fault(
                "",
                "the request body cannot be decoded",
                "a body in the Content-Encoding that the header names",
            )
        ) from error
    finally:
        share.waits_for(None)


async def _parts(
    request: web.Request, most: int, share: Share, unpacker: "Unpacker | None"
) -> AsyncIterator[bytes]:
    size = came = counted = 0
    while piece := await request.content.readany():
        came += len(piece)
        check_framing(request)
        if came - counted >= STEP:
            counted = came
            share.moved()
        async for part in unpacked(unpacker, piece):
            size += len(part)
            if size > most:
                raise too_large(most)
            yield part
    if unpacker is not None and not unpacker.is_whole:
        raise zlib.error("truncated")


def share_of(request: web.Request) -> Share:
    """The request's share of the buffers; an unbounded one where none was opened for it."""
    if SHARE not in request:
        request[SHARE] = Share(Buffers(), None)
    return request[SHARE]


def too_large(most: int) -> BodyTooLarge:
    """The error for a body of more than `most` bytes."""
    return BodyTooLarge.of(
        Fault("", "the request body is too large", f"up to {most} bytes, uncompressed")
    )


def coding_of(request: web.Request) -> str:
    """The content coding of the body; empty for none.

    Raises:
        UnsupportedMediaType: It is not in `CODINGS`.
    """
    given = ", ".join(request.headers.getall(hdrs.CONTENT_ENCODING, ())).strip().lower()
    if given in ("", "identity"):
        return ""
    if given not in CODINGS:
        raise UnsupportedMediaType.of(
            Fault("Content-Encoding", f"unsupported coding {quoted(given)}", ACCEPTED)
        )
    return given


async def expect_later(request: web.Request) -> None:
    """Leave `Expect: 100-continue` unanswered until the body is read: most refusals come before."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        raise web.HTTPExpectationFailed(reason="Unknown expectation")


async def go_on(request: web.Request) -> None:
    """Send `100 Continue` to a client that waits for it."""
    if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
        writer = request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0  # the response itself has not begun


def check_framing(request: web.Request) -> None:
    """Refuse a chunked body that is mostly framing.

    Raises:
        BadRequest: Says which chunks are allowed.
    """
    content = request.content
    if hdrs.TRANSFER_ENCODING not in request.headers or content.is_eof():
        return
    framing = getattr(request.protocol, "received", 0) - content.total_bytes
    if framing > FRAMING + content.total_bytes // BYTES_PER_FRAMING:
        raise BadRequest.of(
            Fault(
                "Transfer-Encoding",
                "the chunks of the request body are too small",
                "chunks of at least some hundred bytes, or Content-Length",
            )
        )


class Unpacker:
    """Decompresses chunk by chunk, never more than was asked for."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._members = 0
        self._packed = b""
        self._begun = self._is_full = False
        self._inflate = zlib.decompressobj(CODINGS[coding])

    @property
    def is_whole(self) -> bool:
        """Whether the data so far is complete."""
        return self._inflate.eof

    def feed(self, piece: bytes) -> None:
        """Take a chunk of compressed data."""
        if not self._begun:
            self._begun = True
            if self._coding == "deflate" and piece[0] & 0x0F != zlib.DEFLATED:
                self._inflate = zlib.decompressobj(
                    -zlib.MAX_WBITS
                )  # without its header, as some do
        self._packed = piece

    def next(self, most: int) -> bytes:
        """At most `most` more bytes; none when every chunk so far is decompressed.

        Raises:
            zlib.error: The data is corrupt, or goes on after its end.
        """
        while self._packed or self._is_full:
            if self._inflate.eof:
                if not self._packed:
                    break
                self._next_member()
            part = self._inflate.decompress(self._packed, most)
            self._packed = self._inflate.unconsumed_tail or self._inflate.unused_data
            self._is_full = len(part) == most  # zlib may hold more, with all of its input taken
            if part:
                return part
        return b""

    def _next_member(self) -> None:
        """Go on to the next gzip member; a gzip file may have several (RFC 1952, 2.2)."""
        self._members += 1
        if self._coding == "deflate" or self._members > MOST_MEMBERS:
            raise zlib.error("data after the end")
        self._inflate = zlib.decompressobj(CODINGS[self._coding])


async def unpacked(unpacker: Unpacker | None, piece: bytes) -> AsyncIterator[bytes]:
    """A chunk as it is, or decompressed in parts of at most `PIECE` bytes."""
    if unpacker is None:
        yield piece
        return
    unpacker.feed(piece)
    part = unpacker.next(QUICK)
    while part:
        yield part
        part = await beside(LARGE, unpacker.next, PIECE)
