"""Lengths as CSS writes them, in CSS pixels: "2cm", "10mm", "1in", "72pt", "6pc", "96px", or 96."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from poster_service.browser.types import MAX_PDF_SIDE
from poster_service.quoting import quoted

#: CSS pixels to a unit (CSS Values and Units 4, section 6.2).
UNITS: Mapping[str, float] = {
    "": 1, "px": 1, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4, "pt": 96 / 72, "pc": 16,
}  # fmt: skip
#: The smallest side of a sheet: a tenth of an inch.
SHORTEST_SIDE = 9.6
LENGTH = r"^([0-9]{1,6}(\.[0-9]{0,6})?|\.[0-9]{1,6}) ?(px|in|cm|mm|pt|pc)?$"
_LENGTH = re.compile(LENGTH)
#: Lengths in words, for errors and docs.
LENGTH_WORDS = "2cm, 10mm, 1in, 72pt, 6pc, 96px, or a number of CSS pixels; up to 200in"
SIDE_WORDS = f"{LENGTH_WORDS}, at least 0.1in"


def css_pixels(given: object) -> object:
    """A length as text in CSS pixels; anything else as it is, for its type to be checked.

    Raises:
        ValueError: It is text and no length; the message is for the caller.
    """
    if not isinstance(given, str):
        return given
    found = _LENGTH.fullmatch(given) if len(given) <= 20 else None
    if found is None:
        raise ValueError(f'"{quoted(given)}" is not a length')
    return float(found[1]) * UNITS[found[3] or ""]


def _schema(lowest: float) -> WithJsonSchema:
    number = {"type": "number", "minimum": lowest, "maximum": MAX_PDF_SIDE}
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": LENGTH}]})


#: A margin: a float of CSS pixels once it is validated.
Length = Annotated[float, Field(ge=0, le=MAX_PDF_SIDE), BeforeValidator(css_pixels), _schema(0)]
#: A side of a sheet, likewise.
SideLength = Annotated[
    float,
    Field(ge=SHORTEST_SIDE, le=MAX_PDF_SIDE),
    BeforeValidator(css_pixels),
    _schema(SHORTEST_SIDE),
]
