"""What a page on the web is sent with: groups of `RenderOptions`.

Headers, cookies and credentials are secrets: no error text shows a value of them.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from yarl import URL

from poster_service.browser.types import Cookie
from poster_service.errors import Fault
from poster_service.quoting import quoted
from poster_service.render.declaration import Option, OptionGroup

MAX_HEADERS, MAX_HEADER_BYTES, MAX_COOKIES = 64, 8_192, 50
#: A token (RFC 9110, 5.6.2): the name of a header or of a cookie.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", re.ASCII)
#: What may be in the value of a header: printable ASCII, no white space at the ends.
HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?", re.ASCII)
#: Headers that a caller may not set: of the connection, of the message's framing, what has an
#: option of its own, and what servers take for the browser's word on where a request comes from.
REFUSED_HEADERS = frozenset((
    "accept-encoding", "connection", "content-encoding", "content-length",
    "content-type", "cookie", "cookie2", "expect", "forwarded", "host", "http2-settings",
    "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "keep-alive", "origin", "range", "referer", "te", "trailer", "transfer-encoding", "upgrade",
    "user-agent", "via",
))  # fmt: skip
REFUSED_PREFIXES = ("access-control-", "proxy-", "sec-", "x-forwarded-")
#: Which option to use for some of them.
INSTEAD = {"cookie": "cookies", "user-agent": "user_agent"}


def check_headers(given: dict[str, str]) -> dict[str, str]:
    """Headers that may be sent, if all are.

    Raises:
        ValueError: One may not be; its text names it, and never a value.
    """
    if len(given) > MAX_HEADERS:
        raise ValueError(f"has more than {MAX_HEADERS} headers")
    if len({name.lower() for name in given}) < len(given):
        raise ValueError("has the same header twice; case does not matter")
    if sum(len(name) + len(value) + 4 for name, value in given.items()) > MAX_HEADER_BYTES:
        raise ValueError(f"has more than {MAX_HEADER_BYTES} bytes")
    for name, value in given.items():
        lower = name.lower()
        if not TOKEN.fullmatch(name):
            raise ValueError(f'"{quoted(name)}" is not a header name')
        if lower in REFUSED_HEADERS or lower.startswith(REFUSED_PREFIXES):
            better = f"; use {INSTEAD[lower]}" if lower in INSTEAD else ""
            raise ValueError(f"{name} cannot be set{better}")
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} is not printable ASCII")
    return given


def check_referrer(given: str) -> str:
    """An address that may be named as a page's referrer (RFC 9110, 10.1.3).

    Raises:
        ValueError: It is not of the web, or has a user or a fragment; the text is for the caller.
    """
    try:
        url = URL(given)
    except ValueError:
        raise ValueError(f'"{quoted(given)}" is not an address') from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f'"{quoted(given)}" is not an http or https address')
    if url.raw_user is not None or url.raw_password is not None or url.raw_fragment:
        raise ValueError("has a user or a fragment; a referrer has neither")
    return str(url)


Headers = Annotated[dict[str, str], AfterValidator(check_headers)]


class CookieOptions(OptionGroup):
    """A cookie of the page."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=256, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
        Option("Its name.", allowed="a token of up to 256 characters"),
    ]
    value: Annotated[
        str,
        Field(max_length=4_096, pattern=r"^[ -:<-~]*$"),
        Option(
            "Its value.",
            allowed="up to 4096 characters of printable ASCII, no semicolon",
            is_content=True,
        ),
    ]
    domain: Annotated[
        Annotated[str, Field(max_length=253, pattern=r"^\.?[A-Za-z0-9.:\[\]-]+$")] | None,
        Option(
            "The host of the `url`, or a parent domain. Only the host of the `url` gets the"
            " cookie.",
            allowed="the host of the url, or a domain above it",
            default="the host of the url",
        ),
    ] = None
    path: Annotated[
        str,
        Field(max_length=1_024, pattern=r"^/[ -:<-~]*$"),
        Option("Path of the requests that get it.", allowed="a path like /app"),
    ] = "/"
    secure: Annotated[bool, Option("Whether it is sent over https only.")] = False
    http_only: Annotated[bool, Option("Whether it is hidden from the page's scripts.")] = False
    same_site: Annotated[
        Literal["strict", "lax", "none"] | None,
        Option("SameSite.", default="the browser's default"),
    ] = None
    expires: Annotated[
        Annotated[float, Field(ge=0, le=253_402_300_799)] | None,
        Option(
            "When it expires, in Unix time.", unit="seconds", default="at the end of the render"
        ),
    ] = None


class Credentials(OptionGroup):
    """User and password of the page."""

    username: Annotated[
        str,
        Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f:]*$"),
        Option("Its user.", allowed="up to 256 characters, no colon", is_content=True),
    ]
    password: Annotated[
        str,
        Field(max_length=1_024, pattern=r"^[^\x00-\x1f\x7f]*$"),
        Option("Its password.", allowed="up to 1024 characters", is_content=True),
    ]

    def header(self) -> str:
        """The value of Authorization (RFC 7617, in UTF-8)."""
        both = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(both).decode()}"


def wrong_cookies(cookies: tuple[CookieOptions, ...], url: str) -> Iterator[Fault]:
    """A fault for each cookie that a browser would not take from an address, or not send there."""
    parsed = URL(url, encoded=True)
    host = (parsed.host or "").lower().rstrip(".")
    for number, cookie in enumerate(cookies):
        if cookie.secure and parsed.scheme != "https":
            field = f"cookies.{number}.secure"
            yield Fault(field, "has no meaning without https", "false, or an https url")
        if not cookie.secure and cookie.same_site == "none":
            field = f"cookies.{number}.same_site"
            yield Fault(field, "none has no meaning without secure", "secure: true, or another")
        is_special = cookie.name.lower().startswith(("__secure-", "__host-"))
        if is_special and (not cookie.secure or cookie.path != "/"):
            field = f"cookies.{number}.name"
            yield Fault(field, "has a prefix that needs secure and the path /", "another name")
        domain = (cookie.domain or host).lower().lstrip(".").rstrip(".")
        is_above = host.endswith(f".{domain}") and "." in domain and not host[-1].isdigit()
        if domain != host and not is_above:
            field = f"cookies.{number}.domain"
            yield Fault(
                field,
                "does not match the host of the url",
                "the host of the url, or a domain above it",
            )


def cookies_of(cookies: tuple[CookieOptions, ...], url: str) -> tuple[Cookie, ...]:
    """The cookies as Chrome gets them: each for the host of the address alone."""
    return tuple(
        Cookie(
            url=url,
            name=cookie.name,
            value=cookie.value,
            path=cookie.path,
            secure=cookie.secure,
            http_only=cookie.http_only,
            same_site=cookie.same_site and cookie.same_site.capitalize(),
            expires=cookie.expires,
        )
        for cookie in cookies
    )


def sent_headers(headers: Mapping[str, str], credentials: Credentials | None) -> Mapping[str, str]:
    """All that the page's origin is sent of them; what authorizes has one spelling of its name."""
    sent = {
        "Authorization" if name.lower() == "authorization" else name: value
        for name, value in headers.items()
    }
    return sent | ({"Authorization": credentials.header()} if credentials else {})


def authorized_twice(
    headers: Mapping[str, str], credentials: Credentials | None
) -> Iterator[Fault]:
    """A fault if there are credentials, and a header that would stand in their place."""
    if credentials is not None and any(name.lower() == "authorization" for name in headers):
        message = "has no meaning beside a header Authorization"
        yield Fault("credentials", message, "credentials, or the header")
