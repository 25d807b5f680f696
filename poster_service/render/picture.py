"""A finished picture, PDF or text, and all of one render; what is cached, stored and answered.

Only data, so that the store and the answers need not import what paints.
"""

import hashlib
from dataclasses import dataclass

from poster_service.render.formats import OutputFormat, content_type
from poster_service.render.visit import PageInfo
from poster_service.stats import Phases

#: The end of a file's name, where it is not the format's own name.
EXTENSIONS = {"jpeg": "jpg", "elements": "json"}


@dataclass(frozen=True)
class Picture:
    """A picture, PDF or text of a page.

    Attributes:
        format: Its encoding.
        body: Its bytes.
        etag: The strong ETag of the bytes, quotes included (RFC 9110, 8.8.3).
        name: Of the output that it is; "" where a request asks for one picture only.
    """

    format: OutputFormat
    body: bytes
    etag: str
    name: str = ""

    @property
    def content_type(self) -> str:
        """Its media type, with a charset where it needs one."""
        return content_type(self.format)

    @property
    def extension(self) -> str:
        """The end of a file's name, without the dot."""
        return EXTENSIONS.get(self.format, self.format)

    @property
    def file_name(self) -> str:
        """The name of a file that has it."""
        return f"{self.name}.{self.extension}"


@dataclass(frozen=True)
class Rendered:
    """What a render has made.

    Attributes:
        pictures: One, or one for each of `outputs`, in that order.
        phases: Where the time went.
        until: Until then, on the monotonic clock, what the page fetched stays the same, as its
            servers declare; infinite where it fetched nothing.
        warnings: What the page did not get, as the value of `X-Render-Warnings`; often empty.
        is_broken: Whether a server answered with an error instead of what the page asked for.
        is_reproducible: Whether the page has these warnings, if any, each time.
        page: What is reported of a page on the web; None of any other.
        isolation: The isolation level at which it was painted.
    """

    pictures: tuple[Picture, ...]
    phases: Phases
    until: float
    warnings: str = ""
    is_broken: bool = False
    is_reproducible: bool = True
    page: PageInfo | None = None
    isolation: str = ""

    @property
    def body(self) -> bytes:
        """The bytes of the first picture, which mostly is the only one."""
        return self.pictures[0].body

    @property
    def content_type(self) -> str:
        """The media type of the first picture."""
        return self.pictures[0].content_type

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return sum(len(one.body) for one in self.pictures)

    @property
    def etag(self) -> str:
        """Of all bytes, names and formats; equal ones have the same, also from different renders.

        That of the picture itself where it has no name.
        """
        if not self.pictures[0].name:
            return self.pictures[0].etag
        lines = [f"{one.name} {one.format} {one.etag}\n" for one in self.pictures]
        return f'"{hashlib.sha256("".join(lines).encode()).hexdigest()[:32]}"'
