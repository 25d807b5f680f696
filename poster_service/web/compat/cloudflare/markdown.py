"""A page's document as Markdown, in a thread of its own.

The library (Rust, which does not hold the interpreter's lock) takes 1 to 4 s for a megabyte of
nothing but tags and cannot be interrupted, so its text is bounded. Quotations in quotations take
time by the square of their depth: 33 s for 250 kB at a depth of 200 (measured), so the depth is
bounded too. It is imported with the first such page, which takes 130 ms.
"""

import asyncio
import functools
import re
from concurrent.futures import ThreadPoolExecutor

from poster_service.errors import ContentTooLarge, Overloaded, PageFailed, RenderTimeout

#: Bytes of a document, and of the Markdown made of it.
MAX_HTML, MAX_MARKDOWN = 2 << 20, 8 << 20
#: Lists and quotations inside of each other, and elements: what is deeper is left out.
MAX_NESTED, MAX_DEPTH = 20, 512
#: Documents that wait for the thread, or are in it.
MAX_WAITING = 8
_NESTING = re.compile(rb"<(/?)(?:blockquote|ul|ol|menu|dl)\b", re.IGNORECASE)


class Converter:
    """Converts documents, one after the other."""

    def __init__(self) -> None:
        self._waiting = 0

    async def markdown_of(self, html: bytes, address: str, seconds: float) -> str:
        """The Markdown of a document: its text, headings, lists, tables, links and pictures.

        Args:
            html: In UTF-8, as Chrome serialises it.
            address: That links are relative to; "" leaves them as they are.
            seconds: How long to wait for it.

        Raises:
            ContentTooLarge: It, or its Markdown, is larger than allowed, or is nested too deep.
            Overloaded: Too many are waiting.
            RenderTimeout: It takes longer.
            PageFailed: It cannot be converted.
        """
        if len(html) > MAX_HTML:
            most = MAX_HTML >> 20
            raise ContentTooLarge(f"the document has more than the {most} MiB for Markdown")
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many documents wait to be converted to Markdown", 2)
        work = asyncio.get_running_loop().run_in_executor(thread(), _converted, html, address)
        self._waiting += 1
        work.add_done_callback(self._done)
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError as error:
            raise RenderTimeout("the document was not converted to Markdown in time") from error

    def _done(self, _: object) -> None:
        self._waiting -= 1


@functools.cache
def thread() -> ThreadPoolExecutor:
    """The thread in which all documents are converted."""
    return ThreadPoolExecutor(1, thread_name_prefix="to-markdown")


def nesting(html: bytes) -> int:
    """How deep lists and quotations are nested in a serialised document."""
    depth = deepest = 0
    for found in _NESTING.finditer(html):
        depth = max(0, depth + (-1 if found[1] else 1))
        deepest = max(deepest, depth)
    return deepest


def _converted(html: bytes, address: str) -> str:
    if nesting(html) > MAX_NESTED:
        raise ContentTooLarge(f"lists or quotations are nested more than {MAX_NESTED} times")
    from html_to_markdown import ConversionOptions, convert

    options = ConversionOptions(
        extract_metadata=False, max_depth=MAX_DEPTH, base_url=address or None
    )
    try:
        text = convert(html.decode(errors="replace"), options).content or ""
    except Exception as error:  # its own, and PanicError
        raise PageFailed("the document cannot be converted to Markdown") from error
    if len(text) > MAX_MARKDOWN:
        raise ContentTooLarge(f"the Markdown has more than {MAX_MARKDOWN >> 20} MiB")
    return text
