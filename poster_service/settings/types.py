"""The types of settings: each turns the text of a variable or flag into a checked value.

They raise ValueError; its text is shown behind `NAME=value: `, so it says what is allowed.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from poster_service import credentials
from poster_service.addresses import same_on_the_wire
from poster_service.credentials import SigningKey, Token, WebhookSecret


def _split(value: object) -> object:
    """A tuple from a comma-separated list; anything but text is left to pydantic."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def canonical_host(host: str) -> str:
    """A host as Chrome and DNS know it: lower case, IDNA, no trailing dot; addresses in one form.

    Raises:
        ValueError: It is neither a host name nor an address.
    """
    host = host.strip("[]").rstrip(".").lower()
    try:
        return str(same_on_the_wire(ipaddress.ip_address(host)))
    except ValueError:
        pass
    if host.isascii():
        return host
    from yarl import URL  # rarely needed, and not free to import

    return URL.build(scheme="http", host=host).raw_host or ""


def _hosts(value: object) -> object:
    """Names, `*.suffixes` and addresses from a comma-separated list, each in its canonical form."""
    parts = _split(value)
    if not isinstance(parts, tuple):
        return parts
    return tuple(_host_pattern(str(part)) for part in parts)


def _host_pattern(text: str) -> str:
    wildcard, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        name = canonical_host(rest)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a host name") from error
    if not (_HOST.fullmatch(name) or (not wildcard and _is_address(name))):
        raise ValueError(f"{text!r} is neither a host name, *.suffix nor an address")
    return wildcard + name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


def _tokens(value: object) -> object:
    return credentials.from_pairs(value, credentials.token) if isinstance(value, str) else value


def _signing_keys(value: object) -> object:
    return (
        credentials.from_pairs(value, credentials.signing_key) if isinstance(value, str) else value
    )


def _webhook_secrets(value: object) -> object:
    if not isinstance(value, str):
        return value
    return credentials.from_pairs(value, credentials.webhook_secret)


def _redis_url(value: str) -> str:
    form = "redis://[user:password@]host[:port][/database], rediss:// or unix://path"
    try:
        # Imported for services with a Redis only: it is an extra, and not free to import.
        from redis.asyncio.connection import parse_url
    except ImportError:
        raise ValueError(
            "the Python package redis is missing; install poster-service[redis]"
        ) from None
    try:
        parse_url(value)
    except ValueError as error:  # its text may contain the password
        raise ValueError(f"must be {form}") from error
    # A wrong option of the client in the URL would be noticed with the first render only.
    if not re.fullmatch(r"[^?]+(\?db=\d+)?", value):
        raise ValueError(f"must be {form}, without options except db=")
    return value


def _origin(value: str) -> str:
    """An origin as browsers send it (RFC 6454): no path, no slash, no default port, lower case."""
    if not _ORIGIN.match(value):
        raise ValueError(
            f"{value!r} must be an origin as a browser sends it: https://app.example.com, without"
            " a path or a slash at its end, in lower case; * is not allowed"
        )
    return value


_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?\Z")


def _storage_url(value: str) -> str:
    """The address of an object storage, without credentials."""
    form = (
        "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///folder, memory://"
    )
    scheme, _, rest = value.partition("://")
    if scheme not in ("s3", "gs", "az", "file", "memory") or "@" in rest or "?" in rest:
        raise ValueError(f"must be one of {form}, without user, password and query")
    if (scheme == "memory") != (rest in ("", "/")) or (scheme == "file" and rest[:1] != "/"):
        raise ValueError(f"must be one of {form}")
    if scheme == "az" and not _PLAIN.fullmatch(rest):
        # obstore signs the path percent-encoded, and Azure checks the signature of the plain one.
        raise ValueError("az:// may have letters, digits and /-._~=+ only")
    if scheme == "memory":
        return value
    try:
        # Imported for services with such a storage only: it is an extra, and not free to import.
        import obstore  # noqa: F401
    except ImportError:
        raise ValueError(
            "the Python package obstore is missing; install poster-service[storage]"
        ) from None
    return value


_PLAIN = re.compile(r"[A-Za-z0-9/._~=+-]+")


def _public_url(value: str) -> str:
    """An address that names can be appended to."""
    if not _PUBLIC_URL.match(value):
        raise ValueError(f"{value!r} must be http(s)://host/path, without user, query and fragment")
    return value.rstrip("/")


_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[^?#\s]*)?\Z")


def _user(value: str) -> str:
    """The user that Chrome runs as, by form only; whether that user exists is checked at start."""
    if not _USER.match(value):
        raise ValueError("must be auto, same, a user name, uid or uid:gid")
    return value


_USER = re.compile(r"([a-z_][a-z0-9_.-]{0,31}|[0-9]{1,10}(:[0-9]{1,10})?)\Z")


def _language(value: str) -> str:
    """One of the languages that write Han characters in forms of their own."""
    language = han_language(value)
    if language is None:
        raise ValueError(f"{value!r} must be zh-CN, zh-TW, zh-HK, ja or ko")
    return language


def han_language(tag: str) -> str | None:
    """Which of zh-CN, zh-TW, zh-HK, ja and ko a language tag (BCP 47) means; None for others."""
    language, *subtags = tag.replace("_", "-").lower().split("-")
    if language in ("ja", "ko"):
        return language
    if language != "zh":
        return None
    if "hk" in subtags or "mo" in subtags:
        return "zh-HK"
    return "zh-TW" if "tw" in subtags or "hant" in subtags else "zh-CN"


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Network, ...], BeforeValidator(_split)]
#: Services whose APIs are served too.
CompatibleApi = Literal["gotenberg", "browserless", "cloudflare"]
CompatibleApis = Annotated[tuple[CompatibleApi, ...], BeforeValidator(_split)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_hosts)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_split)]
#: None when it is empty, as `POSTER_CHROME=` in a compose file.
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
Tokens = Annotated[tuple[Token, ...], BeforeValidator(_tokens)]
SigningKeys = Annotated[tuple[SigningKey, ...], BeforeValidator(_signing_keys)]
WebhookSecrets = Annotated[tuple[WebhookSecret, ...], BeforeValidator(_webhook_secrets)]
#: Times to wait before the first and each further attempt, in seconds.
RetrySeconds = Annotated[
    tuple[Annotated[int, Field(ge=0, le=604_800)], ...],
    Field(min_length=1, max_length=20),
    BeforeValidator(_split),
]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
StorageUrl = Annotated[str, AfterValidator(_storage_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
ChromeUser = Annotated[str, AfterValidator(_user)]
Language = Annotated[str, AfterValidator(_language)]
