"""From an HTTP request to a render request: JSON, HTML with its options in the query, or a form.

A body costs no more than the limits allow: it is counted while it is unpacked, and the nesting and
values of JSON are counted before a parser builds objects a hundred times its size.
"""

import codecs
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from poster_service.errors import (
    BadRequest,
    CrossOriginForm,
    Fault,
    InvalidField,
    JsonTooComplex,
    UnsupportedMediaType,
)
from poster_service.quoting import quoted
from poster_service.render.flat import nest
from poster_service.render.request import Asset, Limits, RenderRequest
from poster_service.render.source import SOURCE_FIELDS, Html
from poster_service.settings import Settings
from poster_service.web import charsets, forms, incoming, media_type, template_data
from poster_service.web.incoming import COST, beside
from poster_service.web.media_type import MediaType

JSON_TYPE = "application/json"
HTML_TYPE = "text/html"
FORM_TYPE = "multipart/form-data"
TYPES = (JSON_TYPE, HTML_TYPE, FORM_TYPE)


@dataclass(frozen=True)
class BodyLimits:
    """What a body may cost.

    Attributes:
        max_bytes: Its size, unpacked.
        seconds: Time for all of it to come.
        max_depth: Nesting of JSON.
        max_items: Values in JSON.
        max_parts: Parts of a form.
        max_part_header: One header of a part, in bytes.
        origins: Whose pages may send forms, beside this service's own.
    """

    max_bytes: int
    seconds: float
    max_depth: int
    max_items: int
    max_parts: int = 200
    max_part_header: int = 4096
    origins: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "BodyLimits":
        """The limits of the settings."""
        return cls(
            settings.max_body_bytes,
            settings.body_timeout_ms / 1000,
            settings.max_json_depth,
            settings.max_json_items,
            settings.max_form_parts,
            settings.max_form_header_bytes,
            settings.cors_origins,
        )


#: Parameters of a URL; flat data in a signed URL may have some hundred.
MOST_PARAMETERS = 1000

BODY_LIMITS = web.AppKey("body_limits", BodyLimits)


async def read_request(
    request: web.Request, limits: Limits, kind: type[RenderRequest] = RenderRequest
) -> RenderRequest:
    """The render request of a POST /render.

    Raises:
        CallerError: The body or an option is wrong; the class says which.
    """
    check_size_of_query(request)
    given = request.headers.getall(hdrs.CONTENT_TYPE, ())
    media = media_type.parse(given[0]) if len(given) == 1 else MediaType()
    if media.name == JSON_TYPE:
        options = await _read_json(request)
        return _held(request, kind.parse(options, limits))
    if media.name == HTML_TYPE:
        options = await _read_html(request, media, kind)
        return _held(request, kind.parse(options, limits, strict=False))
    if media.name == FORM_TYPE:
        options, files = await _read_form(request, media, kind)
        return _held(request, kind.parse(options, limits, strict=False, files=files))
    shown = quoted(", ".join(given)) or "none"
    raise UnsupportedMediaType.of(
        Fault("Content-Type", f"{shown} is not supported", ", ".join(TYPES))
    )


def check_size_of_query(request: web.Request) -> None:
    """Refuse more parameters than there could be options, before each is looked at.

    Raises:
        InvalidField: Naming the bound.
    """
    if request.rel_url.raw_query_string.count("&") >= MOST_PARAMETERS:
        raise InvalidField.of(
            Fault("", "the URL has too many parameters", f"up to {MOST_PARAMETERS}")
        )


async def _read_json(request: web.Request) -> object:
    if request.query:
        first = next(iter(request.query))
        raise InvalidField.of(
            Fault(first, "options belong into the JSON body, not the query", "no query")
        )
    raw = await _body(request)
    return await beside(len(raw), parse_json, raw, request.app[BODY_LIMITS])


async def _read_html(
    request: web.Request, media: MediaType, kind: type[RenderRequest]
) -> dict[str, Any]:
    options = _options(request.query.items(), kind)
    raw = await _body(request)
    charset = media.parameters.get("charset")
    options["html"] = await beside(len(raw), charsets.text_of, raw, charset)
    return options


def _held(request: web.Request, made: RenderRequest) -> RenderRequest:
    """The render request; from now on the budget counts its size instead of the body's."""
    files = sum(len(file.body) for file in made.files)
    html = made.source.html if isinstance(made.source, Html) else ""
    incoming.share_of(request).set(files + COST * sys.getsizeof(html))
    return made


async def _read_form(
    request: web.Request, media: MediaType, kind: type[RenderRequest]
) -> tuple[dict[str, Any], tuple[Asset, ...]]:
    """Options of the query and of fields, with the source, and the files."""
    limits = request.app[BODY_LIMITS]
    check_origin(request, limits.origins)
    raw = await _body(request)
    parts = await beside(
        len(raw), forms.parse, raw, media.parameters.get("boundary", ""), limits.max_parts,
        limits.max_part_header,
    )  # fmt: skip
    if template_data.is_named(request.query, parts):
        pairs, files = template_data.form_pairs(request.query.items(), parts)
        options = template_data.from_pairs(
            pairs, kind.declared, limits.max_depth, lambda text: parse_json(text, limits)
        )
        return options, _assets(part.asset() for part in files)
    page = _page(parts)
    others = [part for part in parts if part is not page]
    # What a browser's form sends of a field that was left empty is no option.
    fields = [(part.name, part.text()) for part in others if not part.is_file and part.body]
    options = _options([*request.query.items(), *fields], kind)
    options["html"] = await beside(
        len(page.body), charsets.text_of, page.body, page.charset, forms.PAGE
    )
    charset = charsets.label_of(page.body, page.charset)
    return options, _assets(part.asset(charset) for part in others if part.is_file)


def _page(parts: Iterable[forms.Part]) -> forms.Part:
    """The part that is the page.

    Raises:
        InvalidField: There is none, or more than one.
    """
    pages = [part for part in parts if part.name == forms.PAGE]
    if len(pages) != 1:
        wrong = "is given more than once" if pages else "is missing"
        raise InvalidField.of(Fault(forms.PAGE, wrong, template_data.SOURCES))
    return pages[0]


def check_origin(request: web.Request, origins: Iterable[str]) -> None:
    """Refuse a form that a browser sends for a page of another origin.

    A form is the one body that a browser sends to another origin without asking first (CORS); on
    loopback, where no token is needed, any page on the web could have its visitors render. Old
    browsers leave `Origin` out of some of these; new ones send `Sec-Fetch-Site` (Fetch Metadata).
    Other clients send neither header, and pass.

    Raises:
        CrossOriginForm: Its origin is neither this service nor in the settings.
    """
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if origin is not None and origin in origins:
        return
    if site is not None:  # set by the browser; a page cannot change it
        if site in ("same-origin", "none"):
            return
        raise CrossOriginForm.of(Fault("Sec-Fetch-Site", f"is {quoted(site)}", FROM_WHERE))
    if origin is None or origin.partition("://")[2] == request.headers.get("Host", ""):
        return
    raise CrossOriginForm.of(Fault("Origin", f"is {quoted(origin)}", FROM_WHERE))


def _assets(found: Iterable[Asset]) -> tuple[Asset, ...]:
    """Files sorted by name, so that their order in the form does not matter."""
    by_name: dict[str, Asset] = {}
    for one in found:
        if one.name in by_name:
            raise InvalidField.of(Fault(one.name[:100], "is given more than once", "once"))
        by_name[one.name] = one
    return tuple(by_name[name] for name in sorted(by_name))


async def _body(request: web.Request) -> bytes:
    limits = request.app[BODY_LIMITS]
    return await incoming.read(request, limits.max_bytes, limits.seconds)


def _options(pairs: Iterable[tuple[str, str]], kind: type[RenderRequest]) -> dict[str, Any]:
    """The options beside a page, nested as in JSON.

    Raises:
        InvalidField: One is given twice or in two ways, or names another source.
    """
    pairs = list(pairs)
    for name, _ in pairs:
        if name in SOURCE_FIELDS:
            raise InvalidField.of(
                Fault(name, "the body is the page already", "templates are for JSON and forms")
            )
    return nest(pairs, kind.declared)


def parse_json(raw: bytes, limits: BodyLimits) -> object:
    """A value from JSON that came from outside.

    A byte order mark before it is passed over (RFC 8259, 8.1).

    Raises:
        CallerError: It is not JSON, or too complex, or an object in it has a name twice.
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    check_complexity(raw, limits)
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_object
        )
        # A lone surrogate is legal in JSON and in no encoding that a page could have. Only an
        # escape can make one.
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest.of(Fault("", "the body is not UTF-8", "JSON in UTF-8")) from error
    except UnicodeEncodeError as error:
        raise BadRequest.of(
            Fault("", "the body has half of a surrogate pair", "JSON in UTF-8")
        ) from error
    except ValueError as error:
        raise BadRequest.of(Fault("", f"the body is not JSON: {error}", "JSON")) from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are unique: with two, parsers differ in which counts (RFC 8259, 4).

    Raises:
        InvalidField: With the name that is there twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InvalidField.of(Fault(twice, "is given more than once in one object", "once"))
    return made


FROM_WHERE = "a page of this service, or of an origin in POSTER_CORS_ORIGINS"
_MARK = re.compile(rb'["\[{\]},]')
#: The inside of a string, up to its end or to that of the window. Possessive, so that no text makes
#: it read a byte twice.
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
#: Bytes that are searched in one call, which keeps the interpreter to itself.
WINDOW = 1 << 16


def check_complexity(raw: bytes, limits: BodyLimits) -> None:
    """Count nesting and values without building any; invalid JSON is left to the parser.

    Raises:
        JsonTooComplex: There is more of one than allowed.
    """
    # Nearly all bodies are simple, and large because of their page: counting bytes is enough.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= min(
        limits.max_depth, limits.max_items
    ):
        return
    depth = items = strings = 0
    for byte in _marks(raw):
        if byte in b"[{,":
            items += 1
            depth += byte != 0x2C
        elif byte in b"]}":
            depth -= 1
            if depth < 0:  # not JSON, and the parser stops here too
                return
        else:
            strings += 1
            if strings > 2 * items + 2:  # side by side without a comma: the parser stops there too
                return
        if depth > limits.max_depth:
            raise _too_complex("nested too deeply", f"up to {limits.max_depth} levels")
        if items > limits.max_items:
            raise _too_complex("of too many values", f"up to {limits.max_items} values")


def _marks(raw: bytes) -> Iterator[int]:
    """The marks that give JSON its shape, and the first quote of each string; nothing inside."""
    at = 0
    while at < len(raw):
        found = _MARK.search(raw, at, at + WINDOW)
        if found is None:
            at += WINDOW
            continue
        yield raw[found.start()]
        at = found.end()
        if raw[found.start()] == 0x22:
            at = _end_of_string(raw, at)


def _end_of_string(raw: bytes, at: int) -> int:
    """Where the string ends whose inside begins at `at`; the end of `raw` if it does not end."""
    while at < len(raw):
        quote = raw.find(b'"', at, at + WINDOW)
        escape = raw.find(b"\\", at, at + WINDOW if quote < 0 else quote)
        if escape < 0:
            if quote >= 0:
                return quote + 1
            at += WINDOW
            continue
        # As far as the window goes; an escape on its edge is left whole for the next.
        found = _INSIDE.match(raw, escape, escape + WINDOW)
        assert found is not None
        at = max(found.end(), escape + 1 if escape + 1 == len(raw) else 0)
        if raw[at : at + 1] == b'"':
            return at + 1
    return len(raw)


def _too_complex(what: str, allowed: str) -> Exception:
    return JsonTooComplex.of(Fault("", f"the JSON is {what}", allowed))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
