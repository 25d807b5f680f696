"""JSON Schema as pydantic makes it of declared options: in one piece, and in words."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from pydantic import BaseModel

Json = dict[str, Any]
NULL: Json = {"type": "null"}
_OF_ITEMS = {"minLength": "minItems", "maxLength": "maxItems"}


def plain_schema(model: type[BaseModel]) -> Json:
    """The schema of a model in one piece: references replaced by what they refer to, no titles.

    A copy of the caller's own, who may change it.
    """
    made: Json = orjson.loads(_plain_schema_text(model))
    return made


@cache
def _plain_schema_text(model: type[BaseModel]) -> bytes:
    """Made once: pydantic takes 30 ms for all options; the OpenAPI document has them 64 times."""
    schema = model.model_json_schema()
    return orjson.dumps(_inlined(schema, schema.pop("$defs", {})))


def _inlined(value: Any, shared: Json) -> Any:
    if isinstance(value, list):
        return [_inlined(one, shared) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        beside = {name: one for name, one in value.items() if name != "$ref"}
        return _inlined({**shared[value["$ref"].rpartition("/")[2]], **beside}, shared)
    if value.get("type") == "array":
        # What pydantic (2.14) makes of a length of `Items`, for the validator before its tuple.
        value = {_OF_ITEMS.get(name, name): one for name, one in value.items()}
    # "title" as a property of an object is an option of that name, and stays.
    return {
        name: _inlined(one, shared)
        for name, one in value.items()
        if name != "title" or isinstance(one, dict)
    }


def present(schema: Json) -> Json:
    """The schema of an option that is given: what it says beside null."""
    kinds = [one for one in schema.get("anyOf", ()) if one != NULL]
    if not kinds:
        return schema
    beside = {name: one for name, one in schema.items() if name != "anyOf"}
    return {**beside, **kinds[0]} if len(kinds) == 1 else {**beside, "anyOf": kinds}


def branches(schema: Json) -> Sequence[Json]:
    """The kinds of value that a schema takes."""
    found: Sequence[Json] = schema.get("anyOf", (schema,))
    return found


def listed(words: Sequence[str], last: str) -> str:
    """Words as a list in a sentence: "png, jpeg or webp"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def value_words(value: object) -> str:
    """A constant as a caller would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def type_words(schema: Json) -> str:
    """The type of a value in a word or two."""
    if "enum" in schema or "const" in schema:
        return "one of a list"
    names = {"integer": "whole number", "array": "list"}
    name = str(schema.get("type", "any"))
    return names.get(name, name)


def allowed_words(schema: Json, unit: str = "") -> str:
    """The values that a schema takes, in words."""
    if "anyOf" in schema:
        return listed([allowed_words(one, unit) for one in schema["anyOf"]], "or")
    if "enum" in schema or "const" in schema:
        return listed([value_words(one) for one in schema.get("enum", [schema.get("const")])], "or")
    kind = schema.get("type")
    if kind == "boolean":
        return "true or false"
    if kind in ("integer", "number"):
        of = f" of {unit}" if unit else ""
        return f"a {'whole number' if kind == 'integer' else 'number'}{of}{_range(schema)}"
    if kind == "object":
        names = list(schema.get("properties", ()))
        return f"an object of {listed(names, 'and')}" if names else "an object of names and values"
    if kind == "array":
        most = f" of up to {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list{most}, each {allowed_words(schema.get('items', {}), unit)}"
    return _text_words(schema) if kind == "string" else "any value"


def _range(schema: Json) -> str:
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    words = "" if lowest is None else f" from {_number(lowest)}"
    if "exclusiveMinimum" in schema:
        words = f" above {_number(schema['exclusiveMinimum'])}"
    return words if highest is None else f"{words} {'to' if words else 'up to'} {_number(highest)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _text_words(schema: Json) -> str:
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    most = f" of up to {schema['maxLength']} characters" if "maxLength" in schema else ""
    return f"text{most}{', not empty' if schema.get('minLength') else ''}"
