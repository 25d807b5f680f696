"""A request's body: read piece by piece, unpacked, within its bytes, its time and the budget.

Nothing of it is trusted: bytes count after they were unpacked, framing counts too (a chunk of one
byte costs as much as one of a thousand), and a sender that stalls gives way to others.
"""

import asyncio
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

#: What a request's body, and then its job, takes of the budget; opened by the first middleware.
SHARE = web.RequestKey("share", Share)
#: What one byte of a body takes while it is read and understood: itself, and what is made of it.
COST = 2

#: Codings of a body that are undone, as zlib's `wbits` (RFC 9110, 8.4.1). Brotli and Zstandard are
#: not: no client sends them unasked, and each is one more decoder for strangers' bytes.
CODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ACCEPTED = "gzip, deflate, or no Content-Encoding"
#: Files behind each other that one gzip body may be.
MOST_MEMBERS = 1000
STALLED = "the body had stalled and others needed its room"
#: Unpacked in the event loop at once, in bytes; more is unpacked in a thread, in larger pieces.
QUICK, PIECE = 64 << 10, 1 << 20

#: Bytes of chunked framing (sizes, extensions, line ends) that a body may have, and one more for
#: each so many of its own. A chunk has 5 at least and costs some 2 us, whatever is in it.
FRAMING, BYTES_PER_FRAMING = 128 << 10, 64

#: From here on work on a body is done in a thread, in bytes: a millisecond or two of the loop's.
LARGE = 256 << 10


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One for each processor, for work on bodies only: what comes in a flood waits here."""
    return ThreadPoolExecutor(processors(), thread_name_prefix="body")


async def beside(size: int, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Do work on `size` bytes: at once if that is quick, else in a thread beside the event loop."""
    if size < LARGE:
        return work(*args, **more)
    call = functools.partial(work, *args, **more)
    return await asyncio.get_running_loop().run_in_executor(threads(), call)


async def read(request: web.Request, most: int, seconds: float) -> bytes:
    """All of a body, unpacked.

    Args:
        request: Whose; a `100 Continue` that it waits for is sent first.
        most: Bytes that it may have, unpacked.
        seconds: Time for all of it to come.

    Raises:
        CallerError: It is too large, too slow, in a coding that is not undone, or not what it says.
        Overloaded: There is no room for it.
    """
    coding, announced = coding_of(request), request.content_length or 0
    if announced > most:
        raise too_large(most)
    share = share_of(request)
    share.check(COST * announced)
    share.waits_for(functools.partial(request.content.set_exception, Overloaded(STALLED, 5)))
    try:
        async with asyncio.timeout(seconds):
            await go_on(request)
            return await _all(request, most, share, Unpacker(coding) if coding else None)
    except TimeoutError as error:
        raise BodyTooSlow.of(
            Fault("", "the body did not come in time", f"up to {seconds:g} s for all of it")
        ) from error
    except (aiohttp.ClientPayloadError, web.RequestPayloadError, zlib.error) as error:
        raise BadRequest.of(
            Fault("", "the body cannot be decoded", "a body of the Content-Encoding it names")
        ) from error
    finally:
        share.waits_for(None)


async def _all(request: web.Request, most: int, share: Share, unpacker: "Unpacker | None") -> bytes:
    body, came, told = bytearray(), 0, 0
    while piece := await request.content.readany():
        came += len(piece)
        check_framing(request)
        if came - told >= STEP:
            told = came
            share.moved()
        async for part in unpacked(unpacker, piece):
            share.require(COST * (len(body) + len(part)))
            body += part
            if len(body) > most:
                raise too_large(most)
    if unpacker is not None and not unpacker.is_whole:
        raise zlib.error("it ends too early")
    return bytes(body)


def share_of(request: web.Request) -> Share:
    """The request's share of the budget; one of its own where none was opened for it."""
    if SHARE not in request:
        request[SHARE] = Share(Buffers(), None)
    return request[SHARE]


def too_large(most: int) -> BodyTooLarge:
    """The refusal of a body of too many bytes."""
    return BodyTooLarge.of(Fault("", "the body is too large", f"up to {most} bytes, unpacked"))


def coding_of(request: web.Request) -> str:
    """The coding of the body, empty for none.

    Raises:
        UnsupportedMediaType: It is none that is undone.
    """
    given = ", ".join(request.headers.getall(hdrs.CONTENT_ENCODING, ())).strip().lower()
    if given in ("", "identity"):
        return ""
    if given not in CODINGS:
        raise UnsupportedMediaType.of(
            Fault("Content-Encoding", f"{quoted(given)} is not supported", ACCEPTED)
        )
    return given


async def expect_later(request: web.Request) -> None:
    """Answer `Expect: 100-continue` only when the body is read: most refusals come before."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        raise web.HTTPExpectationFailed(reason="Unknown expectation")


async def go_on(request: web.Request) -> None:
    """Ask for the body, of a client that waits to be asked."""
    if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
        writer = request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0  # the answer itself has not begun


def check_framing(request: web.Request) -> None:
    """Refuse a chunked body that is mostly framing.

    Raises:
        BadRequest: With what would do.
    """
    content = request.content
    if hdrs.TRANSFER_ENCODING not in request.headers or content.is_eof():
        return
    framing = getattr(request.protocol, "received", 0) - content.total_bytes
    if framing > FRAMING + content.total_bytes // BYTES_PER_FRAMING:
        raise BadRequest.of(
            Fault(
                "Transfer-Encoding",
                "the body comes in too many too small chunks",
                "chunks of some hundred bytes or more, or Content-Length",
            )
        )


class Unpacker:
    """Undoes a coding piece by piece, never making more than it is asked for."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._members = 0
        self._packed = b""
        self._begun = self._is_full = False
        self._inflate = zlib.decompressobj(CODINGS[coding])

    @property
    def is_whole(self) -> bool:
        """Whether what came so far is complete."""
        return self._inflate.eof

    def feed(self, piece: bytes) -> None:
        """Take what came."""
        if not self._begun:
            self._begun = True
            if self._coding == "deflate" and piece[0] & 0x0F != zlib.DEFLATED:
                self._inflate = zlib.decompressobj(
                    -zlib.MAX_WBITS
                )  # without its header, as some do
        self._packed = piece

    def next(self, most: int) -> bytes:
        """At most so many bytes more; none when all that came is unpacked.

        Raises:
            zlib.error: It is not of that coding, or something comes after its end.
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
        """A gzip file may be several behind each other (RFC 1952, 2.2)."""
        self._members += 1
        if self._coding == "deflate" or self._members > MOST_MEMBERS:
            raise zlib.error("something comes after its end")
        self._inflate = zlib.decompressobj(CODINGS[self._coding])


async def unpacked(unpacker: Unpacker | None, piece: bytes) -> AsyncIterator[bytes]:
    """A piece as it is, or what it unpacks to in parts of `PIECE` at most."""
    if unpacker is None:
        yield piece
        return
    unpacker.feed(piece)
    part = unpacker.next(QUICK)
    while part:
        yield part
        part = await beside(LARGE, unpacker.next, PIECE)
