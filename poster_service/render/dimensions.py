"""The size of a finished picture, or the pages of a PDF, read from its own bytes.

Only an answer that names them needs them, so nothing here is imported before: decoders of picture
heads come with Pillow, PDF's with pypdf. The bytes are our own Chrome's.
"""

import io
from dataclasses import dataclass

from poster_service.browser.types import CONTENTS

#: The modules of Pillow that read a head, by our names of formats; naming them spares the import of
#: all others.
_PLUGINS = {
    "png": "PngImagePlugin",
    "jpeg": "JpegImagePlugin",
    "webp": "WebPImagePlugin",
    "avif": "AvifImagePlugin",
}


@dataclass(frozen=True)
class Dimensions:
    """How large a picture or PDF is; all 0 for text.

    Attributes:
        width: Device pixels; 0 for a PDF.
        height: Device pixels; 0 for a PDF.
        pages: Of a PDF; 0 for a picture.
    """

    width: int = 0
    height: int = 0
    pages: int = 0

    def known(self) -> dict[str, int]:
        """Those that have a meaning, by name."""
        if self.pages:
            return {"pages": self.pages}
        if not self.width:
            return {}
        return {"width": self.width, "height": self.height}


def dimensions(body: bytes, encoding: str) -> Dimensions:
    """The dimensions of a picture or PDF; text has none. Blocks: milliseconds, a large PDF more.

    Raises:
        ValueError: The bytes are no picture or PDF of that encoding.
    """
    if encoding in CONTENTS:
        return Dimensions()
    if encoding == "pdf":
        return Dimensions(pages=_pages(body))
    import importlib

    from PIL import Image, UnidentifiedImageError

    importlib.import_module(f"PIL.{_PLUGINS[encoding]}")
    try:
        with Image.open(io.BytesIO(body), formats=[encoding]) as picture:
            return Dimensions(*picture.size)
    except UnidentifiedImageError as error:
        raise ValueError(f"not a picture in {encoding}") from error


def _pages(body: bytes) -> int:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        return PdfReader(io.BytesIO(body)).get_num_pages()
    except PyPdfError as error:
        raise ValueError("not a PDF that can be read") from error
