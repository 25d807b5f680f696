"""Tokens and signing keys as their owner writes them, in a variable or in a file.

On the common floor because the settings check them. Nothing here tells a secret: faults name the
entry, `repr` shows the name only, and of a token no more than a digest is kept.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

#: Fewer can be guessed; `openssl rand -hex 32` gives 64.
LEAST_CHARACTERS = 16
HASHED = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
#: What may stand after "Bearer" (RFC 6750, section 2.1).
_SECRET = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Token:
    """A caller's bearer token.

    Attributes:
        name: Whose it is; told in the log. Two tokens of one name are one caller who rotates.
        in_clear: Whether its owner wrote the token itself, and not its digest.
    """

    name: str
    digest: bytes = field(repr=False)
    in_clear: bool


@dataclass(frozen=True)
class SigningKey:
    """A key that signs addresses; its name stands in them, so that keys rotate."""

    name: str
    secret: bytes = field(repr=False)
    in_clear: bool = True


Credential = TypeVar("Credential", Token, SigningKey)
Make = Callable[[str, str], Credential]


def token(name: str, text: str) -> Token:
    """One token, given as it is or as `sha256:` and the hexadecimal digest of it.

    Raises:
        ValueError: Saying what is wrong, and never the token.
    """
    _check_name(name)
    if text.startswith(HASHED):
        digest = text.removeprefix(HASHED).lower()
        if not _DIGEST.match(digest):
            raise ValueError(f"{name}: after {HASHED} there must be 64 hexadecimal digits")
        return Token(name, bytes.fromhex(digest), in_clear=False)
    _check_secret(name, text)
    return Token(name, hashlib.sha256(text.encode()).digest(), in_clear=True)


def signing_key(name: str, text: str) -> SigningKey:
    """One signing key; it is needed itself, so no digest of it will do.

    Raises:
        ValueError: Saying what is wrong, and never the key.
    """
    _check_name(name)
    _check_secret(name, text)
    return SigningKey(name, text.encode())


def from_pairs(text: str, make: Make[Credential]) -> tuple[Credential, ...]:
    """Credentials from `name=secret,name2=secret2`.

    Raises:
        ValueError: Naming the entry.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(_made(enumerate(parts, 1), "entry", "=", make))


def from_lines(text: str, make: Make[Credential]) -> tuple[Credential, ...]:
    """Credentials from lines of `name secret`; `#` begins a comment line.

    Raises:
        ValueError: Naming the line.
    """
    lines = ((at, line.strip()) for at, line in enumerate(text.splitlines(), 1))
    kept = ((at, line) for at, line in lines if line and not line.startswith("#"))
    return tuple(_made(kept, "line", None, make))


def owner_of(tokens: Iterable[Token], given: str) -> str | None:
    """The name of whoever has this token; in the same time whichever it is, or none."""
    digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    found = None
    for one in tokens:  # all of them, or the time would tell which one it was
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
    if not _NAME.match(name):  # not told: who swaps the two has written the secret here
        raise ValueError("the name must be up to 64 of A-Z a-z 0-9 . _ -")


def _check_secret(name: str, text: str) -> None:
    if len(text) < LEAST_CHARACTERS:
        raise ValueError(f"{name}: must have at least {LEAST_CHARACTERS} characters")
    if not _SECRET.match(text):
        raise ValueError(f"{name}: only A-Z a-z 0-9 . _ ~ + / - and = at the end may be in it")
