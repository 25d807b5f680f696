"""Decodes the bytes of a page by the rules of browsers (WHATWG HTML and Encoding).

The encoding is, in this order: that of a byte order mark; the charset of Content-Type; what a
`<meta>` or an XML declaration in the first 1024 bytes declares; UTF-8. Labels have their meaning on
the web: latin1 is windows-1252, gb2312 is GB 18030. Only encodings of the web are accepted: of
Python's others some do not encode text, and some take quadratic time.

Invalid bytes are refused, where a browser would show replacement characters: a wrong label gives an
error and not a picture.
"""

import codecs
import functools
import re
from collections.abc import Iterator

import webencodings

from poster_service.errors import BadRequest, Fault
from poster_service.quoting import quoted

#: Bytes decoded in one call; 4 ms in the slowest of these encodings.
CHUNK = 1 << 18
WINDOWS = frozenset(("cp874", *(f"cp{number}" for number in range(1250, 1259))))
#: The entry for no character in a table of `codecs.charmap_decode`.
UNDEFINED = "\ufffe"
#: As far as a browser looks for a declaration (WHATWG HTML, 13.2.3.2), in bytes.
PRESCAN_BYTES = 1024
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
#: Labels whose encoding the web decodes as its successor.
LATER = {"gbk": "gb18030"}
#: Encodings of the web that do not encode text, or are never decoded.
NO_TEXT = ("replacement", "x-user-defined")

_ATTRIBUTE = re.compile(
    rb"[\s/]*+([^\s/>=]++)(?:\s*+=\s*+(?:\"([^\">]*+)\"|'([^'>]*+)'|([^\s\"'>][^\s>]*+)))?"
)
_CHARSET_IN_CONTENT = re.compile(
    rb"charset\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s;\"']++))", re.IGNORECASE
)
_XML = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_TAG = re.compile(rb"</?[A-Za-z][^\s/>]*+")


def text_of(raw: bytes, charset: str | None, name: str = "") -> str:
    """The text of a page.

    Args:
        raw: Its bytes.
        charset: The charset of its Content-Type; None if that has none.
        name: Name of the form part, for the error.

    Raises:
        BadRequest: The charset is not one of the web, or the bytes are invalid in it.
    """
    for mark, codec in MARKS:
        if raw.startswith(mark):
            return _decoded(raw[len(mark) :], codec, codec, name)
    if charset is not None:
        found = codec_of(charset)
        if found is None:
            raise _refusal(name, f"unknown charset {quoted(charset)}", charset)
        return _decoded(raw, found, charset, name)
    label = declared(raw)
    return _decoded(raw, (label and codec_of(label)) or "utf-8", label or "utf-8", name)


def label_of(raw: bytes, charset: str | None) -> str:
    """The label of the encoding in which `text_of` reads a page."""
    for mark, codec in MARKS:
        if raw.startswith(mark):
            return codec
    label = charset or declared(raw) or "utf-8"
    return label if codec_of(label) else "utf-8"


def codec_of(label: str) -> str | None:
    """Python's codec for a label of the web; None for unknown labels and those not decoded."""
    if not label.isascii():
        return None
    encoding = webencodings.lookup(label)
    if encoding is None or encoding.name in NO_TEXT:
        return None
    codec: str = encoding.codec_info.name
    return LATER.get(encoding.name, codec)


def declared(raw: bytes) -> str | None:
    """The label that a page's first bytes declare, as a browser's prescan finds it."""
    head = raw[:PRESCAN_BYTES]
    if (found := _XML.match(head)) is not None:
        label = _ascii(found[1] or found[2] or b"")
        return "utf-8" if (codec_of(label) or "").startswith("utf-16") else label
    for attributes in _metas(head):
        named = _label_of(attributes)
        if named is not None and (codec := codec_of(named)) is not None:
            # The declaration was read as ASCII, so it is not UTF-16.
            return "utf-8" if codec.startswith("utf-16") else named
    return None


def _metas(head: bytes) -> Iterator[dict[bytes, bytes]]:
    """The attributes of each `<meta>`; comments and all other tags are passed over whole."""
    at = 0
    while (at := head.find(b"<", at)) >= 0:
        if head.startswith(b"<!--", at):
            end = head.find(b"-->", at + 2)
            at = len(head) if end < 0 else end + 3
            continue
        tag = _TAG.match(head, at)
        if tag is None:
            if head[at + 1 : at + 2] in (b"!", b"/", b"?"):
                end = head.find(b">", at)
                at = len(head) if end < 0 else end
            at += 1
            continue
        attributes, at = _attributes(head, tag.end())
        at = head.find(b">", at)
        if at < 0:  # the tag continues after the prescan: an incomplete label does not count
            return
        if tag[0].lower() == b"<meta":
            yield attributes


def _attributes(head: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """Attributes by their names in lower case, and where the last of them ends."""
    found: dict[bytes, bytes] = {}
    while (one := _ATTRIBUTE.match(head, at)) is not None:
        values = [value for value in one.groups()[1:] if value is not None]
        found.setdefault(one[1].lower(), values[0] if values else b"")
        at = one.end()
    return found, at


def _label_of(attributes: dict[bytes, bytes]) -> str | None:
    if b"charset" in attributes:
        return _ascii(attributes[b"charset"])
    if attributes.get(b"http-equiv", b"").lower() != b"content-type":
        return None
    found = _CHARSET_IN_CONTENT.search(attributes.get(b"content", b""))
    return None if found is None else _ascii(found[1] or found[2] or found[3] or b"")


def _ascii(raw: bytes) -> str:
    return raw.decode("ascii", "replace").strip(" \t\n\r\f")


def _decoded(raw: bytes, codec: str, label: str, name: str) -> str:
    try:
        if table := _table(codec):
            return codecs.charmap_decode(raw, "strict", table)[0]
        if len(raw) <= CHUNK:
            return raw.decode(codec)
        return "".join(_in_chunks(raw, codec))
    except UnicodeError as error:
        raise _refusal(name, f"the bytes are not valid {quoted(label)}", label) from error


def _in_chunks(raw: bytes, codec: str) -> Iterator[str]:
    """Decode chunk by chunk, because a decoder holds the GIL while it works."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    for at in range(0, len(raw), CHUNK):
        yield decoder.decode(raw[at : at + CHUNK], final=at + CHUNK >= len(raw))


def _refusal(name: str, message: str, label: str) -> BadRequest:
    return BadRequest.of(
        Fault(
            name,
            message,
            f"bytes in the charset that Content-Type or <meta charset> names (here"
            f" {quoted(label)}); UTF-8 where neither names one",
        )
    )


@functools.cache  # of a dozen names
def _table(codec: str) -> str:
    """The characters of Windows' single-byte code pages; empty for an encoding of another kind.

    What these leave open between 0x80 and 0x9f is, for a browser, the control of that number.
    """
    if codec not in WINDOWS:
        return ""
    known = (bytes([byte]).decode(codec, "ignore") for byte in range(256))
    return "".join(
        one or (chr(byte) if 0x80 <= byte < 0xA0 else UNDEFINED) for byte, one in enumerate(known)
    )
