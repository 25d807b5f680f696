"""Where a result is stored instead of being answered: groups of `RenderOptions`."""

import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from poster_service.quoting import quoted
from poster_service.render.declaration import Option, OptionGroup
from poster_service.render.network_options import Headers

#: Characters of an object's name; object stores allow 1,024 bytes, and a prefix stands before it.
MAX_NAME = 512
#: A week, the most that S3 signs an address for, in seconds.
MAX_URL_SECONDS = 604_800
#: What may stand for something of the result in a name.
PLACEHOLDERS = ("digest", "extension", "output", "date")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9_.=@-][A-Za-z0-9_.=@/-]*")


def check_object_name(given: str, *, placeholders: Sequence[str] = PLACEHOLDERS) -> str:
    """A name of an object, with placeholders, if each object store takes it.

    Args:
        given: The name.
        placeholders: Which it may have.

    Raises:
        ValueError: It is not; its text is for the caller.
    """
    for name in _PLACEHOLDER.findall(given):
        if name not in placeholders:
            raise ValueError(f'has an unknown placeholder "{quoted(name)}"')
    plain = _PLACEHOLDER.sub("x", given)
    steps = plain.split("/")
    if not _NAME.fullmatch(plain) or any(step in ("", ".", "..") for step in steps):
        raise ValueError(f'"{quoted(given)}" is not an object name')
    return given


def sendable(address: str) -> str:
    """The address, if something can be sent there.

    Raises:
        ValueError: It cannot; the text is for the caller, without the address: it is a secret.
    """
    try:
        split = urlsplit(address)
        is_web = split.scheme in ("http", "https") and bool(split.hostname)
    except ValueError:
        is_web = False
    if not is_web:
        raise ValueError("is not an http or https address")
    if split.username is not None or split.password is not None:
        raise ValueError("has a user or a password; use headers")
    return address


class ObjectOptions(OptionGroup):
    """How a stored result is named and served."""

    name: Annotated[
        Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(check_object_name)]
        | None,
        Option(
            "Its name in the caller's own folder; `{digest}`, `{extension}`, `{output}` and"
            " `{date}` stand for the SHA-256 of the bytes, the format, the output's name and the"
            " date in UTC. An existing object of that name is replaced.",
            allowed="a path of letters, digits and _.=@- with / between its parts",
            default="the digest of bytes and headers, and the format, shared by all callers",
        ),
    ] = None
    cache_control: Annotated[
        Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+( [!-~]+)*$")] | None,
        Option(
            "Cache-Control with which the object store serves it.",
            allowed="up to 200 characters of printable ASCII",
            default="a year if the name has the digest, else none",
        ),
    ] = None
    url_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_URL_SECONDS)] | None,
        Option(
            "How long a presigned address of it is valid.",
            unit="seconds",
            default="POSTER_STORAGE_URL_SECONDS",
        ),
    ] = None


class Destination(OptionGroup):
    """An address of the caller's own to which the result is sent."""

    url: Annotated[
        str,
        Field(min_length=1, max_length=8_000),
        AfterValidator(sendable),
        Option(
            "Address that accepts the result by PUT, such as a presigned one. The network policy"
            " applies to it.",
            allowed="an address by http or https",
            is_content=True,
        ),
    ]
    headers: Annotated[
        Headers,
        Option(
            "Headers sent with it, in addition to Content-Type and Content-Length.",
            allowed="names and values, except those of the connection",
            is_content=True,
        ),
    ] = Field(default_factory=dict)
