"""A finished PDF with other metadata, and with a first sheet that has no header and footer.

Both are appended to what Chrome made (an incremental update: ISO 32000-1, 7.5.6), so that tags,
outline and links stay byte for byte as they are, and so that the time hardly depends on the size: a
PDF of 291 sheets takes a tenth of a second, against 10 where pypdf writes all of it again
(measured).
"""

import asyncio
import io
import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from poster_service.browser.types import CaptureOptions, PdfCapture
from poster_service.buffers import Share
from poster_service.errors import PageFailed

if TYPE_CHECKING:  # a tenth of a second to import, which only these PDFs pay for
    from pypdf.generic import DictionaryObject, IndirectObject, PdfObject

#: Where the last table of objects of a PDF begins is written at the end of it.
_LAST_TABLE = re.compile(rb"startxref\s+([0-9]+)\s+%%EOF\s*\Z")


def first_sheet(capture: CaptureOptions) -> CaptureOptions:
    """The first sheet of a PDF alone, without header and footer, in the same margins."""
    bare = replace(
        capture.pdf, header="", footer="", pages="1", outline=False, skip_first=False, metadata=()
    )
    return replace(capture, pdf=bare)


async def finished(body: bytes, first: bytes, pdf: PdfCapture, share: Share) -> bytes:
    """A PDF with its metadata, and with the contents of another as its first sheet.

    Cancelled, one that has begun ends by itself.

    Args:
        body: The PDF as Chrome made it.
        first: A PDF whose first sheet has the contents of the first one of `body`; empty to leave
            that as it is.
        pdf: The metadata.
        share: Takes the memory for it.

    Raises:
        PageFailed: It is not a PDF as Chrome makes it.
    """
    await share.fit(share.size + 2 * (len(body) + len(first)))
    return await asyncio.to_thread(updated, body, first, dict(pdf.metadata))


def updated(body: bytes, first: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same, in this thread; metadata by the names of the Info dictionary.

    Raises:
        PageFailed: As `finished`.
    """
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        update = _Update(body)
        if metadata:
            update.set_info(metadata)
        if first:
            update.set_first_sheet(PdfReader(io.BytesIO(first)))
        return update.whole()
    except (
        PyPdfError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise PageFailed("the PDF could not be completed") from error


class _Update:
    """Objects to append to a PDF, new ones and others in place of those that it has."""

    def __init__(self, body: bytes) -> None:
        from pypdf import PdfReader

        table = _LAST_TABLE.search(body[-1024:])
        if table is None:
            raise ValueError("no table of objects")
        self._body = body
        self._table = int(table[1])
        self._reader = PdfReader(io.BytesIO(body))
        self._size = int(str(self._reader.trailer["/Size"]))
        self._objects: dict[int, PdfObject] = {}

    def set_info(self, metadata: Mapping[str, str]) -> None:
        """Change the Info dictionary; what is not named stays as Chrome wrote it."""
        from pypdf.generic import DictionaryObject, NameObject, create_string_object

        reference = self._reader.trailer.raw_get("/Info")
        info = DictionaryObject(reference.get_object())
        for name, value in metadata.items():
            info[NameObject(name)] = create_string_object(value)
        self._objects[reference.idnum] = info

    def set_first_sheet(self, other: Any) -> None:
        """Give the first sheet the contents of another PDF's; its tags and links stay its own."""
        from pypdf.generic import DictionaryObject, NameObject

        page = self._reader.pages[0]
        assert page.indirect_reference is not None
        changed = DictionaryObject(page)
        copies: dict[int, IndirectObject] = {}
        for name in ("/Contents", "/Resources"):
            changed[NameObject(name)] = self._copy(other.pages[0].raw_get(name), copies)
        self._objects[page.indirect_reference.idnum] = changed

    def _copy(self, value: Any, copies: "dict[int, IndirectObject]") -> Any:
        """An object of another PDF with all that it refers to; `copies` are those made already."""
        from pypdf.generic import (
            ArrayObject,
            DictionaryObject,
            EncodedStreamObject,
            IndirectObject,
            StreamObject,
        )

        if isinstance(value, IndirectObject):
            if value.idnum not in copies:
                copies[value.idnum] = IndirectObject(self._size, 0, None)
                self._size += 1
                copied = self._copy(value.get_object(), copies)
                self._objects[copies[value.idnum].idnum] = copied
            return copies[value.idnum]
        if isinstance(value, ArrayObject):
            return ArrayObject(self._copy(one, copies) for one in value)
        if not isinstance(value, DictionaryObject):
            return value
        inside: DictionaryObject = DictionaryObject()
        if isinstance(value, StreamObject):
            inside = stream = EncodedStreamObject()
            stream._data = value._data
        for name, one in value.items():
            inside[name] = self._copy(one, copies)
        return inside

    def whole(self) -> bytes:
        """The PDF with the objects and a table of them after it."""
        out = io.BytesIO()
        start = len(self._body) + 1
        offsets: dict[int, int] = {}
        for number, value in sorted(self._objects.items()):
            offsets[number] = start + out.tell()
            out.write(b"%d 0 obj\n" % number)
            value.write_to_stream(out)
            out.write(b"\nendobj\n")
        table = start + out.tell()
        out.write(b"xref\n0 1\n0000000000 65535 f \n")  # without it pypdf takes 1 for 0
        for _, run in itertools.groupby(enumerate(offsets), lambda pair: pair[1] - pair[0]):
            numbers = [number for _, number in run]
            out.write(b"%d %d\n" % (numbers[0], len(numbers)))
            out.writelines(b"%010d 00000 n \n" % offsets[number] for number in numbers)
        out.write(b"trailer\n")
        self._trailer().write_to_stream(out)
        out.write(b"\nstartxref\n%d\n%%%%EOF\n" % table)
        return b"".join((self._body, b"\n", out.getbuffer()))

    def _trailer(self) -> "DictionaryObject":
        from pypdf.generic import DictionaryObject, NameObject, NumberObject

        old = self._reader.trailer
        kept = {NameObject(name): old.raw_get(name) for name in ("/Root", "/Info") if name in old}
        kept[NameObject("/Size")] = NumberObject(self._size)
        kept[NameObject("/Prev")] = NumberObject(self._table)
        return DictionaryObject(kept)
