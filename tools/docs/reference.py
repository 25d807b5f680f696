"""Tables of what the code declares: options of a render, settings, error codes, metrics."""

import ast
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from poster_service import errors
from poster_service.render.job import OPTIONS, RenderJob
from poster_service.settings import SECRETS, Settings, variable_of
from poster_service.web.problems import TABLE
from tools.docs.markdown import code, either, plain, size, table

PACKAGE = Path(errors.__file__).parent
#: Defaults that the machine decides, in words that hold on every machine.
COMPUTED = {
    "concurrency": "one per processor",
    "templates": "the templates that come with the service",
    "work_dir": "`poster-UID` in the temporary folder",
}
#: What ends a metric's exposed name, by the function that declares it.
COUNTERS = ("counter", "counters", "Counter", "CounterMetricFamily")


def options() -> str:
    """The options of a render, from the model that checks them."""
    schema = RenderJob.model_json_schema()
    shared = schema.get("$defs", {})
    rows = []
    for name in OPTIONS:
        found = schema["properties"][name]
        default = found.get("default")
        rows.append(
            [code(name), _values(found, shared), _json_default(default), found["description"]]
        )
    return table(["option", "values", "default", "meaning"], rows)


def _values(found: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    """What a property of a JSON Schema allows, in a few words."""
    if "anyOf" in found:
        kinds = [one for one in found["anyOf"] if one.get("type") != "null"]
        outer = {key: value for key, value in found.items() if key != "anyOf"}
        return " or ".join(_values({**outer, **one}, shared) for one in kinds)
    if "$ref" in found:
        return _values(shared[found["$ref"].rsplit("/", 1)[1]], shared)
    if "enum" in found:
        return either([str(value) for value in found["enum"]])
    if found.get("pattern") == "^(transparent|#[0-9a-fA-F]{6})$":
        return "`transparent` or `#rrggbb`"
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    kind = words.get(found["type"], str(found["type"]))
    return kind + _range(found.get("minimum"), found.get("maximum"))


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f", {plain(least)} to {plain(most)}"
    if least is not None:
        return f", at least {plain(least)}"
    return f", at most {plain(most)}" if most is not None else ""


def _json_default(default: object) -> str:
    if default is None:
        return ""
    return code(str(default).lower() if isinstance(default, bool) else default)


def settings() -> str:
    """Every setting, from the model that checks them."""
    rows = []
    for name, field in Settings.model_fields.items():
        meaning = field.description or ""
        if name in SECRETS:
            meaning += ". A secret: it has no flag and is never shown"
        rows.append(
            [code(variable_of(name)), _default(name, field), _allowed(name, field), meaning]
        )
    return table(["variable", "default", "allowed", "meaning"], rows)


def _default(name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return COMPUTED[name]
    default = field.default
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return code(int(default))
    if isinstance(default, int) and name.endswith("_bytes"):
        return f"{default} ({size(default)})" if default else "0"
    return code(plain(default)) if isinstance(default, int | float) else code(default)


def _allowed(name: str, field: FieldInfo) -> str:
    parts = [*_unwrapped(field.annotation), *field.metadata]
    parts += [bound for part in parts if isinstance(part, FieldInfo) for bound in part.metadata]
    literals = [value for part in parts if get_origin(part) is Literal for value in get_args(part)]
    if literals:
        return either(literals)
    if bool in parts:
        return "`0` or `1`"
    bounds: dict[str, float] = {}
    for part in parts:
        for sign, attribute in (("ge", "least"), ("gt", "above"), ("le", "most")):
            if isinstance(part, getattr(annotated_types, sign.capitalize())):
                bounds[attribute] = getattr(part, sign)
    least, most = bounds.get("least"), bounds.get("most")
    if "above" in bounds:
        return f"more than {plain(bounds['above'])}, up to {plain(most or 0)}"
    if least is not None and most is not None:
        if name.endswith("_bytes"):
            return f"{size(int(least)) if least else 0} to {size(int(most))}"
        return f"{plain(least)} to {plain(most)}"
    return "a list, with commas" if any(get_origin(part) is tuple for part in parts) else ""


def _unwrapped(annotation: Any) -> Iterator[Any]:
    """A type, and all that it consists of or is annotated with; lists are not looked into."""
    yield annotation
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return
    if origin in (Union, types.UnionType) or hasattr(annotation, "__metadata__"):
        yield from getattr(annotation, "__metadata__", ())
        for part in get_args(annotation):
            yield from _unwrapped(part)


def error_codes() -> str:
    """Every error a caller can get: its status, its code, its title."""
    found: dict[tuple[int, str], str] = {}
    kinds: list[type[errors.PosterError]] = [errors.OperatorError]
    for branch in (errors.CallerError, errors.LoadError, errors.RenderFailed):
        kinds += _leaves(branch)
    for kind in kinds:
        status, title = next(TABLE[base] for base in kind.__mro__ if base in TABLE)
        found[status, kind.code] = title
    rows = [[str(status), code(name), title] for (status, name), title in sorted(found.items())]
    return table(["status", "`code`", "title"], rows)


def _leaves(kind: type[errors.PosterError]) -> list[type[errors.PosterError]]:
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in _leaves(one)] if below else [kind]


def metrics() -> str:
    """Every metric: its exposed name and its HELP text.

    Read from the source, because many of them exist only in a service that runs: each call whose
    first two arguments are a name that begins with `poster_` and a text declares one.
    """
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and (metric := _metric(call)):
                found[metric[0]] = metric[1]
    return table(
        ["metric", "meaning"], [[code(name), about] for name, about in sorted(found.items())]
    )


def _metric(call: ast.Call) -> tuple[str, str] | None:
    match call.args[:2]:
        case [ast.Constant(value=str(name)), ast.Constant(value=str(about))] if (
            name.startswith("poster_") and " " in about
        ):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            function = call.func.id if isinstance(call.func, ast.Name) else function
            return name + ("_total" if function in COUNTERS else ""), about
    return None
