"""Files that a page has beside it on disk: those of its template's folder or of a local page.

Nothing outside the folder can be read, by any address. Files are read in the event loop: they
are small and on a local disk, and slow DNS lookups elsewhere could hold all threads of a pool.
"""

import mimetypes
import os
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from cachetools import LRUCache

from poster_service.browser.types import Reply
from poster_service.fetch.errors import RequestDenied
from poster_service.render.folder import Snapshot, Stamp, is_settled, stamp_of

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

#: The answer where there is no file.
MISSING = Reply(404, (("Content-Type", "text/plain"),), b"")
#: Files whose content is remembered: each at most so large, and all together, in bytes.
LARGEST_REMEMBERED, ALL_REMEMBERED = 1 << 20, 16 << 20


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
    if folder is None:
        return MISSING
    try:
        found = _found(folder, path_of(address))
    except (OSError, ValueError):  # too long a name, a NUL byte, a lone surrogate
        return MISSING
    if found is None:
        return MISSING
    if files is None or files.stamps.get(found.name) == found.stamp:
        return found.reply
    return replace(found.reply, headers=(*found.reply.headers, NO_STORE))


@dataclass(frozen=True)
class _Found:
    """What is at a path below a folder.

    Attributes:
        name: The path from the folder, without symbolic links.
        stamp: Of the file, from before it was read; None if there is none.
        reply: With its content.
    """

    name: str
    stamp: Stamp
    reply: Reply


#: By folder and path; one of which nothing is known is not in here.
_files: LRUCache[str, _Found] = LRUCache(ALL_REMEMBERED, lambda found: len(found.reply.body) + 1000)


def _found(folder: Path, path: str) -> _Found | None:
    """What is at a path; None outside of the folder.

    A file is read again only where its stamp has changed: to find out where a path leads takes ten
    times as long as the stamp, and each render of a template asks for the same few files.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no path.
    """
    key = os.path.join(folder, path)  # noqa: PTH118 - half the time of a Path's
    known = _files.get(key)
    if known is not None and known.stamp == stamp_of(key):
        return known
    top, file = folder.resolve(), (folder / path).resolve()
    if not file.is_relative_to(top):
        return None
    name, stamp = str(file.relative_to(top)), stamp_of(file)
    if not file.is_file():
        return _Found(name, None, MISSING)
    media_type = guess_media_type(file.name) or "application/octet-stream"
    reply = Reply(200, (("Content-Type", media_type),), file.read_bytes())
    found = _Found(name, stamp, reply)
    if len(reply.body) <= LARGEST_REMEMBERED and is_settled({name: stamp}):
        _files[key] = found
    return found
