"""From an HTTP request to a render request: JSON, HTML with its options in the query, or a form.

A body costs no more than the limits allow: it is counted while it is unpacked, and the nesting and
values of JSON are counted before a parser builds objects a hundred times its size.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import hdrs, web

from poster_service import strict_json
from poster_service.errors import (
    CrossOriginForm,
    Fault,
    InvalidField,
    UnsupportedMediaType,
)
from poster_service.quoting import quoted
from poster_service.render.flat import nest
from poster_service.render.request import Asset, Limits, RenderRequest
from poster_service.render.source import SOURCE_FIELDS, Html, Markdown
from poster_service.settings import Settings
from poster_service.web import charsets, forms, incoming, media_type, template_data
from poster_service.web.incoming import COST, beside
from poster_service.web.media_type import MediaType

Wanted = TypeVar("Wanted", bound=RenderRequest)
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


async def read_request(request: web.Request, limits: Limits, kind: type[Wanted]) -> Wanted:
    """The render request of a POST, of a kind that declares which options it may have.

    Raises:
        CallerError: The body or an option is wrong; the class says which.
    """
    check_size_of_query(request)
    given = request.headers.getall(hdrs.CONTENT_TYPE, ())
    media = media_type.parse(given[0]) if len(given) == 1 else MediaType()
    if media.name == JSON_TYPE:
        options = await _read_json(request)
        return hold(request, kind.parse(options, limits))
    if media.name == HTML_TYPE:
        options = await _read_html(request, media, kind)
        return hold(request, kind.parse(options, limits, strict=False))
    if media.name == FORM_TYPE:
        options, files = await _read_form(request, media, kind)
        return hold(request, kind.parse(options, limits, strict=False, files=files))
    raise unsupported(given, TYPES)


#: What curl sends with -d unless a header says otherwise; browsers send it for a plain form.
URL_ENCODED = "application/x-www-form-urlencoded"


def unsupported(given: Sequence[str], allowed: Sequence[str]) -> UnsupportedMediaType:
    """The error of a body whose media type is not allowed, with the remedy for curl.

    Args:
        given: The values of its Content-Type headers.
        allowed: Media types.
    """
    shown = quoted(", ".join(given)) or "none"
    remedy = ""
    if len(given) > 1:
        remedy = "; send one Content-Type"
    elif not given or media_type.parse(given[0]).name == URL_ENCODED:
        remedy = f"; with curl, add -H 'Content-Type: {allowed[0]}'"
        remedy += f" for JSON, or {allowed[1]}" if len(allowed) > 1 else ""
    return UnsupportedMediaType.of(
        Fault("Content-Type", f"{shown} is not supported{remedy}", ", ".join(allowed))
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
    return await read_json(request)


async def read_json(request: web.Request) -> object:
    """The value in a body of JSON.

    Raises:
        CallerError: It is too large or too slow, not JSON, or too complex.
    """
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


def hold(request: web.Request, made: Wanted) -> Wanted:
    """The render request; from now on the budget counts its size instead of the body's."""
    files = sum(len(file.body) for file in made.files)
    source = made.source
    text = source.html if isinstance(source, Html) else ""
    text = source.markdown if isinstance(source, Markdown) else text
    incoming.share_of(request).set(files + COST * sys.getsizeof(text))
    return made


async def _read_form(
    request: web.Request, media: MediaType, kind: type[RenderRequest]
) -> tuple[dict[str, Any], tuple[Asset, ...]]:
    """Options of the query and of fields, with the source, and the files."""
    limits = request.app[BODY_LIMITS]
    parts = await read_parts(request, media)
    if (name := template_data.named(request.query, parts)) is not None:
        pairs, files = template_data.form_pairs(name, request.query.items(), parts)
        options = template_data.from_pairs(
            pairs, kind.declared, limits.max_depth, lambda text: parse_json(text, limits)
        )
        return options, _assets(part.asset() for part in files)
    page = _page(parts)
    others = [part for part in parts if part is not page]
    # What a browser's form sends of a field that was left empty is no option.
    fields = [(part.name, part.text()) for part in others if not part.is_file and part.body]
    options = _options([*request.query.items(), *fields], kind)
    name = "html" if page.name == forms.PAGE else "markdown"
    options[name] = await beside(
        len(page.body), charsets.text_of, page.body, page.charset, page.name
    )
    charset = charsets.label_of(page.body, page.charset)
    return options, _assets(part.asset(charset) for part in others if part.is_file)


async def read_parts(request: web.Request, media: MediaType) -> list[forms.Part]:
    """The parts of a form, in order.

    Raises:
        CallerError: The body is too large, too slow, too complex or no form, or a page of another
            origin sends it.
    """
    limits = request.app[BODY_LIMITS]
    check_origin(request, limits.origins)
    raw = await _body(request)
    boundary = media.parameters.get("boundary", "")
    return await beside(
        len(raw), forms.parse, raw, boundary, limits.max_parts, limits.max_part_header
    )


def _page(parts: Iterable[forms.Part]) -> forms.Part:
    """The part that is the page.

    Raises:
        InvalidField: There is none, or more than one.
    """
    pages = [part for part in parts if part.name in (forms.PAGE, forms.MARKDOWN_PAGE)]
    if len(pages) != 1:
        wrong = "is given more than once" if pages else "is missing"
        raise InvalidField.of(Fault(forms.PAGE, wrong, template_data.SOURCES))
    return pages[0]


FROM_WHERE = "a page of this service, or of an origin in POSTER_CORS_ORIGINS"


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
                Fault(
                    name,
                    "conflicts with the body, which is the page",
                    "other sources are for JSON and forms",
                )
            )
    return nest(pairs, kind.declared)


def parse_json(raw: bytes, limits: BodyLimits) -> object:
    """A value from JSON that came from outside; for errors see `strict_json.parse`."""
    return strict_json.parse(raw, limits.max_depth, limits.max_items)
