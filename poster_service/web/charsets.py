"""Which characters the bytes of a page mean, by the rules of browsers (WHATWG HTML and Encoding).

In this order: a byte order mark; the charset of Content-Type; what the first 1024 bytes say of
themselves in a `<meta>` or an XML declaration; UTF-8. Labels mean what they mean on the web: latin1
is windows-1252, gb2312 is GB 18030. Only the encodings of the web can be reached, because of others
that Python has some are no encodings of text, and some take quadratic time.

Bytes that are none of the encoding are refused, where a browser would paint replacement characters:
the answer to a wrong label is to be an error and not a picture.
"""

import codecs
import functools
import re
from collections.abc import Iterator

import webencodings

from poster_service.errors import BadRequest, Fault
from poster_service.quoting import quoted

#: Bytes decoded in one call; 4 ms in the slowest of these encodings.
PIECE = 1 << 18
WINDOWS = frozenset(("cp874", *(f"cp{number}" for number in range(1250, 1259))))
#: What stands in a table of `codecs.charmap_decode` for no character.
UNDEFINED = "\ufffe"
#: As far as a browser looks for a declaration (WHATWG HTML, 13.2.3.2), in bytes.
PRESCAN_BYTES = 1024
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
#: The web decodes GBK as what it became later.
LATER = {"gbk": "gb18030"}
#: Of the web and not of text: bytes for scripts, and the mark of an encoding that is not decoded.
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
    """A page's text.

    Args:
        raw: Its bytes.
        charset: What its Content-Type says; None where that says nothing.
        name: Of the part, for the error.

    Raises:
        BadRequest: The charset is none of the web's, or the bytes are none of it.
    """
    for mark, codec in MARKS:
        if raw.startswith(mark):
            return _decoded(raw[len(mark) :], codec, codec, name)
    if charset is not None:
        found = codec_of(charset)
        if found is None:
            raise _refusal(name, f"{quoted(charset)} is no charset of web pages", charset)
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
    """Python's codec for a label of the web; None where there is none, or none that is decoded."""
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
            # One who reads ASCII here is not reading UTF-16.
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
        if at < 0:  # the tag goes on where a browser does not look: half a label is none
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
        if len(raw) <= PIECE:
            return raw.decode(codec)
        return "".join(_in_pieces(raw, codec))
    except UnicodeError as error:
        raise _refusal(name, f"the bytes are not {quoted(label)}", label) from error


def _in_pieces(raw: bytes, codec: str) -> Iterator[str]:
    """Decode piece by piece: a decoder keeps the interpreter to itself while it works."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    for at in range(0, len(raw), PIECE):
        yield decoder.decode(raw[at : at + PIECE], final=at + PIECE >= len(raw))


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
