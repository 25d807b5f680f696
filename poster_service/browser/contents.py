"""What a page says: its document as HTML, and what is in single elements of it as JSON.

Read in the isolated world, with functions from their prototypes: neither a script of the page nor a
name that it gives its elements changes what is read. What is in shadow trees and in frames is not
read, nor what a form's fields hold but their attributes do not.
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence

from poster_service.browser.frames import Send
from poster_service.browser.region import document_of
from poster_service.browser.world import World
from poster_service.errors import ContentTooLarge, PageFailed

#: The most bytes of each, in UTF-8.
MAX_DOCUMENT_BYTES, MAX_ELEMENTS_BYTES = 16 << 20, 4 << 20
#: Elements of all selectors together; of what more there is, the number is given.
MAX_ELEMENTS = 1_000
#: UTF-16 units that come with one answer: it is parsed in the event loop, in a millisecond.
SLICE = 1 << 17
#: Bytes of JSON per UTF-16 unit, at most: `\u0000`. And of what is around a slice.
BYTES_PER_UNIT, AROUND = 6, 1 << 10

#: Lets an answer be larger than those that a page may choose itself, by so many bytes.
Allow = Callable[[int], None]

# Each ends with the text in `contents`, and its length in UTF-16 units, or -1 where that is more
# than `limit`. A text in JavaScript need not be one that UTF-8 can express.
_KEEP = """
    const keep = (text) => {
        if (text.length > limit) return -1;
        globalThis.contents = text.toWellFormed();
        return text.length;
    };
    const reader = (type, name) => {
        const {get} = Object.getOwnPropertyDescriptor(type.prototype, name);
        return (one) => get.call(one);
    };
"""

# A page's comments outside of its root belong to it.
_DOCUMENT = f"""((limit) => {{ {_KEEP}
    const whole = reader(Element, 'outerHTML'), written = new XMLSerializer();
    const nodes = [...reader(Node, 'childNodes')(document)];
    const texts = nodes.map((one) => one.nodeType === Node.ELEMENT_NODE
        ? whole(one) : written.serializeToString(one));
    return keep(texts.join(''));
}})(%s)"""

# The sum is compared after each element, since each of many nested ones has all of those inside.
_ELEMENTS = f"""((selectors, most, limit, left, top) => {{ {_KEEP}
    const find = Document.prototype.querySelectorAll, {{prototype}} = Element;
    const shown = reader(HTMLElement, 'innerText'), all = reader(Node, 'textContent');
    const html = reader(Element, 'innerHTML'), name = reader(Element, 'localName');
    const text = (one) => {{ try {{ return shown(one); }} catch {{ return all(one) ?? ''; }} }};
    let spare = most, size = 0;
    const described = (one) => {{
        const box = prototype.getBoundingClientRect.call(one), attributes = {{__proto__: null}};
        for (const name of prototype.getAttributeNames.call(one)) {{
            const value = prototype.getAttribute.call(one, name) ?? '';
            attributes[name.toWellFormed()] = value.toWellFormed();
            size += name.length + value.length;
        }}
        const made = {{
            name: name(one), text: text(one).toWellFormed(), html: html(one).toWellFormed(),
            attributes, x: box.x + scrollX + left, y: box.y + scrollY + top,
            width: box.width, height: box.height,
        }};
        size += made.text.length + made.html.length;
        return made;
    }};
    const found = [];
    for (const selector of selectors) {{
        const matches = find.call(document, selector), elements = [];
        found.push({{selector, count: matches.length, elements}});
        for (let at = 0; at < matches.length && spare > 0; at += 1, spare -= 1) {{
            elements.push(described(matches[at]));
            if (size > limit) return -1;
        }}
    }}
    return keep(JSON.stringify({{selectors: found}}));
}})(%s)"""

# Never half of a pair of surrogates at the end.
_PART = """((from, length) => {
    const code = contents.charCodeAt(from + length - 1);
    const end = from + length - (code >= 0xD800 && code < 0xDC00);
    return [contents.slice(from, end), Math.min(end, contents.length)];
})(%d, %d)"""
_FORGET = "void (globalThis.contents = '')"


class Contents:
    """Reads what one page says."""

    def __init__(self, send: Send, world: World, allow: Allow) -> None:
        """Take what reaches the page.

        Args:
            send: Sends a command to the page.
            world: Where scripts find the page's elements.
            allow: Called before text is fetched, with the bytes that it may have in JSON.
        """
        self._send = send
        self._world = world
        self._allow = allow

    async def document(self) -> bytes:
        """The document as HTML in UTF-8, as the DOM has it now, with its DOCTYPE.

        Raises:
            ContentTooLarge: It has more than `MAX_DOCUMENT_BYTES`.
            RenderFailed: The page or its Chrome failed.
        """
        script = _DOCUMENT % MAX_DOCUMENT_BYTES
        return await self._text(script, "the document", MAX_DOCUMENT_BYTES)

    async def elements(self, selectors: Sequence[str]) -> bytes:
        """What selectors match, as JSON: of each the number, and the first elements.

        Of each element its `name`, its `text` as it is displayed, the `html` inside, its
        `attributes` by name, and its place: `x`, `y`, `width` and `height` in CSS pixels, from
        where a clip begins too.

        Args:
            selectors: Of CSS, checked.

        Raises:
            ContentTooLarge: It has more than `MAX_ELEMENTS_BYTES`.
            RenderFailed: The page or its Chrome failed.
        """
        document = await document_of(self._send)
        given = [list(selectors), MAX_ELEMENTS, MAX_ELEMENTS_BYTES, document.left, document.top]
        script = _ELEMENTS % json.dumps(given)[1:-1]
        return await self._text(script, "what the selectors match", MAX_ELEMENTS_BYTES)

    async def _text(self, script: str, what: str, limit: int) -> bytes:
        size = _whole(await self._world.value(script))
        parts: list[bytes] = []
        if 0 <= size <= limit:
            self._allow(size * BYTES_PER_UNIT + AROUND * (size // SLICE + 1))
            parts = [part async for part in self._parts(size)]
        if size < 0 or size > limit or sum(map(len, parts)) > limit:
            raise ContentTooLarge(f"{what} has more than the {limit >> 20} MiB allowed")
        return b"".join(parts)

    async def _parts(self, size: int) -> AsyncIterator[bytes]:
        """What is kept in the page, piece by piece; it is not kept any longer then."""
        at = 0
        while at < size:
            found = await self._world.value(_PART % (at, SLICE))
            if not isinstance(found, list) or len(found) != 2 or not isinstance(found[0], str):
                raise PageFailed("the page's document cannot be read")
            at = max(at + 1, _whole(found[1]))
            yield found[0].encode(errors="replace")
        await self._world.value(_FORGET)


def _whole(value: object) -> int:
    """A number of a script of ours.

    Raises:
        PageFailed: The script failed.
    """
    if not isinstance(value, int | float):
        raise PageFailed("the page's document cannot be read")
    return int(value)
