"""Signed URLs for `<img>`: GET /render/{template}?...&key=&expires=&signature=...

GET /render (get_render.py), whose query names any kind of source, is signed in the same way.

A signed URL names what is rendered, until when it is good, and the key that signed it; a caller
that has it may fetch that picture and nothing else. The signature is the HMAC-SHA256, in lower-case
hexadecimal, of three lines, joined by a line feed:

    GET
    /render/{template}, or /render
    the query without `signature`: `name=value` with both percent-encoded (all but A-Z a-z 0-9 and
    - . _ ~, as UTF-8, in upper-case hexadecimal), sorted by bytes, joined by "&"

It is computed from the decoded pairs, so a proxy that encodes them in another way, or sorts them,
breaks nothing. HEAD is signed as GET. A prefix that a proxy takes off is not signed.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from poster_service.credentials import SigningKey
from poster_service.errors import (
    BadRequest,
    BadSignature,
    ExpiryTooFar,
    Fault,
    InvalidField,
    UnknownKey,
    UrlExpired,
)
from poster_service.render.flat import flatten
from poster_service.render.request import RenderRequest
from poster_service.render.source import SOURCE_FIELDS
from poster_service.web.bodies import BODY_LIMITS, BodyLimits, parse_json
from poster_service.web.pictures import picture
from poster_service.web.service import SERVICE
from poster_service.web.template_data import from_pairs

#: The route's name, by which `auth` knows that a signature is asked for and not a token.
NAME = "signed"
PATH = "/render/{template:[a-z0-9][a-z0-9-]{0,63}}"
Pairs = list[tuple[str, str]]
#: Parameters of the signature, which are no options of the render.
ABOUT = ("key", "expires", "signature")


async def render(request: web.Request) -> web.StreamResponse:
    """GET /render/{template}: the picture that the URL is signed for."""
    return await answer(request, request.match_info["template"])


async def answer(request: web.Request, template: str | None) -> web.StreamResponse:
    """The picture that a URL is signed for; its path names a template, or none.

    Raises:
        CallerError: The signature is not right or not in force, or the query cannot be rendered.
    """
    service = request.app[SERVICE]
    pairs = list(request.query.items())
    now = time.time()
    key, expires = verified(service.keys.entries, template, pairs)
    check_time(expires, now, service.settings.signed_url_max_seconds)
    given = options_of(template, pairs, request.app[BODY_LIMITS])
    job = RenderRequest.parse(given, service.engine.limits, strict=False)
    caller = f"key:{key.name}"  # no name of a token has a colon
    response = await picture(request, job, caller, expires)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # for pages of any origin
    return response


def verified(
    keys: Iterable[SigningKey], template: str | None, pairs: Pairs
) -> tuple[SigningKey, int]:
    """The key and the expiry (Unix seconds) of a URL whose signature is right.

    Raises:
        UnknownKey: The service has no key of that name, or no longer.
        BadSignature: The signature was not made for this URL by that key.
    """
    about = {name: [value for one, value in pairs if one == name] for name in ABOUT}
    if any(len(values) != 1 for values in about.values()):
        raise BadSignature.of(
            Fault("signature", "the URL is not signed", "one each of " + ", ".join(ABOUT))
        )
    named = {one.name: one for one in keys}
    key = named.get(about["key"][0])
    if key is None:
        raise UnknownKey.of(Fault("key", "unknown signing key", "an active key"))
    expected = signature(key, template, [pair for pair in pairs if pair[0] != "signature"])
    given = about["signature"][0].encode("utf-8", "surrogatepass")
    expires = about["expires"][0]
    if not hmac.compare_digest(expected.encode(), given) or not plain_number(expires):
        raise BadSignature.of(
            Fault("signature", "does not match this URL", "the URL as it was signed")
        )
    return key, int(expires)


def check_time(expires: int, now: float, longest: int) -> None:
    """Refuse a URL that has expired, or whose expiry is too far away.

    Raises:
        UrlExpired: Its expiry is in the past.
        ExpiryTooFar: Its expiry is more than POSTER_SIGNED_URL_MAX_SECONDS away.
    """
    if expires <= now:
        raise UrlExpired.of(Fault("expires", "has expired", "a newly signed URL"))
    if expires - now > longest:
        raise ExpiryTooFar.of(
            Fault("expires", f"is {expires - int(now)} s away", f"up to {longest} s from now")
        )


def signature(key: SigningKey, template: str | None, pairs: Pairs) -> str:
    """The signature of a URL, in lower-case hexadecimal; for /render the template is None."""
    text = canonical(template, pairs).encode("ascii")
    return hmac.new(key.secret, text, hashlib.sha256).hexdigest()


def canonical(template: str | None, pairs: Pairs) -> str:
    """The text that is signed, as the top of this file describes it."""
    return "\n".join(("GET", path_of(template), query_of(pairs)))


def path_of(template: str | None) -> str:
    """The path of a signed URL, which names a template or leaves the source to the query."""
    return "/render" if template is None else f"/render/{template}"


def query_of(pairs: Pairs) -> str:
    """A query in its canonical form: encoded, sorted."""

    def encoded(text: str) -> str:
        return quote(text, safe="", errors="surrogatepass")

    # Sorted after it was encoded: as bytes that is one order in every language.
    return "&".join(sorted(f"{encoded(name)}={encoded(value)}" for name, value in pairs))


def address(key: SigningKey, base: str, options: Mapping[str, Any], expires: int) -> str:
    """The signed URL of a request.

    Args:
        key: That signs it.
        base: Where the service is, before `/render`.
        options: As JSON has them, nested options too, and the source. A template is named by the
            path, all else by the query.
        expires: Until when it is good, in seconds since the epoch.
    """
    options = dict(options)
    template, data = options.pop("template", None), options.pop("data", None)
    pairs = [(name, text_of(value)) for name, value in flatten(options)]
    pairs += [] if data is None else [("data", text_of(data))]
    pairs += [("key", key.name), ("expires", str(expires))]
    signed = signature(key, template, pairs)
    return f"{base.rstrip('/')}{path_of(template)}?{query_of(pairs)}&signature={signed}"


def text_of(value: Any) -> str:
    """An option as it stands in a query; data is base64url of its JSON, without padding."""
    if isinstance(value, dict):
        raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return json.dumps(value) if isinstance(value, bool) else str(value)


def options_of(
    template: str | None,
    pairs: Pairs,
    limits: BodyLimits,
    kind: type[RenderRequest] = RenderRequest,
) -> dict[str, Any]:
    """What a query asks for, as JSON would have it.

    Raises:
        InvalidField: An option is given twice or in two ways, or has no place in a signed URL.
        BadRequest: `data` is not base64url of JSON.
    """
    given = [pair for pair in pairs if pair[0] not in ABOUT]
    if template is None:
        return query_options(given, limits, kind)
    for name, _ in given:
        if name in SOURCE_FIELDS and name != "data":
            raise InvalidField.of(Fault(name, "the URL names a template", "data and options"))
    return {"template": template, **query_options(given, limits, kind)}


def query_options(
    pairs: Pairs, limits: BodyLimits, kind: type[RenderRequest] = RenderRequest
) -> dict[str, Any]:
    """The source and options of a query, as JSON would have them; `data` is base64url of JSON.

    Raises:
        InvalidField: An option is given twice or in two ways.
        BadRequest: `data` is not base64url of JSON.
    """

    def parse_data(text: bytes) -> object:
        return parse_json(unpacked(text.decode("utf-8", "surrogatepass")), limits)

    return from_pairs(pairs, kind.declared, limits.max_depth, parse_data)


def unpacked(text: str) -> bytes:
    """The bytes of base64url, with padding or without.

    Raises:
        BadRequest: The text is not base64url.
    """
    try:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/").encode("ascii")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadRequest.of(Fault("", "is not base64url", "base64url of JSON")) from error


def plain_number(text: str) -> bool:
    """Whether a text is one to twelve ASCII digits."""
    return len(text) <= 12 and text.isascii() and text.isdigit()
