"""From an HTTP request to a render job: JSON, HTML with its options in the query, or a form.

A body costs no more than the limits allow, whatever it claims to be: it is counted after it was
unpacked and piece by piece, and JSON is looked at before a parser makes a hundred times its size
of it.
"""

import asyncio
import codecs
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from poster_service.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    Fault,
    ForeignPage,
    InvalidField,
    JsonTooComplex,
    UnsupportedMediaType,
)
from poster_service.render.job import Asset, Limits, RenderJob
from poster_service.settings import Settings
from poster_service.web import forms, template_data
from poster_service.web.caller import CALLER

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
        origins: Those whose pages may send forms, beside our own.
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
        """As the settings have it."""
        return cls(
            settings.max_body_bytes,
            settings.body_timeout_ms / 1000,
            settings.max_json_depth,
            settings.max_json_items,
            settings.max_form_parts,
            settings.max_form_header_bytes,
            settings.cors_origins,
        )


BODY_LIMITS = web.AppKey("body_limits", BodyLimits)


async def read_job(request: web.Request, limits: Limits) -> RenderJob:
    """The job a POST /render asks for.

    Raises:
        CallerError: Of the branch that says what is wrong with it.
    """
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind == JSON_TYPE:
        if request.query:
            first = next(iter(request.query))
            raise InvalidField.of(
                Fault(first, "options belong into the JSON body, not the query", "no query")
            )
        given = parse_json(await _body(request), request.app[BODY_LIMITS])
        return RenderJob.parse(given, limits)
    if kind == HTML_TYPE:
        options = _options(request.query.items())
        options["html"] = _text(await _body(request), request.charset)
        return RenderJob.parse(options, limits, strict=False)
    if kind == FORM_TYPE:
        return await _read_form(request, limits)
    raise UnsupportedMediaType.of(
        Fault("Content-Type", f"{kind or 'none'} is not supported", ", ".join(TYPES))
    )


async def _read_form(request: web.Request, limits: Limits) -> RenderJob:
    """The page, its files, and options both in the query and as fields."""
    bounds = request.app[BODY_LIMITS]
    if not request.get(CALLER):  # no page can have a browser send a token along
        check_origin(request, bounds.origins)
    given = request.headers["Content-Type"]
    raw = await _body(request)
    parts = forms.parse(raw, given, bounds.max_parts, bounds.max_part_header)
    if template_data.is_named(request.query, parts):
        options, files = template_data.form_options(
            request.query.items(), parts, bounds.max_depth, lambda text: parse_json(text, bounds)
        )
        assets = _assets(part.asset() for part in files)
        return RenderJob.parse(options, limits, strict=False, assets=assets)
    pages = [part for part in parts if part.name == forms.PAGE]
    if len(pages) != 1:
        wrong = "is given more than once" if pages else "is missing"
        raise InvalidField.of(Fault(forms.PAGE, wrong, template_data.SOURCES))
    others = [part for part in parts if part.name != forms.PAGE]
    # What a browser's form sends of a field that was left empty is no option.
    fields = [(part.name, part.text()) for part in others if not part.is_file and part.body]
    options = _options([*request.query.items(), *fields])
    options["html"] = _text(pages[0].body, pages[0].charset)
    assets = _assets(part.asset() for part in others if part.is_file)
    return RenderJob.parse(options, limits, strict=False, assets=assets)


def check_origin(request: web.Request, origins: Iterable[str]) -> None:
    """Refuse a form that a page of somebody else has a browser send.

    A form is the one body that a browser sends to another origin without asking first (CORS); on
    loopback, where nobody needs a token, any page on the web could have its visitors render.

    Raises:
        ForeignPage: It is of an origin that is neither ours nor named.
    """
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if origin is None or origin in origins or site in ("same-origin", "none"):
        return
    if site is None and origin.partition("://")[2] == request.host:
        return
    raise ForeignPage.of(
        Fault("Origin", "is another than ours", "a page of ours, or of POSTER_CORS_ORIGINS")
    )


def _assets(found: Iterable[Asset]) -> tuple[Asset, ...]:
    """Files by name, so that the order in which they came makes no other job."""
    by_name: dict[str, Asset] = {}
    for one in found:
        if one.name in by_name:
            raise InvalidField.of(Fault(one.name[:100], "is given more than once", "once"))
        by_name[one.name] = one
    return tuple(by_name[name] for name in sorted(by_name))


async def _body(request: web.Request) -> bytes:
    limits = request.app[BODY_LIMITS]
    try:
        async with asyncio.timeout(limits.seconds):
            return await _read(request, limits.max_bytes)
    except TimeoutError as error:
        raise BodyTooSlow.of(
            Fault("", "the body did not come in time", f"up to {limits.seconds:g} s for all of it")
        ) from error
    except (aiohttp.ClientPayloadError, web.RequestPayloadError) as error:
        raise BadRequest.of(
            Fault("", "the body cannot be decoded", "a body of the Content-Encoding it names")
        ) from error


async def _read(request: web.Request, most: int) -> bytes:
    """All of a body, piece by piece; aiohttp unpacks it, in pieces of its read buffer's size."""
    body = bytearray()
    size = 0 if "Content-Encoding" in request.headers else request.content_length or 0
    while size <= most:
        piece = await request.content.readany()
        if not piece:
            return bytes(body)
        body += piece
        size = max(size, len(body))
    raise BodyTooLarge.of(Fault("", "the body is too large", f"up to {most} bytes, unpacked"))


def _options(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in pairs:
        if name in options:
            raise InvalidField.of(Fault(name, "is given more than once", "once"))
        if name in ("html", "template", "data"):
            raise InvalidField.of(
                Fault(name, "the body is the page already", "templates are for JSON and forms")
            )
        options[name] = value
    return options


def parse_json(raw: bytes, limits: BodyLimits) -> object:
    """A value from JSON that came from outside.

    Raises:
        CallerError: It is none, or too complex.
    """
    check_complexity(raw, limits)
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        # A lone surrogate is legal in JSON and in no encoding that a page could have.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest.of(Fault("", "the body is not UTF-8", "JSON in UTF-8")) from error
    except UnicodeEncodeError as error:
        raise BadRequest.of(
            Fault("", "the body holds half a character", "JSON in UTF-8")
        ) from error
    except ValueError as error:
        raise BadRequest.of(Fault("", f"the body is not JSON: {error}", "JSON")) from error
    return value


#: A string whole, so that nothing inside it counts, or one mark. Possessive and with an optional
#: end, so that no text makes it look at anything twice.
_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{\]},]', re.DOTALL)


def check_complexity(raw: bytes, limits: BodyLimits) -> None:
    """Count nesting and values without building any; what is no JSON is left to the parser.

    Raises:
        JsonTooComplex: One of the two is more than allowed.
    """
    # Nearly all bodies are simple, and large by their page: a look at the bytes is enough.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= min(
        limits.max_depth, limits.max_items
    ):
        return
    depth = items = strings = 0
    for mark in _MARKS.finditer(raw):
        byte = raw[mark.start()]
        if byte in b"[{,":
            items += 1
            depth += byte != 0x2C
        elif byte in b"]}":
            depth -= 1
            if depth < 0:  # no JSON, and the parser stops here too
                return
        else:
            strings += 1
            if strings > 2 * items + 2:  # side by side without a comma: the parser stops there too
                return
        if depth > limits.max_depth:
            raise _too_complex("nested too deeply", f"up to {limits.max_depth} levels")
        if items > limits.max_items:
            raise _too_complex("of too many values", f"up to {limits.max_items} values")


def _too_complex(what: str, allowed: str) -> Exception:
    return JsonTooComplex.of(Fault("", f"the JSON is {what}", allowed))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


#: The encodings that web pages come in (WHATWG Encoding), by Python's names for them. Others that
#: Python has are no encodings of text, or take quadratic time: 160 KB of punycode take 1.5 s.
CHARSETS = frozenset((
    "ascii", "big5", "big5hkscs", "cp866", "cp874", "cp932", "cp949", "euc_jp", "euc_kr", "gb18030",
    "gb2312", "gbk", "iso2022_jp", "koi8-r", "koi8-u", "mac-roman", "shift_jis", "tis-620", "utf-8",
    "utf-16", "utf-16-be", "utf-16-le",
    *(f"cp{number}" for number in range(1250, 1259)),
    *(f"iso8859-{number}" for number in range(1, 17)),
))  # fmt: skip


def _text(raw: bytes, charset: str | None) -> str:
    try:
        codec = codecs.lookup(charset or "utf-8").name
        if codec not in CHARSETS:
            raise LookupError(f"{codec} is no encoding of web pages")
        return raw.decode(codec)
    except (ValueError, LookupError) as error:
        raise BadRequest.of(
            Fault("", f"the body is not {charset or 'utf-8'}", "HTML in the charset it names")
        ) from error
