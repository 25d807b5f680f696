"""JSON that came from outside: nesting and values are counted before a parser builds any.

Stricter than Python's parser: no NaN, no name twice in one object, no text that UTF-8 cannot
express.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from poster_service.errors import BadRequest, Fault, InvalidField, JsonTooComplex

_MARK = re.compile(rb'["\[{\]},]')
#: The inside of a string, up to its end or to that of the window. Possessive, so that no text makes
#: it read a byte twice.
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
#: Bytes that are searched in one call, which keeps the interpreter to itself.
WINDOW = 1 << 16


def parse(raw: bytes, max_depth: int, max_values: int) -> object:
    """A value from JSON that came from outside.

    A byte order mark before it is passed over (RFC 8259, 8.1).

    Raises:
        CallerError: It is not JSON, or too complex, or an object in it has a name twice.
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    check_complexity(raw, max_depth, max_values)
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_object
        )
        # A lone surrogate is legal in JSON and in no encoding that a page could have. Only an
        # escape can make one.
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest.of(Fault("", "the body is not UTF-8", "JSON in UTF-8")) from error
    except UnicodeEncodeError as error:
        raise BadRequest.of(
            Fault("", "the body has half of a surrogate pair", "JSON in UTF-8")
        ) from error
    except ValueError as error:
        raise BadRequest.of(Fault("", f"the body is not JSON: {error}", "JSON")) from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are unique: with two, parsers differ in which counts (RFC 8259, 4).

    Raises:
        InvalidField: With the name that is there twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InvalidField.of(Fault(twice, "is given more than once in one object", "once"))
    return made


def check_complexity(raw: bytes, max_depth: int, max_values: int) -> None:
    """Count nesting and values without building any; invalid JSON is left to the parser.

    Raises:
        JsonTooComplex: There is more of one than allowed.
    """
    # Nearly all bodies are simple, and large because of their page: counting bytes is enough.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= min(max_depth, max_values):
        return
    depth = items = strings = 0
    for byte in _marks(raw):
        if byte in b"[{,":
            items += 1
            depth += byte != 0x2C
        elif byte in b"]}":
            depth -= 1
            if depth < 0:  # not JSON, and the parser stops here too
                return
        else:
            strings += 1
            if strings > 2 * items + 2:  # side by side without a comma: the parser stops there too
                return
        if depth > max_depth:
            raise _too_complex("nested too deeply", f"up to {max_depth} levels")
        if items > max_values:
            raise _too_complex("of too many values", f"up to {max_values} values")


def _marks(raw: bytes) -> Iterator[int]:
    """The marks that give JSON its shape, and the first quote of each string; nothing inside."""
    at = 0
    while at < len(raw):
        found = _MARK.search(raw, at, at + WINDOW)
        if found is None:
            at += WINDOW
            continue
        yield raw[found.start()]
        at = found.end()
        if raw[found.start()] == 0x22:
            at = _end_of_string(raw, at)


def _end_of_string(raw: bytes, at: int) -> int:
    """Where the string ends whose inside begins at `at`; the end of `raw` if it does not end."""
    while at < len(raw):
        quote = raw.find(b'"', at, at + WINDOW)
        escape = raw.find(b"\\", at, at + WINDOW if quote < 0 else quote)
        if escape < 0:
            if quote >= 0:
                return quote + 1
            at += WINDOW
            continue
        # As far as the window goes; an escape on its edge is left whole for the next.
        found = _INSIDE.match(raw, escape, escape + WINDOW)
        assert found is not None
        at = max(found.end(), escape + 1 if escape + 1 == len(raw) else 0)
        if raw[at : at + 1] == b'"':
            return at + 1
    return len(raw)


def _too_complex(what: str, allowed: str) -> Exception:
    return JsonTooComplex.of(Fault("", f"the JSON is {what}", allowed))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
