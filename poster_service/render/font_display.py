"""Replaces `font-display: optional` by `block` in what a page loads: a render can wait for a font.

With `optional` a browser uses the fallback for the document's whole life when a font is not there
after 100 ms. That is for readers who wait; here a fetched font takes longer at times, and the
picture would differ from render to render. Nothing changes this once the font is requested (tried),
so the declaration itself is replaced, by one of the same length.
"""

import asyncio
import re
from dataclasses import replace
from itertools import islice

from poster_service.browser.types import Reply, Request, Route

_DECLARATION = re.compile(rb"(font-display\s{0,20}:\s{0,20})optional(?![\w-])", re.IGNORECASE)
_BLOCK = b"block   "
#: What each has; to look for that alone takes a tenth of the time of the expression.
_PROPERTY = b"font-display"
#: Declarations replaced in one document; each is a step of the interpreter.
MAX_DECLARATIONS = 10_000
#: Marks of a page with digests of its style sheets: Chrome would reject those that are changed.
_DIGESTS = ("integrity=", "'sha256-", "'sha384-", "'sha512-")
#: From this size on the search takes longer than a millisecond.
LARGE_BYTES = 1 << 20


def with_blocking_fonts(route: Route, html: str | None) -> Route:
    """A route whose documents and style sheets have `block` in place of `optional`.

    Args:
        route: Answers the page's requests.
        html: The page; for one with digests of style sheets the route is returned unchanged. None
            where it comes from the route, and is looked at when it does.
    """
    if html is not None and any(mark in html for mark in _DIGESTS):
        return route
    has_digests = False

    async def answer(request: Request) -> Reply | None:
        nonlocal has_digests
        reply = await route(request)
        if reply is not None and request.is_main and html is None:
            has_digests = names_digests(reply)
        if has_digests:
            return reply
        if reply is None or request.kind not in ("Document", "Stylesheet"):
            return reply
        patch = in_html if request.kind == "Document" else in_css
        if len(reply.body) < LARGE_BYTES:
            body = patch(reply.body)
        else:
            body = await asyncio.to_thread(patch, reply.body)
        return reply if body is reply.body else replace(reply, body=body)

    return answer


def names_digests(document: Reply) -> bool:
    """Whether a document, by its markup or its Content-Security-Policy, has digests of others."""
    policies = " ".join(value for name, value in document.headers if "security" in name.lower())
    return any(mark in policies or mark.encode() in document.body for mark in _DIGESTS)


def in_css(css: bytes) -> bytes:
    """A style sheet of the same length; the same object where there is nothing to replace."""
    if _PROPERTY not in css.lower():
        return css
    return _DECLARATION.sub(rb"\1" + _BLOCK, css, count=MAX_DECLARATIONS)


def in_html(html: bytes) -> bytes:
    """A document with the declarations in its `style` elements replaced, and no other text.

    Only the first `MAX_DECLARATIONS`; the steps between them are searches in C, not Python loops.
    """
    if _PROPERTY not in html.lower():
        return html
    found = list(islice(_DECLARATION.finditer(html), MAX_DECLARATIONS))
    if not found:
        return html
    lower, changed, last, is_inside = html.lower(), bytearray(html), 0, False
    for declaration in found:
        opened = lower.rfind(b"<style", last, declaration.start())
        closed = lower.rfind(b"</style", last, declaration.start())
        if opened != closed:
            is_inside = opened > closed
        last = declaration.start()
        if is_inside:
            changed[declaration.end(1) : declaration.end()] = _BLOCK
    return bytes(changed)
