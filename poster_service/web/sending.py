"""An answer on its way: in slices, so that what its reader has not taken lies in memory once.

Written in one piece, a picture would be copied whole into the buffer of each connection.
"""

import functools

from aiohttp import web

from poster_service.buffers import STEP, Buffers


async def send(request: web.Request, response: web.StreamResponse, buffers: Buffers) -> None:
    """Send an answer to its end.

    Args:
        request: To whom.
        response: Prepared here; not to be written to by anybody else.
        buffers: What a large body takes is counted there while its reader takes it, and a reader
            that has stalled is cut off where others need the room.

    Raises:
        ConnectionError: The reader has gone, or was cut off.
    """
    body = getattr(response, "body", None)
    if not isinstance(body, bytes) or len(body) <= STEP:
        await response.prepare(request)
        await response.write_eof()
        return
    assert isinstance(response, web.Response)
    with buffers.sending(body, functools.partial(_cut, request)) as share:
        writer = await response.prepare(request)
        assert writer is not None
        if request.method != "HEAD":
            view = memoryview(body)
            for at in range(0, len(body), STEP):
                await writer.write(view[at : at + STEP])
                await writer.drain()
                share.moved()
            response.body = None  # it is sent, and not to be sent again
        await response.write_eof()


def _cut(request: web.Request) -> None:
    """End the connection now; what its reader has not taken is dropped."""
    if request.transport is not None:
        request.transport.abort()
