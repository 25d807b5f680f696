"""From a finished render to stored objects: their names, headers and addresses."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from poster_service import telemetry
from poster_service.errors import Fault, InvalidField
from poster_service.jobs.storage import ObjectAddress, Storage, StoredObject
from poster_service.render.disposition import attachment
from poster_service.render.options import RenderOptions
from poster_service.render.picture import Picture

#: For an object whose name has its digest: it never changes (RFC 8246).
IMMUTABLE = "public, max-age=31536000, immutable"
#: Folder of the named objects of callers without a name.
NO_CALLER = "all"
#: A larger picture is hashed in a thread: 1 MiB takes half a millisecond.
LARGE = 1 << 20
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True)
class StoredResult:
    """A picture or PDF in the storage.

    Attributes:
        name: Of the object.
        address: Where it can be had.
        is_new: Whether it was written now; False if the same object was there.
    """

    name: str
    address: ObjectAddress
    is_new: bool


async def store(
    storage: Storage, pictures: Sequence[Picture], options: RenderOptions, caller: str
) -> list[StoredResult]:
    """Store what a render has made.

    Args:
        storage: Where to.
        pictures: One, or all outputs.
        options: Of the render: how the objects are named and served.
        caller: Whose render it was; empty without a name.

    Raises:
        InvalidField: Two outputs would have the same name.
        StorageFailed: One could not be stored.
    """
    objects = [await object_of(one, options, caller) for one in pictures]
    names = [one.name for one in objects]
    is_named = options.object is not None and options.object.name is not None
    if is_named and len(set(names)) < len(names):
        raise InvalidField.of(
            Fault("object.name", "is the same for several outputs", "a name with {output} in it")
        )
    seconds = options.object.url_seconds if options.object else None
    found = []
    with telemetry.span("store", kind="client") as span:
        span.set("poster.objects", len(objects))
        for one in objects:
            is_new = await storage.put(one, replaces=is_named)
            found.append(StoredResult(one.name, await storage.address(one.name, seconds), is_new))
    return found


async def object_of(picture: Picture, options: RenderOptions, caller: str) -> StoredObject:
    """The object of a picture, named by its content or as the caller wants it.

    Names of a caller's choice are below a folder of its own, so that no caller replaces what is
    another's; names by content are the same for all, and what has one never changes.
    """
    digest = await _digest(picture.body)
    wanted = options.object
    cache_control = wanted.cache_control if wanted else None
    disposition = attachment(options.filename) if options.filename else ""
    if wanted is None or wanted.name is None:
        # The same bytes with other headers are another object.
        headers = f"{cache_control or ''}\n{disposition}" if cache_control or disposition else ""
        mark = f"-{hashlib.sha256(headers.encode()).hexdigest()[:16]}" if headers else ""
        name, is_digest = f"{digest}{mark}.{picture.extension}", True
    else:
        values = {
            "digest": digest,
            "extension": picture.extension,
            "output": picture.name or "picture",
            "date": datetime.now(UTC).date().isoformat(),
        }
        own = _PLACEHOLDER.sub(lambda found: values[found[1]], wanted.name)
        name, is_digest = f"{caller or NO_CALLER}/{own}", "{digest}" in wanted.name
    default = IMMUTABLE if is_digest else ""
    return StoredObject(
        name,
        picture.body,
        picture.content_type,
        cache_control or default,
        disposition,
    )


def is_readable(name: str, caller: str) -> bool:
    """Whether a caller may read an object: those named by content, and those in its own folder."""
    folder, slash, _ = name.partition("/")
    return not slash or folder == (caller or NO_CALLER)


async def _digest(body: bytes) -> str:
    if len(body) < LARGE:
        return hashlib.sha256(body).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
