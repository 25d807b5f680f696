"""Sends responses in slices, so that what the client has not read is in memory only once.

Written at once, a picture would be copied whole into the buffer of each connection.
"""

import contextlib
import functools
from collections.abc import Iterable

from aiohttp import web

from poster_service.buffers import STEP, Buffers
from poster_service.web.pieces import Piece, PiecesResponse, large, slices


async def send(request: web.Request, response: web.StreamResponse, buffers: Buffers) -> None:
    """Send a whole response.

    Args:
        request: The request that it answers.
        response: Prepared here; nothing else may write to it.
        buffers: Where the memory of a large body is counted while the client reads it. A client
            that stalls is cut off when others need the memory.

    Raises:
        ConnectionError: The client has gone, or was cut off.
    """
    if isinstance(response, PiecesResponse):
        await _send_slices(request, response, response.pieces, buffers)
        return
    body = getattr(response, "body", None)
    if not isinstance(body, bytes) or len(body) <= STEP:
        await response.prepare(request)
        await response.write_eof()
        return
    assert isinstance(response, web.Response)
    await _send_slices(request, response, (body,), buffers)


async def _send_slices(
    request: web.Request, response: web.StreamResponse, pieces: Iterable[Piece], buffers: Buffers
) -> None:
    with contextlib.ExitStack() as stack:
        cut = functools.partial(_cut, request)
        shares = [stack.enter_context(buffers.sending(one, cut)) for one in large(pieces)]
        writer = await response.prepare(request)
        assert writer is not None
        if request.method != "HEAD":
            for part in slices(pieces):
                await writer.write(part)
                await writer.drain()
                for share in shares:
                    share.moved()
            if isinstance(response, web.Response):
                response.body = None  # sent; must not be sent again
        await response.write_eof()


def _cut(request: web.Request) -> None:
    """Close the connection now; what the client has not read is dropped."""
    if request.transport is not None:
        request.transport.abort()
