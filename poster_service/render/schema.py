"""Data of a template: checked against the template's JSON Schema, within a bound of values."""

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from jsonschema_specifications import REGISTRY

from poster_service.errors import Fault, InvalidData

#: Values in a template's data, counted at every level. Checking takes some 20 us for each, in one
#: thread: 4,000,000 in a body of 16 MiB would take a minute.
MAX_VALUES = 10_000
#: Faults looked for; of those the first 20 by place are told.
MAX_FAULTS = 200


def check_data(
    schema: Mapping[str, Any], data: Mapping[str, Any], max_values: int = MAX_VALUES
) -> None:
    """Check data against a schema.

    Raises:
        InvalidData: With a fault for each place that does not fit.
    """
    if sum(1 for _ in itertools.islice(_values(data), max_values + 1)) > max_values:
        raise InvalidData.of(
            Fault("data", f"has more than {max_values} values", f"up to {max_values} values")
        )
    # The registry has JSON Schema's own schemas; for any other `$ref` nothing is fetched.
    validator = _Validator(schema, format_checker=FormatChecker(), registry=REGISTRY)
    errors = itertools.islice(validator.iter_errors(data), MAX_FAULTS)
    found = sorted(errors, key=lambda error: [str(p) for p in error.path])
    if found:
        raise InvalidData.of(*map(_fault, found[:20]))


def _values(data: object) -> Iterator[object]:
    """Every value at every level."""
    todo = [data]
    while todo:
        one = todo.pop()
        yield one
        if isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, list):
            todo += one


def _pattern(_: Any, pattern: str, value: object, __: Any) -> Iterator[ValidationError]:
    """`pattern` as JSON Schema has it: `$` is the end, and not the place before a last newline."""
    if isinstance(value, str) and not re.search(_python_pattern(pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


@functools.cache  # the patterns are those of the templates
def _python_pattern(pattern: str) -> str:
    r"""ECMA-262's `$` in Python's words: `\Z`, but where it is escaped or in a set."""

    def one(found: re.Match[str]) -> str:
        return r"\Z" if found[0] == "$" else found[0]

    return _PIECES.sub(one, pattern)


#: An escape, a set, or a `$`, whichever comes first.
_PIECES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def _unique(_: Any, wanted: bool, value: object, __: Any) -> Iterator[ValidationError]:
    """`uniqueItems` in linear time; jsonschema's own compares all with all of a mixed list."""
    if not wanted or not isinstance(value, list):
        return
    seen = {json.dumps(_plain(one), sort_keys=True) for one in value}
    if len(seen) < len(value):
        yield ValidationError("has the same item twice")


def _plain(one: object) -> object:
    """A value as JSON Schema compares it: 1.0 is 1, at every level."""
    if isinstance(one, Mapping):
        return {name: _plain(value) for name, value in one.items()}
    if isinstance(one, list):
        return [_plain(value) for value in one]
    return int(one) if isinstance(one, float) and one.is_integer() else one


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique}
)


def _fault(error: ValidationError) -> Fault:
    field = ".".join(["data", *(str(part) for part in error.absolute_path)])
    described = error.schema.get("description") if isinstance(error.schema, Mapping) else None
    message = error.message
    if len(message) > 200:  # jsonschema repeats the whole value, which may be a picture
        message = f"does not fit: {error.validator}"
    allowed = _rule(error)
    return Fault(field, message, f"{allowed}; {described}" if described else allowed)


def _rule(error: ValidationError) -> str:
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        return ", ".join(error.schema.get("properties", {}))
    return f"{error.validator} {json.dumps(error.validator_value, ensure_ascii=False)[:200]}"
