"""What is rendered: a page, or a template with data; one of several frozen kinds.

Over HTTP a source has no object of its own: its fields stand beside the options. `kind` tells the
kinds apart, and is the name of the field without which there is no source of that kind. A new kind
is one more class in `Source` and `KINDS`, and one more case in `JobBuilder`, which turns it into
HTML.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from yarl import URL

from poster_service.errors import Fault
from poster_service.origins import origin_of
from poster_service.render.declaration import Option, OptionGroup, option_of
from poster_service.render.json_schema import NULL, Json, listed, plain_schema
from poster_service.render.markdown_page import MAX_MARKDOWN

#: Longest address of a page, in characters.
MAX_URL = 8_000
#: No white space, no control characters.
NO_SPACES = r"^[^\x00-\x20\x7f]+$"


class Html(OptionGroup):
    """The page itself."""

    kind: ClassVar = "html"

    html: Annotated[
        str,
        Field(min_length=1),
        Option(
            "The page as HTML. A request has one of `html`, `template`, `url` and `markdown`.",
            allowed="a string that is not empty",
            is_content=True,
        ),
    ]

    @property
    def label(self) -> str:
        """What the log calls it."""
        return "html"


class Template(OptionGroup):
    """A template by its name, with the data that it is filled with."""

    kind: ClassVar = "template"

    template: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$"),
        Option(
            "Name of a template, as in GET /templates.",
            allowed="the name of a template, see GET /templates",
        ),
    ]
    data: Annotated[
        dict[str, Any] | None,
        Option(
            "Data of the template, valid by its schema.",
            allowed="an object that fits the template's schema",
            is_content=True,
        ),
    ] = None

    @property
    def label(self) -> str:
        """What the log calls it."""
        return self.template


class Markdown(OptionGroup):
    """A text in Markdown."""

    kind: ClassVar = "markdown"

    markdown: Annotated[
        str,
        Field(min_length=1, max_length=MAX_MARKDOWN),
        Option(
            "A page in Markdown (CommonMark, tables, strikethrough), with a plain style sheet."
            " HTML inside stays HTML.",
            allowed=f"a string of up to {MAX_MARKDOWN} characters that is not empty",
            is_content=True,
        ),
    ]

    @property
    def label(self) -> str:
        """What the log calls it."""
        return "markdown"


def _http_address(url: str) -> str:
    """An address that a page can be loaded from, if it is one; its host in ASCII.

    Raises:
        ValueError: With what is wrong; its text is for the caller, and does not show the address.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https"):
        raise ValueError("is not an http or https address")
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError("has a user or password in it; use credentials")
    if not authority or authority.startswith(":"):
        raise ValueError("has no host")
    if not authority.isascii():
        url = f"{scheme}://{_ascii(authority)}{rest.removeprefix(authority)}"
    if not origin_of(url):
        raise ValueError("is not an http or https address")
    return url


def _ascii(authority: str) -> str:
    """Host and port of an address as the network knows them (RFC 5891, UTS #46).

    What a browser would do with `bücher.example`, done before the policy looks at the host.

    Raises:
        ValueError: It is not a name of a host.
    """
    try:
        return URL(f"http://{authority}").raw_authority
    except ValueError:
        raise ValueError("has a host that is not a domain name") from None


class Url(OptionGroup):
    """A page on the web."""

    kind: ClassVar = "url"

    url: Annotated[
        Annotated[str, Field(max_length=MAX_URL, pattern=NO_SPACES), AfterValidator(_http_address)],
        Option(
            "Address of a page on the web. It is loaded at that address, redirects are followed,"
            " and the network policy applies to each of them.",
            allowed=f"an http or https address of up to {MAX_URL} characters",
            is_content=True,
        ),
    ]

    @property
    def label(self) -> str:
        """What the log calls it."""
        return "url"


Source = Html | Template | Url | Markdown
Kind = type[Html] | type[Template] | type[Url] | type[Markdown]
KINDS: tuple[Kind, ...] = (Html, Template, Url, Markdown)
#: The fields of all kinds, by which a body of options says what its source is.
SOURCE_FIELDS = tuple(name for kind in KINDS for name in kind.model_fields)
_NEEDED = listed([kind.kind for kind in KINDS], "or")


def kind_of(given: Mapping[str, object]) -> Kind | Fault:
    """The kind of source that is given; a fault if it is not exactly one. Null is not given."""
    found = [kind for kind in KINDS if given.get(kind.kind) is not None]
    if len(found) == 1:
        return found[0]
    several = " and ".join(kind.kind for kind in found)
    message = f"{several} are given together" if found else "the source is missing"
    return Fault(KINDS[0].kind, message, f"exactly one of {_NEEDED}")


def misplaced(given: Mapping[str, object], kind: type[OptionGroup]) -> Iterator[Fault]:
    """A fault for each field given that belongs to another kind of source."""
    for other in KINDS:
        for name in other.model_fields:
            if name not in kind.model_fields and given.get(name) is not None:
                yield Fault(
                    name, f"has no meaning without {other.kind}", f"nothing, or {other.kind}"
                )


def source_schema() -> Json:
    """JSON Schema of the fields of all kinds, each of which may be null, and their rule."""
    properties: Json = {}
    rules = []
    for kind in KINDS:
        own = plain_schema(kind)["properties"]
        for name, schema in own.items():
            description = option_of(kind.model_fields[name]).text()
            plain = {key: value for key, value in schema.items() if key != "description"}
            kinds = plain.get("anyOf", [plain, NULL])
            properties[name] = {"anyOf": kinds, "default": None, "description": description}
        others = [name for name in SOURCE_FIELDS if name not in own]
        not_null = {kind.kind: {"not": NULL}}
        rules.append({
            "required": [kind.kind],
            "properties": not_null | dict.fromkeys(others, NULL),
        })  # fmt: skip
    return {"properties": properties, "oneOf": rules}
