"""Parses tokens, signing keys and secrets of webhooks, from a variable or a file.

A module at the bottom because the settings check them. Nothing here reveals a secret: faults name
the entry, `repr` shows the name only, and of a token only the digest is stored.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

#: A shorter secret can be guessed; `openssl rand -hex 32` gives 64 characters.
LEAST_CHARACTERS = 16
HASHED = "sha256:"
#: How a secret of webhooks begins, and how long its key may be, in bytes (Standard Webhooks 1.0.0).
WEBHOOK_PREFIX, WEBHOOK_BYTES = "whsec_", range(24, 65)
#: In place of a caller's name: the secrets of every caller that has none of its own.
ALL = "all"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
#: What may stand after "Bearer" (RFC 6750, section 2.1).
_SECRET = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Token:
    """A caller's bearer token.

    Attributes:
        name: The caller's name, which is logged. Two tokens of one name are one caller who rotates.
        in_clear: Whether the token itself was given, and not its digest.
    """

    name: str
    digest: bytes = field(repr=False)
    in_clear: bool


@dataclass(frozen=True)
class SigningKey:
    """A key that signs URLs; they contain its name, so that keys can rotate."""

    name: str
    secret: bytes = field(repr=False)
    in_clear: bool = True


@dataclass(frozen=True)
class WebhookSecret:
    """A secret that signs what is sent to the webhooks of a caller; several sign side by side."""

    name: str
    key: bytes = field(repr=False)
    in_clear: bool = True


Credential = TypeVar("Credential", Token, SigningKey, WebhookSecret)
Make = Callable[[str, str], Credential]


def token(name: str, text: str) -> Token:
    """A token, from its text or from `sha256:` and its hexadecimal digest.

    Raises:
        ValueError: Says what is wrong, without the token.
    """
    _check_name(name)
    if text.startswith(HASHED):
        digest = text.removeprefix(HASHED).lower()
        if not _DIGEST.match(digest):
            raise ValueError(f"{name}: must have 64 hexadecimal digits after {HASHED}")
        return Token(name, bytes.fromhex(digest), in_clear=False)
    _check_secret(name, text)
    return Token(name, hashlib.sha256(text.encode()).digest(), in_clear=True)


def signing_key(name: str, text: str) -> SigningKey:
    """A signing key, from its text; a digest would not do, since the key itself signs.

    Raises:
        ValueError: Says what is wrong, without the key.
    """
    _check_name(name)
    _check_secret(name, text)
    return SigningKey(name, text.encode())


def webhook_secret(name: str, text: str) -> WebhookSecret:
    """A secret of webhooks, from `whsec_` and the base64 of its bytes.

    Raises:
        ValueError: Says what is wrong, without the secret.
    """
    _check_name(name)
    form = f"{WEBHOOK_PREFIX} and the base64 of {WEBHOOK_BYTES[0]} to {WEBHOOK_BYTES[-1]} bytes"
    try:
        key = base64.b64decode(text.removeprefix(WEBHOOK_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name}: must be {form}") from None
    if not text.startswith(WEBHOOK_PREFIX) or len(key) not in WEBHOOK_BYTES:
        raise ValueError(f"{name}: must be {form}")
    return WebhookSecret(name, key)


def secrets_of(secrets: Iterable[WebhookSecret], caller: str) -> tuple[bytes, ...]:
    """The keys that sign for a caller: its own, else those of `ALL`; empty if there are none."""
    found = tuple(secrets)
    own = tuple(one.key for one in found if caller and one.name == caller)
    return own or tuple(one.key for one in found if one.name == ALL)


def from_pairs(text: str, make: Make[Credential]) -> tuple[Credential, ...]:
    """Credentials from `name=secret,name2=secret2`.

    Raises:
        ValueError: Names the entry.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(_made(enumerate(parts, 1), "entry", "=", make))


def from_lines(text: str, make: Make[Credential]) -> tuple[Credential, ...]:
    """Credentials from lines of `name secret`; `#` begins a comment line.

    Raises:
        ValueError: Names the line.
    """
    lines = ((at, line.strip()) for at, line in enumerate(text.splitlines(), 1))
    kept = ((at, line) for at, line in lines if line and not line.startswith("#"))
    return tuple(_made(kept, "line", None, make))


def owner_of(tokens: Iterable[Token], given: str) -> str | None:
    """The name of the caller with this token; takes the same time for every token and for none."""
    digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    found = None
    for one in tokens:  # all of them, or the time would reveal which one it is
        if hmac.compare_digest(one.digest, digest):
            found = one.name
    return found


def _made(
    entries: Iterable[tuple[int, str]], what: str, between: str | None, make: Make[Credential]
) -> Iterator[Credential]:
    for at, entry in entries:
        words = entry.split(between, 1)
        if len(words) != 2:
            form = "name=secret" if between else "name secret"
            raise ValueError(f"{what} {at}: must be {form}")
        try:
            yield make(words[0].strip(), words[1].strip())
        except ValueError as error:
            raise ValueError(f"{what} {at}: {error}") from None


def _check_name(name: str) -> None:
    if not _NAME.match(name):  # not shown: if the two are swapped, it is the secret
        raise ValueError("the name must be up to 64 of A-Z a-z 0-9 . _ -")


def _check_secret(name: str, text: str) -> None:
    if len(text) < LEAST_CHARACTERS:
        raise ValueError(f"{name}: must have at least {LEAST_CHARACTERS} characters")
    if not _SECRET.match(text):
        raise ValueError(f"{name}: must consist of A-Z a-z 0-9 . _ ~ + / - and = at the end")
