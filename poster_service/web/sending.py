"""Sends responses in slices, so that what the client has not read is in memory only once.

Written at once, a picture would be copied whole into the buffer of each connection.
"""

import functools

from aiohttp import web

from poster_service.buffers import STEP, Buffers


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
            response.body = None  # sent; must not be sent again
        await response.write_eof()


def _cut(request: web.Request) -> None:
    """Close the connection now; what the client has not read is dropped."""
    if request.transport is not None:
        request.transport.abort()
