"""Every setting in words: for `--help`, and as rows from which the docs' table is generated."""

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import annotated_types
from pydantic.fields import FieldInfo

from poster_service.settings.fields import GROUP
from poster_service.settings.model import Settings
from poster_service.settings.names import SECRETS, flag_of, variable_of

#: Unit by the end of a setting's name.
UNITS = {
    "_ms": "ms",
    "_seconds": "s",
    "_bytes": "bytes",
    "_mib": "MiB",
    "_pixels": "pixels",
    "_per_minute": "1/min",
}
TYPES: dict[object, str] = {
    bool: "boolean", int: "integer", float: "number", str: "text", Path: "path", tuple: "list",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One setting.

    Attributes:
        flag: None for a secret, which has no flag.
        type: `integer`, `number`, `boolean`, `text`, `path`, `list`, or the values allowed.
        unit: Empty for what has none, or counts things.
        default: As text; empty for none.
        computed: Whether the default depends on the machine; its description then says on what.
        bounds: `1 to 64`, or empty.
    """

    name: str
    variable: str
    flag: str | None
    type: str
    unit: str
    default: str
    computed: bool
    bounds: str
    description: str
    group: str


def rows() -> Iterator[Row]:
    """All settings, in the order of their groups."""
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        yield Row(
            name=name,
            variable=variable_of(name),
            flag=None if name in SECRETS else flag_of(name),
            type=_type(field.annotation),
            unit=next((unit for end, unit in UNITS.items() if name.endswith(end)), ""),
            default=_default(field),
            computed=field.default_factory is not None,
            bounds=_bounds(field),
            description=field.description or "",
            group=str(extra[GROUP]) if isinstance(extra, dict) else "",
        )


def describe(row: Row) -> str:
    """One entry of `--help`: meaning, variable, default, bounds."""
    bounds = f"; {row.bounds}" if row.bounds else ""
    text = f"{row.description} [{row.variable}; default: {row.default or 'none'}{bounds}]"
    return text.replace("%", "%%")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _bounds(field: FieldInfo) -> str:
    """The numbers allowed, as words."""
    low = high = ""
    for constraint in field.metadata:
        if isinstance(constraint, annotated_types.Ge):
            low = f"{constraint.ge:,}"
        elif isinstance(constraint, annotated_types.Gt):
            low = f"more than {constraint.gt:,}"
        elif isinstance(constraint, annotated_types.Le):
            high = f"{constraint.le:,}"
    return f"{low} to {high}" if high else low


def _type(annotation: Any) -> str:
    """A type as an operator calls it."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return " | ".join(typing.get_args(annotation))
    if origin is typing.Annotated:
        return _type(typing.get_args(annotation)[0])
    if origin in (types.UnionType, typing.Union):  # X | None
        return _type(next(one for one in typing.get_args(annotation) if one is not type(None)))
    return TYPES[origin or annotation]
