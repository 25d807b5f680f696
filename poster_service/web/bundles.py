"""How several pictures are answered in one body: parts (RFC 2046), or a zip file.

Both are the same bytes each time for the same pictures, so their ETags are strong. Neither copies a
picture: they are pieces, which `sending.py` sends one after the other.
"""

import asyncio
from collections.abc import Sequence

from poster_service.render.picture import Picture, Rendered
from poster_service.render.zip_file import zip_pieces

MULTIPART, ZIP = "multipart/mixed", "application/zip"


def boundary_of(rendered: Rendered) -> str:
    """What separates the parts: a hash of them all, which none of them can have in it."""
    return rendered.etag.strip('"')


def parts(rendered: Rendered) -> list[bytes]:
    """The pictures as a body of multipart/mixed, in pieces."""
    boundary, pieces = boundary_of(rendered), []
    for one in rendered.pictures:
        head = (
            f"--{boundary}\r\n"
            f"Content-Type: {one.content_type}\r\n"
            f'Content-Disposition: attachment; name="{one.name}"; filename="{one.file_name}"\r\n'
            f"Content-Length: {len(one.body)}\r\n\r\n"
        )
        pieces += [head.encode(), one.body, b"\r\n"]
    return [*pieces, f"--{boundary}--\r\n".encode()]


async def zipped(pictures: Sequence[Picture]) -> list[bytes]:
    """The pictures as a zip file, in pieces; they are compressed already, and stored as they are.

    In a thread, since their checksums take a millisecond for a megabyte.
    """
    return await asyncio.to_thread(zip_pieces, pictures)
