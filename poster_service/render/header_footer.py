"""The header and footer of a PDF: their pictures, fetched by the page's own route, become data.

Chrome prints each in a document of its own that has no network: nothing in it is requested, no
script and no event handler runs (measured, docs/facts.md). So a picture at an address must come
with it. A style sheet at an address makes Chrome fail, `<link rel=preload>` crashes the page, and a
font does not load in time, not even from `data:`; all are refused beforehand.

What this parser does not see is not fetched at all, so that it need not be Chrome's.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape, unescape
from urllib.parse import urljoin

import pybase64

from poster_service.browser.types import CaptureOptions, PdfCapture, Reply, Request, Route
from poster_service.errors import Fault, InvalidField
from poster_service.fetch.http_cache import header
from poster_service.render.warnings import Warnings

#: Pictures at different addresses in a header and a footer together.
MAX_PICTURES = 20
#: Bytes of these pictures together; they are sent to Chrome with each print.
MAX_PICTURE_BYTES = 4 << 20
#: Redirects that are followed; the page's budget may allow fewer.
MAX_REDIRECTS = 20
#: Attributes that hold a picture's address, by element.
ADDRESSES = {"img": ("src",), "image": ("href", "xlink:href"), "input": ("src",)}
#: The class whose elements Chrome fills in with today's date and time.
DATE = re.compile(r"\bdate\b")
#: Media type of a picture in a `data:` address; Chrome looks at the bytes for all but SVG.
IMAGE_TYPE = re.compile(r"image/[a-zA-Z0-9.+-]{1,60}")

# What matters in CSS: comments and strings, which may contain anything, and addresses. Everything
# is possessive, so that the time is linear.
_CSS = re.compile(
    r"""/\*.*?(?:\*/|\Z)
    | (?P<function>url\(\s*+(?:
        "(?P<double>(?:[^"\\\n]|\\.)*+)" | '(?P<single>(?:[^'\\\n]|\\.)*+)'
        | (?P<bare>(?:[^"'()\\\s]|\\.)*+)
      )\s*+\))
    | "(?:[^"\\\n]|\\.)*+"? | '(?:[^'\\\n]|\\.)*+'?
    | (?P<rule>@(?:import|font-face)\b)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# Comments, style sheets and start tags. Each takes all of the rest where its end is missing, so
# that the time is linear; the parser of the standard library takes minutes for some (measured).
_HTML = re.compile(
    r"""<!--.*?(?:-->|\Z)
    | <style\b[^>]*+(?:>|\Z)(?P<css>.*?)(?:</style|\Z)
    | <(?P<tag>[a-z][^\s/>]*+)(?P<attributes>
        (?:[^>"']|"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))*+)(?:>|\Z)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""([^\s=/>"']++)(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>"']++)))?""", re.DOTALL
)
_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)


@dataclass(frozen=True)
class Edit:
    """A part of a template that is replaced.

    Attributes:
        start: First character.
        end: The one after the last.
        text: What comes there instead, for the addresses that pictures have then.
    """

    start: int
    end: int
    text: Callable[[Mapping[str, str]], str]


class _Template:
    """Finds the addresses of pictures in a header or footer, and what cannot work there.

    Attributes:
        addresses: Of pictures, each once, in the order of the template.
        refused: Why the template cannot be printed; empty if it can.
        edits: Where the addresses stand.
    """

    def __init__(self, html: str) -> None:
        self.addresses: dict[str, None] = {}
        self.refused: list[str] = []
        self.edits: list[Edit] = []
        for found in _HTML.finditer(html):
            if found["tag"]:
                self._read_tag(found)
            elif found["css"] and any(list(self._css(found["css"]))):
                self.edits.append(Edit(*found.span("css"), _css_writer(found["css"])))

    def _read_tag(self, found: re.Match[str]) -> None:
        """Note the addresses in a tag, which is written again if it has any."""
        tag = found["tag"].lower()
        attrs: dict[str, str | None] = {}
        for one in _ATTRIBUTE.finditer(found["attributes"]):
            value = next((text for text in one.group(2, 3, 4) if text is not None), None)
            attrs.setdefault(one[1].lower(), None if value is None else unescape(value))
        if tag == "link":
            self.refused.append("<link> does not load there; a style sheet can stand in <style>")
        has_sizes = tag in ("img", "source") and "srcset" in attrs
        given = [attrs.get(name) or "" for name in ADDRESSES.get(tag, ())]
        taken = [self._take(address) for address in given]
        taken += self._css(attrs.get("style") or "")
        if has_sizes or any(taken):
            write = _tag_writer(tag, list(attrs.items()), found[0])
            self.edits.append(Edit(*found.span(), write))

    def _take(self, address: str) -> bool:
        """Note an address; whether it is one to be fetched."""
        is_address = is_fetched(address)
        if is_address:
            self.addresses[address.strip()] = None
        return is_address

    def _css(self, css: str) -> Iterator[bool]:
        """Whether each address of a style sheet is to be fetched."""
        for found in _CSS.finditer(css):
            if found["rule"]:
                what = "@import" if found["rule"].lower() == "@import" else "@font-face"
                why = "style sheet" if what == "@import" else "font"
                self.refused.append(f"{what}: a {why} of its own does not load there")
            elif found["function"]:
                yield self._take(_address_of(found))


def is_fetched(address: str) -> bool:
    """Whether an address stands for something that must be fetched."""
    address = address.strip()
    return bool(address) and not address.lower().startswith(("data:", "#"))


def resolved(base: str, address: str) -> str:
    """An address as a page has it; unchanged if it is no address at all."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address


def _tag_writer(
    tag: str, attrs: Sequence[tuple[str, str | None]], text: str
) -> Callable[[Mapping[str, str]], str]:
    """Writes a start tag with other addresses; without `srcset`, which would have precedence."""

    def write(pictures: Mapping[str, str]) -> str:
        written = [tag]
        for name, value in attrs:
            if name == "srcset":
                continue
            new = value or ""
            if name in ADDRESSES.get(tag, ()) and is_fetched(new):
                new = pictures.get(new.strip(), "")
            elif name == "style":
                new = _css_writer(new)(pictures)
            written.append(f'{name}="{escape(new)}"' if value is not None else name)
        return f"<{' '.join(written)}{' /' if text.endswith('/>') else ''}>"

    return write


def _css_writer(css: str) -> Callable[[Mapping[str, str]], str]:
    """Writes CSS with other addresses."""

    def write(pictures: Mapping[str, str]) -> str:
        def picture(found: re.Match[str]) -> str:
            address = _address_of(found) if found["function"] else ""
            if not is_fetched(address):
                return found[0]
            return f'url("{pictures.get(address.strip(), "data:,")}")'

        return _CSS.sub(picture, css)

    return write


def _address_of(found: re.Match[str]) -> str:
    text = found["double"] or found["single"] or found["bare"] or ""
    return _CSS_ESCAPE.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    if found[1] is None:
        return str(found[2])
    code = int(found[1], 16)
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def check_template(field: str, html: str) -> None:
    """Refuse a header or footer that Chrome cannot print, or with too many pictures.

    Args:
        field: The option's name.
        html: Its value.

    Raises:
        InvalidField: With what cannot be there.
    """
    found = _Template(html)
    if found.refused:
        allowed = "HTML with <style> and style attributes, installed fonts, and pictures"
        raise InvalidField.of(Fault(field, found.refused[0], allowed))
    if len(found.addresses) > MAX_PICTURES:
        message = f"has {len(found.addresses)} pictures at different addresses"
        raise InvalidField.of(Fault(field, message, f"up to {MAX_PICTURES}"))


def has_date(pdf: PdfCapture) -> bool:
    """Whether a header or footer may show the time at which it is printed."""
    return any(DATE.search(unescape(html)) for html in (pdf.header, pdf.footer))


@dataclass(frozen=True)
class PictureSource:
    """Where the pictures of a header and footer come from.

    Attributes:
        base: The page's address, which relative ones refer to.
        route: Answers as it does what the page requests; it warns of what fails.
        warnings: Get those pictures for which there is no room.
    """

    base: str
    route: Route
    warnings: Warnings


async def with_pictures(capture: CaptureOptions, source: PictureSource) -> CaptureOptions:
    """The same PDF with the pictures of header and footer as data; those that fail are left out."""
    pdf = capture.pdf
    above, below = _Template(pdf.header), _Template(pdf.footer)
    if not above.edits and not below.edits:
        return capture
    urls = {one: resolved(source.base, one) for one in (*above.addresses, *below.addresses)}
    different = list(dict.fromkeys(urls.values()))
    replies = await asyncio.gather(*(_fetched(url, capture, source.route) for url in different))
    data: dict[str, str] = {}
    room = MAX_PICTURE_BYTES
    for url, reply in zip(different, replies, strict=True):
        if reply is None:
            continue
        if len(reply.body) > room:
            source.warnings.add("failed", url, "too_large")
            continue
        room -= len(reply.body)
        data[url] = _as_data(reply)
    pictures = {one: data[url] for one, url in urls.items() if url in data}
    changed = replace(
        pdf,
        header=_edited(pdf.header, above.edits, pictures),
        footer=_edited(pdf.footer, below.edits, pictures),
    )
    return replace(capture, pdf=changed)


async def _fetched(url: str, capture: CaptureOptions, route: Route) -> Reply | None:
    """What the page would get at an address, redirects followed; None if it gets nothing."""
    environment = capture.page.environment
    names = {"User-Agent": environment.user_agent, "Accept-Language": environment.locale}
    headers = {"Accept": "image/*"} | {name: value for name, value in names.items() if value}
    at = url
    for hops in range(MAX_REDIRECTS):
        reply = await route(Request(at, "GET", headers, None, "Image", hops, url if hops else ""))
        if reply is None or not reply.is_redirect:
            return reply if reply is not None and reply.status == 200 else None
        at = resolved(at, header(reply.headers, "location") or "")
    return None


def _as_data(reply: Reply) -> str:
    given = (header(reply.headers, "content-type") or "").partition(";")[0].strip()
    media_type = given if IMAGE_TYPE.fullmatch(given) else "image/png"
    return f"data:{media_type};base64,{pybase64.b64encode_as_string(reply.body)}"


def _edited(html: str, edits: Sequence[Edit], pictures: Mapping[str, str]) -> str:
    parts: list[str] = []
    at = 0
    for edit in edits:
        parts += (html[at : edit.start], edit.text(pictures))
        at = edit.end
    return "".join((*parts, html[at:]))
