"""Storages of some settings, objects to store, and what others get of them."""

import itertools
import urllib.request

from poster_service.jobs.storage import Storage, StoredObject, storage_of
from poster_service.settings import Settings

_numbers = itertools.count()


def an_object(name: str = "", body: bytes = b"picture") -> StoredObject:
    """An object with all headers; its name is one that no other test has."""
    own = name or f"a/{next(_numbers)} x.png"
    return StoredObject(own, body, "image/png", "public, max-age=60", 'attachment; filename="a"')


def built(**settings: object) -> Storage:
    """The storage of these settings."""
    found = storage_of(Settings.model_validate(settings))
    assert found is not None
    return found


def fetched(url: str) -> tuple[bytes, dict[str, str]]:
    """What a client gets there that has no credentials."""
    with urllib.request.urlopen(url, timeout=20) as response:
        return response.read(), {key.lower(): value for key, value in response.headers.items()}
