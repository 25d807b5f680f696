"""Pages that templates have made, remembered by their data: equal data is rendered once.

Most of what a cache hit of a template cost was making the page again, only to find out under which
key its picture is. Only templates whose page depends on nothing but their data are remembered
(`Template.is_pure`).
"""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from cachetools import LRUCache

#: Bytes of all pages remembered, as Python holds them.
MAX_BYTES = 8 << 20
#: A page larger than this is not remembered.
MAX_PAGE_BYTES = 1 << 20
#: What an entry costs beside its page, in bytes, roughly.
OVERHEAD = 300


class PageMemo:
    """The pages remembered; methods may be called from any thread."""

    def __init__(self) -> None:
        """Start empty."""
        self._pages: LRUCache[tuple[int, bytes], str] = LRUCache(MAX_BYTES, getsizeof=_size)
        self._lock = threading.Lock()

    def page(self, version: int, data: Mapping[str, Any], make: Callable[[], str]) -> str:
        """The page for some data: remembered, or made now and then remembered.

        Args:
            version: A number that no other template, and no other version of one, has.
            data: Its data. The order of names counts: a template may list them.
            make: Makes the page; what it raises is not remembered.
        """
        try:
            text = json.dumps(data, allow_nan=False)
        except (TypeError, ValueError, RecursionError):  # no JSON, as tests and commands may have
            return make()
        key = version, hashlib.blake2b(text.encode(), digest_size=32).digest()
        with self._lock:
            known = self._pages.get(key)
        if known is not None:
            return known
        page = make()
        if _size(page) <= MAX_PAGE_BYTES:
            with self._lock:
                self._pages[key] = page
        return page


def _size(page: str) -> int:
    """Bytes that an entry takes up; a character takes up to four."""
    return OVERHEAD + len(page) * (1 if page.isascii() else 4)
