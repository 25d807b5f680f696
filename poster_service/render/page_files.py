"""Files that a page has beside it on disk: those of its template's folder or of a local page.

Nothing outside the folder can be read, whatever the address. Files are read in the event loop: they
are small and on a local disk, and slow DNS lookups elsewhere could hold all threads of a pool.
"""

import mimetypes
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from poster_service.browser.types import Reply
from poster_service.fetch.errors import RequestDenied
from poster_service.render.folder import Snapshot

#: Marks a file of a template that changed since its page was rendered to HTML.
NO_STORE = ("Cache-Control", "no-store")
#: Media types that a caller's file may have on a template's page.
MEDIA_TYPES = ("image/", "video/", "audio/")
#: Resource types (CDP) by which a local page may use the files beside it: show them, and run them.
#: It cannot read them as text or as data and send them elsewhere; browsers forbid that to local
#: pages as well.
LOCAL_KINDS = frozenset(("Document", "Font", "Image", "Manifest", "Media", "Script", "Stylesheet"))
#: Gives a frame with a local file an origin of its own, so that the page around it cannot read it.
LOCAL_FRAME = ("Content-Security-Policy", "sandbox allow-scripts")


def path_of(address: str) -> str:
    """The decoded path of an address that is relative to the page."""
    return unquote(address.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0])


def guess_media_type(name: str) -> str | None:
    """The media type of a file by its name; None for an unknown extension."""
    return mimetypes.guess_type(name)[0]


def local_file(folder: Path, address: str, kind: str) -> Reply:
    """A file below the folder of a local page; 404 for a hidden one (`.env`, `.git`).

    Args:
        folder: The folder of the page.
        address: Relative to the page.
        kind: The CDP resource type as which Chrome requests the file.

    Raises:
        RequestDenied: A script requests it in a way in which the page could read it.
    """
    path = path_of(address)
    if any(part.startswith(".") and part != "." for part in path.split("/")):
        return template_file(None, address)
    is_data = kind == "Script" and "javascript" not in (guess_media_type(path) or "")  # a module
    if is_data or kind not in LOCAL_KINDS:
        raise RequestDenied("local_file", "a script requested a file beside the page as data")
    reply = template_file(folder, address)
    return replace(reply, headers=(*reply.headers, LOCAL_FRAME)) if kind == "Document" else reply


def template_file(folder: Path | None, address: str, files: Snapshot | None = None) -> Reply:
    """A file of a template's folder; 404 for anything outside it, or without a folder.

    A file that differs from `files` changed since the template was read. Its reply has `no-store`,
    so that the image is not cached as one of the template as it was.
    """
    missing = Reply(404, (("Content-Type", "text/plain"),), b"")
    if folder is None:
        return missing
    try:
        top, file = folder.resolve(), (folder / path_of(address)).resolve()
        if not file.is_relative_to(top):
            return missing
        media_type = guess_media_type(file.name) or "application/octet-stream"
        reply = missing
        if file.is_file():
            reply = Reply(200, (("Content-Type", media_type),), file.read_bytes())
        if files is None or files.is_current(str(file.relative_to(top)), file):
            return reply
    except (OSError, ValueError):  # too long a name, a NUL byte, a lone surrogate
        return missing
    return replace(reply, headers=(*reply.headers, NO_STORE))
