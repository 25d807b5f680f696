"""The values of Gotenberg's form fields as it reads them: from text, in Go's spellings.

Each function returns the value, or raises ValueError with a sentence for the caller.
"""

import json
import math
import re
from typing import Any

from poster_service.errors import CallerError
from poster_service.strict_json import check_complexity
from poster_service.web.bodies import BodyLimits

#: CSS pixels to an inch, which is the unit of a length without one.
PIXELS_PER_INCH = 96
#: CSS pixels to each unit of a length.
UNITS = {"pt": 96 / 72, "px": 1.0, "in": 96.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "pc": 16.0}
#: Milliseconds to each unit of a duration.
DURATIONS = {
    "ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6,
}  # fmt: skip
TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?"
)
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(?:ns|us|µs|μs|ms|s|m|h)")
#: Longest text of a number or a duration.
MAX_CHARACTERS = 60


def boolean(text: str) -> bool:
    """True or false, as strconv.ParseBool reads them."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError("it is neither true nor false")


def whole(text: str) -> int:
    """A whole number."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("it is not a whole number")
    return int(text)


def number(text: str) -> float:
    """A number that is finite."""
    found = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(found):
        raise ValueError("it is not a number")
    return found


def length(text: str) -> float:
    """A length in CSS pixels: in inches, or with a unit."""
    unit = text[-2:] if text[-2:] in UNITS else ""
    try:
        return number(text.removesuffix(unit)) * UNITS[unit or "in"]
    except ValueError:
        units = ", ".join(UNITS)
        raise ValueError(f"it is not a length: a number of inches, or with {units}") from None


def milliseconds(text: str) -> int:
    """A duration as time.ParseDuration reads it, in whole milliseconds; a negative one is none."""
    sign, rest = (text[0], text[1:]) if text[:1] in "+-" else ("", text)
    parts = _DURATION.findall(rest) if len(text) <= MAX_CHARACTERS else []
    if rest == "0":
        return 0
    if not parts or "".join(parts) != rest:
        raise ValueError('it is not a duration like "500ms", "2.5s" or "1m30s"')
    total = sum(_milliseconds(part) for part in parts)
    return 0 if sign == "-" else math.ceil(total)


def _milliseconds(part: str) -> float:
    unit = next(one for one in ("ns", "us", "µs", "μs", "ms", "s", "m", "h") if part.endswith(one))
    return float(part.removesuffix(unit)) * DURATIONS[unit]


def parsed(text: str, limits: BodyLimits) -> Any:
    """A value from JSON, no more complex than a body may be."""
    try:
        raw = text.encode()
        check_complexity(raw, limits.max_depth, limits.max_items)
        return json.loads(text, parse_constant=_no_constant)
    except CallerError as error:
        raise ValueError("it is JSON that is too complex") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error


def strings(value: Any) -> dict[str, str]:
    """An object of texts."""
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError("it is not a JSON object whose values are strings")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
