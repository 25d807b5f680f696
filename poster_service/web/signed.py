"""Signed addresses for `<img>`: GET /render/{template}?...&key=&expires=&signature=...

An address says what is rendered, until when, and by whose key; whoever has it may fetch that
picture and nothing else. The signature is the HMAC-SHA256, in lower-case hexadecimal, of three
lines, joined by a line feed:

    GET
    /render/{template}
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
from poster_service.render.request import RenderRequest
from poster_service.web.bodies import BODY_LIMITS, BodyLimits, parse_json
from poster_service.web.pictures import picture
from poster_service.web.service import SERVICE
from poster_service.web.template_data import nested

#: The route's name, by which `auth` knows that it looks at signatures and not at tokens.
NAME = "signed"
PATH = "/render/{template:[a-z0-9][a-z0-9-]{0,63}}"
Pairs = list[tuple[str, str]]
#: What is about the address and no option of the render.
ABOUT = ("key", "expires", "signature")


async def render(request: web.Request) -> web.Response:
    """GET /render/{template}: the picture that the address is signed for."""
    service = request.app[SERVICE]
    template = request.match_info["template"]
    pairs = list(request.query.items())
    now = time.time()
    key, expires = verified(service.keys.entries, template, pairs)
    check_time(expires, now, service.settings.signed_url_max_seconds)
    job = RenderRequest.parse(
        job_of(template, pairs, request.app[BODY_LIMITS]), service.engine.limits, strict=False
    )
    caller = f"key:{key.name}"  # no name of a token has a colon
    answer = await picture(request, job, caller, expires)
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # made for pages of others
    return answer


def verified(keys: Iterable[SigningKey], template: str, pairs: Pairs) -> tuple[SigningKey, int]:
    """The key and the expiry of an address whose signature is right.

    Raises:
        UnknownKey: The key named is none of ours (any more).
        BadSignature: It was not made for this address by that key.
    """
    about = {name: [value for one, value in pairs if one == name] for name in ABOUT}
    if any(len(values) != 1 for values in about.values()):
        raise BadSignature.of(
            Fault("signature", "the address is not signed", "one each of " + ", ".join(ABOUT))
        )
    named = {one.name: one for one in keys}
    key = named.get(about["key"][0])
    if key is None:
        raise UnknownKey.of(Fault("key", "is none that signs here", "a key that is in force"))
    expected = signature(key, template, [pair for pair in pairs if pair[0] != "signature"])
    given = about["signature"][0].encode("utf-8", "surrogatepass")
    expires = about["expires"][0]
    if not hmac.compare_digest(expected.encode(), given) or not plain_number(expires):
        raise BadSignature.of(
            Fault("signature", "was not made for this address", "the address as it was signed")
        )
    return key, int(expires)


def check_time(expires: int, now: float, longest: int) -> None:
    """Refuse an address whose time is over, or that was made for longer than may be.

    Raises:
        UrlExpired: It was good once.
        ExpiryTooFar: Its expiry is more than POSTER_SIGNED_URL_MAX_SECONDS away.
    """
    if expires <= now:
        raise UrlExpired.of(Fault("expires", "is over", "an address signed anew"))
    if expires - now > longest:
        raise ExpiryTooFar.of(Fault("expires", "is too far away", f"up to {longest} s from now"))


def signature(key: SigningKey, template: str, pairs: Pairs) -> str:
    """The signature of an address."""
    text = canonical(template, pairs).encode("ascii")
    return hmac.new(key.secret, text, hashlib.sha256).hexdigest()


def canonical(template: str, pairs: Pairs) -> str:
    """What is signed, as the head of this file has it."""
    return "\n".join(("GET", f"/render/{template}", query_of(pairs)))


def query_of(pairs: Pairs) -> str:
    """A query in the one way of writing it."""

    def encoded(text: str) -> str:
        return quote(text, safe="", errors="surrogatepass")

    # Sorted after it was encoded: as bytes that is one order in every language.
    return "&".join(sorted(f"{encoded(name)}={encoded(value)}" for name, value in pairs))


def address(key: SigningKey, base: str, options: Mapping[str, Any], expires: int) -> str:
    """The signed address of a job, of its options as JSON has them, `template` among them."""
    pairs = [(name, text_of(value)) for name, value in options.items() if name != "template"]
    pairs += [("key", key.name), ("expires", str(expires))]
    template = str(options["template"])
    signed = signature(key, template, pairs)
    return f"{base.rstrip('/')}/render/{template}?{query_of(pairs)}&signature={signed}"


def text_of(value: Any) -> str:
    """An option as it stands in a query; data is base64url of its JSON, without padding."""
    if isinstance(value, dict):
        raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return json.dumps(value) if isinstance(value, bool) else str(value)


def job_of(template: str, pairs: Pairs, limits: BodyLimits) -> dict[str, Any]:
    """The job that a query asks for.

    Raises:
        InvalidField: An option is given twice, or does not belong here.
        BadRequest: `data` is not what it must be.
    """
    options: dict[str, Any] = {}
    flat: Pairs = []
    for name, value in pairs:
        if name in ABOUT:
            continue
        if name.startswith("data."):
            flat.append((name, value))
        elif name in options:
            raise InvalidField.of(Fault(name, "is given more than once", "once"))
        elif name in ("html", "template"):
            raise InvalidField.of(Fault(name, "the address names a template", "data and options"))
        else:
            options[name] = value
    if flat and "data" in options:
        raise InvalidField.of(Fault("data", "is given in two ways", "data, or data.name"))
    if "data" in options:
        options["data"] = parse_json(unpacked(options["data"]), limits)
    elif flat:
        options["data"] = nested(flat, limits.max_depth)
    return {"template": template, **options}


def unpacked(text: str) -> bytes:
    """The bytes of base64url, with padding or without.

    Raises:
        BadRequest: It is none.
    """
    try:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/").encode("ascii")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadRequest.of(Fault("data", "is not base64url", "base64url of JSON")) from error


def plain_number(text: str) -> bool:
    """Whether these are some digits and nothing else."""
    return len(text) <= 12 and text.isascii() and text.isdigit()
