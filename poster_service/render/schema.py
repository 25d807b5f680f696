"""Checks a template's data against its JSON Schema, up to a number of values."""

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from jsonschema_specifications import REGISTRY

from poster_service.errors import Fault, InvalidData
from poster_service.render.data_formats import CHECKER
from poster_service.similar import did_you_mean

#: Values in a template's data, counted at every level. Checking takes about 20 us for each, in one
#: thread: 4,000,000 in a body of 16 MiB would take more than a minute.
MAX_VALUES = 10_000
#: Faults that are searched for; the response lists the first 20 of them, sorted by place.
MAX_FAULTS = 200


def check_data(
    schema: Mapping[str, Any], data: Mapping[str, Any], max_values: int = MAX_VALUES
) -> None:
    """Check data against a schema.

    Raises:
        InvalidData: With a fault for each invalid place.
    """
    if sum(1 for _ in itertools.islice(_values(data), max_values + 1)) > max_values:
        raise InvalidData.of(
            Fault("data", f"has more than {max_values} values", f"up to {max_values} values")
        )
    # The registry has JSON Schema's own schemas only; the service fetches no schema.
    validator = _Validator(schema, format_checker=CHECKER, registry=REGISTRY)
    errors = itertools.islice(validator.iter_errors(data), MAX_FAULTS)
    found = sorted(errors, key=lambda error: [str(p) for p in error.path])
    if found:
        raise InvalidData.of(*map(_fault, found[:20]))


def _values(data: object) -> Iterator[object]:
    """Every value at every level."""
    pending = [data]
    while pending:
        value = pending.pop()
        yield value
        if isinstance(value, Mapping):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _pattern(_: Any, pattern: str, value: object, __: Any) -> Iterator[ValidationError]:
    """`pattern` as JSON Schema defines it: `$` does not match before a trailing newline."""
    if isinstance(value, str) and not re.search(_python_pattern(pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


@functools.cache  # the patterns are those of the templates
def _python_pattern(pattern: str) -> str:
    r"""A pattern with `\Z`, Python's equivalent, for ECMA-262's `$`, unless escaped or in a set."""

    def translate(found: re.Match[str]) -> str:
        return r"\Z" if found[0] == "$" else found[0]

    return _TOKENS.sub(translate, pattern)


#: An escape, a set, or a `$`, the first of them.
_TOKENS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def _unique(_: Any, wanted: bool, value: object, __: Any) -> Iterator[ValidationError]:
    """`uniqueItems` in linear time; jsonschema's own takes quadratic time for a mixed list."""
    if not wanted or not isinstance(value, list):
        return
    seen = {json.dumps(_comparable(item), sort_keys=True) for item in value}
    if len(seen) < len(value):
        yield ValidationError("has the same item twice")


def _comparable(value: object) -> object:
    """A value as JSON Schema compares it: 1.0 equals 1, at every level."""
    if isinstance(value, Mapping):
        return {name: _comparable(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique}
)


def _fault(error: ValidationError) -> Fault:
    field = ".".join(["data", *(str(part) for part in error.absolute_path)])
    described = error.schema.get("description") if isinstance(error.schema, Mapping) else None
    message = error.message
    if len(message) > 200:  # jsonschema quotes the whole value, which may be an image
        message = f"is invalid by {error.validator}"
    message += _meant(error)
    allowed = _rule(error)
    return Fault(field, message, f"{allowed}; {described}" if described else allowed)


def _meant(error: ValidationError) -> str:
    """The end of a message about a name of an object that was probably meant to be another."""
    given, schema = error.instance, error.schema
    if not isinstance(given, Mapping) or not isinstance(schema, Mapping):
        return ""
    known = schema.get("properties", {})
    if error.validator == "additionalProperties":
        unknown = next((name for name in given if name not in known), None)
        return did_you_mean(unknown, known, "`") if unknown is not None else ""
    if error.validator == "required" and (found := _MISSING.match(error.message)):
        others = itertools.islice((name for name in given if name not in known), MAX_OTHERS)
        hint = did_you_mean(found[1], others, "`")
        return hint.replace("did you mean", "is it") if hint else ""
    return ""


#: A message of jsonschema, and the names among which a missing one is looked for.
_MISSING = re.compile(r"'(.*)' is a required property\Z", re.DOTALL)
MAX_OTHERS = 50


def _rule(error: ValidationError) -> str:
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        return ", ".join(error.schema.get("properties", {}))
    return f"{error.validator} {json.dumps(error.validator_value, ensure_ascii=False)[:200]}"
