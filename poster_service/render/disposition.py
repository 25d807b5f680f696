"""The Content-Disposition of an answer that is to be saved under a name (RFC 6266, RFC 8187)."""

import re
import unicodedata
from urllib.parse import quote

#: What may stand in the plain `filename` for every client (RFC 6266, appendix D): no quotes and
#: backslashes, no percent sign, which some clients decode.
_NOT_PLAIN = re.compile(r"[^ !#-$&-\[\]-~]")


def attachment(name: str) -> str:
    """The header's value: a name that a browser saves the answer under, instead of showing it.

    A client that does not know `filename*` gets the name in ASCII: letters without their accents,
    `_` for all else.
    """
    plain = _NOT_PLAIN.sub("_", unaccented(name))
    encoded = f"; filename*=UTF-8''{quote(name, safe='')}" if plain != name else ""
    return f'attachment; filename="{plain}"{encoded}'


def unaccented(text: str) -> str:
    """A text without the accents and other marks that combine with its letters."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(one for one in parts if not unicodedata.combining(one))
