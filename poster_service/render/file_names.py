"""Which file that came with a page a path in it means.

A page and the client that sends its files do not write a name alike: macOS sends letters decomposed
(NFD) that an editor wrote composed (NFC), and some clients percent-encode what they send.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar
from unicodedata import normalize
from urllib.parse import unquote


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """Its path below the page."""
        ...


File = TypeVar("File", bound=Named)


class FileNames(dict[str, File]):
    """Files by each way in which a page may mean them; `find` looks one up."""

    def __init__(self, files: Iterable[File]) -> None:
        listed = list(files)
        super().__init__((one.name, one) for one in listed)
        # Another file's own name is never taken for one of these.
        for one in listed:
            for name in spellings(one.name):
                self.setdefault(name, one)

    def find(self, path: str) -> File | None:
        """The file that a page means by a path, None for none."""
        found = self.get(path)
        return found if found is not None or path.isascii() else self.get(normalize("NFC", path))


def spellings(name: str) -> tuple[str, ...]:
    """The ways to write a name, the surest first: composed, and with percent-encoding undone."""
    ways = [normalize("NFC", name)]
    if "%" in name:
        try:
            decoded = unquote(name, errors="strict")
        except UnicodeDecodeError:  # no encoded text
            return tuple(ways)
        ways += [decoded, normalize("NFC", decoded)]
    return tuple(ways)
