"""What is decided of each request of a page: groups of `RenderOptions`.

What the page may not load, what the caller answers itself, and which headers are sent along. None
of them opens what the network policy denies, nor do they concern the page itself: its own document
is always loaded from where it is. Headers are secrets: no error text shows a value.
"""

import base64
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field

from poster_service.fetch.expressions import MAX_CHARACTERS, check_all, check_expression
from poster_service.fetch.http_cache import HOP_BY_HOP
from poster_service.quoting import quoted
from poster_service.render.declaration import Items, Option, OptionGroup
from poster_service.render.network_options import (
    HEADER_VALUE,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    TOKEN,
    Headers,
)

MAX_PATTERNS, MAX_EXPRESSIONS, MAX_RESPONSES, MAX_SCOPES = 50, 50, 20, 64
#: Bytes of the bodies of all responses of a page.
MAX_RESPONSE_BYTES = 256 << 10

ResourceType = Literal[
    "document", "stylesheet", "image", "media", "font", "script", "xhr", "fetch", "websocket",
    "prefetch", "ping", "other",
]  # fmt: skip
RESOURCE_TYPES: tuple[str, ...] = get_args(ResourceType)

Pattern = Annotated[str, Field(min_length=1, max_length=1_000)]
Expression = Annotated[
    str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(check_expression)
]
EXPRESSION_WORDS = f"a regular expression of RE2, up to {MAX_CHARACTERS} characters"
EXPRESSIONS_WORDS = (
    f"a list of up to {MAX_EXPRESSIONS} regular expressions of RE2, each of up to {MAX_CHARACTERS}"
    " characters"
)


def _small(given: tuple[str, ...]) -> tuple[str, ...]:
    """The expressions, if they are not too large together.

    Raises:
        ValueError: They are; the text is for the caller.
    """
    check_all(given)
    return given


Expressions = Annotated[
    Items[Expression], Field(max_length=MAX_EXPRESSIONS), AfterValidator(_small)
]
Patterns = Annotated[Items[Pattern], Field(max_length=MAX_PATTERNS)]
Types = Annotated[Items[ResourceType], Field(max_length=len(RESOURCE_TYPES))]


class Block(OptionGroup):
    """What a page may not load: what one of these names."""

    types: Annotated[
        Types,
        Option(
            "Types of resources. `document` is that of a frame; the page itself is always loaded."
            " `xhr` and `fetch` are equivalent: data that scripts request."
        ),
    ] = ()
    patterns: Annotated[
        Patterns,
        Option(
            "Patterns that match whole addresses; `*` stands for any characters:"
            " `*://ads.example/*`."
        ),
    ] = ()
    expressions: Annotated[
        Expressions,
        Option(
            "The same as regular expressions, which may match any part of an address:"
            r" `^https?://ads\.`.",
            allowed=EXPRESSIONS_WORDS,
        ),
    ] = ()


class Allow(OptionGroup):
    """All that a page may load: what is of a kind and at an address that these name."""

    at_least_one: ClassVar = ("types", "patterns", "expressions")

    types: Annotated[
        Types,
        Option("Types of resources, as in `block.types`; all types if it is empty."),
    ] = ()
    patterns: Annotated[
        Patterns,
        Option("Addresses, as in `block.patterns`."),
    ] = ()
    expressions: Annotated[
        Expressions,
        Option(
            "Regular expressions, as in `block.expressions`. If this or `allow.patterns` is set,"
            " an address must match at least one entry of the two lists.",
            allowed=EXPRESSIONS_WORDS,
        ),
    ] = ()


def _response_headers(given: dict[str, str]) -> dict[str, str]:
    """Headers of a response, if all may be sent to a page.

    Raises:
        ValueError: One may not be; the text is for the caller.
    """
    if len(given) > MAX_HEADERS:
        raise ValueError(f"has more than {MAX_HEADERS} headers")
    if sum(len(name) + len(value) + 4 for name, value in given.items()) > MAX_HEADER_BYTES:
        raise ValueError(f"has more than {MAX_HEADER_BYTES} bytes")
    for name, value in given.items():
        if not TOKEN.fullmatch(name):
            raise ValueError(f'"{quoted(name)}" is not a header name')
        if name.lower() in HOP_BY_HOP:
            raise ValueError(f"{name} cannot be set")
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} is not printable ASCII")
    return given


class CannedResponse(OptionGroup):
    """What a page gets for some of its requests instead of what is there."""

    expression: Annotated[
        Expression,
        Option(
            "Addresses that get this response: those of which the expression matches any part."
            " The first response that matches is used.",
            allowed=EXPRESSION_WORDS,
        ),
    ]
    status: Annotated[int, Field(ge=200, le=599), Option("HTTP status.")] = 200
    headers: Annotated[
        Annotated[dict[str, str], AfterValidator(_response_headers)],
        Option(
            "Its headers.",
            allowed=f"up to {MAX_HEADERS} names and values of {MAX_HEADER_BYTES} bytes in all,"
            " without those of the connection",
        ),
    ] = Field(default_factory=dict)
    content_type: Annotated[
        Annotated[str, Field(max_length=200, pattern=r"^[!-~]+([ ]+[!-~]+)*$")] | None,
        Option("Its media type.", allowed="a media type like image/svg+xml"),
    ] = None
    body: Annotated[
        str, Option("Its body, as text or in base64 according to `encoding`.", is_content=True)
    ] = ""
    encoding: Annotated[
        Literal["text", "base64"],
        Option("Encoding of `body`: text, which is sent in UTF-8, or base64."),
    ] = "text"

    def content(self) -> bytes:
        """The bytes of its body.

        Raises:
            ValueError: It is not base64 (RFC 4648, 4).
        """
        if self.encoding == "text":
            return self.body.encode()
        return base64.b64decode(self.body, validate=True)


def _fitting(given: tuple[CannedResponse, ...]) -> tuple[CannedResponse, ...]:
    """The responses, if their bodies and expressions are not too large.

    Raises:
        ValueError: They are, or a body is not as its encoding says; the text is for the caller.
    """
    for place, one in enumerate(given):
        try:
            one.content()
        except ValueError as error:
            raise ValueError(f"the body of response {place} is not base64") from error
    size = sum(len(one.body.encode()) for one in given)
    if size > MAX_RESPONSE_BYTES:
        raise ValueError(f"bodies have {size} bytes together")
    check_all([one.expression for one in given])
    return given


Responses = Annotated[
    Items[CannedResponse], Field(max_length=MAX_RESPONSES), AfterValidator(_fitting)
]
RESPONSES_WORDS = (
    f"a list of up to {MAX_RESPONSES}; bodies up to {MAX_RESPONSE_BYTES >> 10} kB together"
)


class ScopedHeaders(OptionGroup):
    """Headers for the addresses that an expression matches."""

    expression: Annotated[
        Expression,
        Option(
            "Addresses that get the headers. It may match any part of an address, so begin it"
            r" with the origin: `^https://api\.example/`.",
            allowed=EXPRESSION_WORDS,
        ),
    ]
    headers: Annotated[
        Headers,
        Field(min_length=1),
        Option(
            "The headers.",
            allowed=f"1 to {MAX_HEADERS} names and values, as in `headers`",
            is_content=True,
        ),
    ]


def _small_scopes(given: tuple[ScopedHeaders, ...]) -> tuple[ScopedHeaders, ...]:
    """The scopes, if their expressions are not too large together.

    Raises:
        ValueError: They are; the text is for the caller.
    """
    check_all([one.expression for one in given])
    return given


Scopes = Annotated[
    Items[ScopedHeaders], Field(max_length=MAX_SCOPES), AfterValidator(_small_scopes)
]
