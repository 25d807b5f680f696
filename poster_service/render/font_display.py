"""`font-display: optional` becomes `block` in what a page gets: a picture can wait for a font.

`optional` lets a browser use the fallback as long as the document lives when a font is not there
after 100 ms. That is for readers who wait; a font that is fetched comes later than that at times,
and the picture would be another one each time. Nothing changes it once the font is asked for
(tried), so the declaration itself is changed, to as many characters.
"""

import asyncio
import re
from dataclasses import replace
from itertools import islice

from poster_service.browser.types import Reply, Request, Route

_DECLARATION = re.compile(rb"(font-display\s{0,20}:\s{0,20})optional(?![\w-])", re.IGNORECASE)
_BLOCK = b"block   "
#: Changed in one document; each is a step of the interpreter.
MAX_DECLARATIONS = 10_000
#: A page that states digests of its styles would lose those that are changed.
_DIGESTS = ("integrity=", "'sha256-", "'sha384-", "'sha512-")
#: From here on the search takes longer than a millisecond.
LARGE_BYTES = 1 << 20


def with_patient_fonts(route: Route, html: str) -> Route:
    """A route whose documents and style sheets let fonts come late.

    Args:
        route: Answers what the page asks for.
        html: The page; one that states digests of styles gets everything as it is.
    """
    if any(mark in html for mark in _DIGESTS):
        return route

    async def patient(request: Request) -> Reply | None:
        reply = await route(request)
        if reply is None or request.kind not in ("Document", "Stylesheet"):
            return reply
        patch = in_html if request.kind == "Document" else in_css
        if len(reply.body) < LARGE_BYTES:
            body = patch(reply.body)
        else:
            body = await asyncio.to_thread(patch, reply.body)
        return reply if body is reply.body else replace(reply, body=body)

    return patient


def in_css(css: bytes) -> bytes:
    """A style sheet, as long as before; the same object where there is nothing to change."""
    if b"ptional" not in css and b"PTIONAL" not in css:
        return css
    return _DECLARATION.sub(rb"\1" + _BLOCK, css, count=MAX_DECLARATIONS)


def in_html(html: bytes) -> bytes:
    """A document with its `style` elements changed, and no other text.

    The first `MAX_DECLARATIONS` are; the steps between them are searches, not loops of ours.
    """
    found = list(islice(_DECLARATION.finditer(html), MAX_DECLARATIONS))
    if not found:
        return html
    lower, changed, last, is_inside = html.lower(), bytearray(html), 0, False
    for one in found:
        opened = lower.rfind(b"<style", last, one.start())
        closed = lower.rfind(b"</style", last, one.start())
        if opened != closed:
            is_inside = opened > closed
        last = one.start()
        if is_inside:
            changed[one.end(1) : one.end()] = _BLOCK
    return bytes(changed)
