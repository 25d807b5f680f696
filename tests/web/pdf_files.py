"""Looking into PDFs: sheets in points, text with its place, tags, and pages as pictures."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pypdfium2
from PIL import Image
from pypdf import PdfReader
from pypdf.generic import Destination

#: A CSS pixel in points.
POINT = 0.75


@dataclass(frozen=True)
class Word:
    """A run of text on a sheet, in CSS pixels from its top left corner.

    Attributes:
        text: As it reads, without white space.
        left: Of its ink.
        top: Of its ink.
        bottom: Of its ink.
    """

    text: str
    left: float
    top: float
    bottom: float


@contextlib.contextmanager
def _sheet(body: bytes, page: int) -> Iterator[pypdfium2.PdfPage]:
    with contextlib.closing(pypdfium2.PdfDocument(io.BytesIO(body))) as document:
        yield document[page]


def sizes(body: bytes) -> list[tuple[float, float]]:
    """Width and height of every sheet, in points."""
    boxes = [page.mediabox for page in PdfReader(io.BytesIO(body)).pages]
    return [(float(box.width), float(box.height)) for box in boxes]


def texts(body: bytes) -> list[str]:
    """The text of every sheet in one line, single spaces between."""
    with contextlib.closing(pypdfium2.PdfDocument(io.BytesIO(body))) as document:
        found = [page.get_textpage().get_text_bounded() for page in document]
    return [" ".join(text.split()) for text in found]


def place(body: bytes, text: str, page: int = 0) -> Word:
    """Where a text stands on a sheet, the first time."""
    with _sheet(body, page) as sheet:
        words = sheet.get_textpage()
        found = words.search(text).get_next()
        assert found is not None, f"no {text!r} on the sheet"
        first, count = found
        boxes = [words.get_charbox(first + number) for number in range(count)]
        height = sheet.get_height()
    left = min(box[0] for box in boxes)
    bottom, top = min(box[1] for box in boxes), max(box[3] for box in boxes)
    return Word(text, left / POINT, (height - top) / POINT, (height - bottom) / POINT)


def picture(body: bytes, page: int = 0) -> Image.Image:
    """A sheet as a picture, one pixel for a CSS pixel; RGB."""
    with _sheet(body, page) as sheet:
        found: Image.Image = sheet.render(scale=1 / POINT).to_pil()
    return found.convert("RGB")


def titles(reader: PdfReader) -> list[str]:
    """The titles of the outline, however deep, in its order."""
    return [str(entry.title) for entry in _entries(reader.outline)]


def _entries(outline: Any) -> Iterator[Destination]:
    for one in outline:
        if isinstance(one, list):
            yield from _entries(one)
        else:
            yield one
