"""Finds the file that a path in a page refers to, among the files that came with the page.

A page and the client that sends its files may spell a name differently: macOS sends decomposed
letters (NFD) where an editor wrote composed ones (NFC), and some clients percent-encode names.
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
    """Files by each spelling of their names that a page may use; look up with `find`."""

    def __init__(self, files: Iterable[File]) -> None:
        listed = list(files)
        super().__init__((file.name, file) for file in listed)
        # `setdefault`: another file's own name has precedence over these spellings.
        for file in listed:
            for name in spellings(file.name):
                self.setdefault(name, file)

    def find(self, path: str) -> File | None:
        """The file that a page's path refers to; None if there is none."""
        found = self.get(path)
        return found if found is not None or path.isascii() else self.get(normalize("NFC", path))


def spellings(name: str) -> tuple[str, ...]:
    """Other spellings of a name, the likeliest first: composed, and percent-decoded."""
    found = [normalize("NFC", name)]
    if "%" in name:
        try:
            decoded = unquote(name, errors="strict")
        except UnicodeDecodeError:  # a percent sign of the name itself
            return tuple(found)
        found += [decoded, normalize("NFC", decoded)]
    return tuple(found)
