"""The multipart form of a request: its fields and its files, these by their file names."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from aiohttp import hdrs, web

from poster_service.errors import Fault, UnsupportedMediaType
from poster_service.render.request import Asset
from poster_service.web import charsets, media_type
from poster_service.web.bodies import FORM_TYPE, read_parts
from poster_service.web.forms import Part
from poster_service.web.incoming import beside

#: Fields whose files Gotenberg's PDF engines take; no page gets them.
ENGINE_FIELDS = ("embeds", "watermark", "stamp", "facturxXml")


@dataclass(frozen=True)
class Form:
    """What was sent.

    Attributes:
        values: The first value of each field.
        files: Files by their names, without folders; of two with the same name the last one.
        fields: Names of the fields that files came in.
    """

    values: Mapping[str, str]
    files: Mapping[str, Part]
    fields: frozenset[str] = frozenset()

    async def texts(self, names: Iterable[str]) -> dict[str, str]:
        """Those of these files that are there as text, in their charsets.

        Raises:
            BadRequest: One is not in the charset that it names.
        """
        found = {}
        for name in names:
            if (part := self.files.get(name)) is not None:
                body = part.body
                found[name] = await beside(len(body), charsets.text_of, body, part.charset, name)
        return found

    def assets(self, without: Iterable[str], page: str = "") -> tuple[Asset, ...]:
        """The files that a page may load, sorted by name.

        Args:
            without: Names of files that are not for it.
            page: The name of the file in whose charset style sheets are that name none.
        """
        own = self.files.get(page)
        charset = charsets.label_of(own.body, own.charset) if own is not None else "utf-8"
        others = frozenset(without)
        names = sorted(name for name in self.files if name not in others)
        return tuple(self.files[name].asset(charset) for name in names)


async def read_form(request: web.Request) -> Form:
    """The form in the body of a request.

    Raises:
        UnsupportedMediaType: The body is no form.
        CallerError: It is too large, too slow or too complex, or a page of another origin sends it.
    """
    given = request.headers.getall(hdrs.CONTENT_TYPE, ())
    media = media_type.parse(given[0]) if len(given) == 1 else media_type.MediaType()
    if media.name != FORM_TYPE:
        raise UnsupportedMediaType.of(
            Fault("", "Invalid 'Content-Type' header value: want 'multipart/form-data'")
        )
    if not media.parameters.get("boundary"):
        raise UnsupportedMediaType.of(Fault("", "Invalid 'Content-Type' header value: no boundary"))
    return form_of(await read_parts(request, media))


def form_of(parts: Iterable[Part]) -> Form:
    """The form that has these parts.

    Raises:
        BadRequest: The value of a field is not UTF-8.
    """
    values: dict[str, str] = {}
    files: dict[str, Part] = {}
    fields = set()
    for part in parts:
        if part.filename is None:
            values.setdefault(part.field, part.text())
            continue
        fields.add(part.field)
        name = base_name(part.filename)
        if name not in ("", ".", "..") and part.field not in ENGINE_FIELDS:
            files[name] = replace(part, name=name)
    return Form(values, files, frozenset(fields))


def base_name(name: str) -> str:
    """A file name without folders, of both kinds, and without control characters, in NFC."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(one for one in last if one >= " " and one != "\x7f")
    return unicodedata.normalize("NFC", plain)
