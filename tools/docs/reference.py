"""Tables of what the code declares: options of a render, settings, error codes, metrics."""

import ast
import itertools
from pathlib import Path

import poster_service
from poster_service import errors
from poster_service.problems import TABLE
from poster_service.render.formats import CONTENT_TYPES
from poster_service.render.json_schema import listed
from poster_service.render.option_list import Row as OptionRow
from poster_service.render.option_list import options_table
from poster_service.render.options import RenderOptions
from poster_service.render.source import KINDS
from poster_service.settings.describe import Row
from poster_service.settings.describe import rows as setting_rows
from poster_service.web.compat.gotenberg import fields
from tools.docs.markdown import code, either, size, table

PACKAGE = Path(poster_service.__file__).parent
LOW_AND_HIGH = 2
#: What ends a metric's exposed name, by the function that declares it.
COUNTERS = ("counter", "counters", "Counter", "CounterMetricFamily")


def options() -> str:
    """The sources and options of a render, from the declarations that check them."""
    found = [row for group in (*KINDS, RenderOptions) for row in options_table(group)]
    rows = [
        [code(row.name), _words(row.allowed), _words(row.default), _about(row)] for row in found
    ]
    return table(["option", "values", "default", "meaning"], rows)


def _words(text: str) -> str:
    """Words of a declaration, as they stand in a cell."""
    return text.replace("|", "\\|").replace("*", "\\*")


def _about(row: OptionRow) -> str:
    """The description, and the formats if the option has no meaning in the others."""
    only = (
        "" if len(row.formats) == len(CONTENT_TYPES) else f" Only for {listed(row.formats, 'and')}."
    )
    return row.description + only


def settings() -> str:
    """Every setting, in a table for each group, from the model that checks them."""
    parts = []
    for group, found in itertools.groupby(setting_rows(), lambda row: row.group):
        rows = [[code(row.variable), _default(row), _allowed(row), _meaning(row)] for row in found]
        parts.append(f"### {group}\n\n{table(['variable', 'default', 'allowed', 'meaning'], rows)}")
    return "\n".join(parts)


def _default(row: Row) -> str:
    if row.computed:
        return "computed"
    if row.unit == "bytes" and row.default.isdigit() and int(row.default):
        return f"{row.default} ({size(int(row.default))})"
    return code(row.default) if row.default else "none"


def _allowed(row: Row) -> str:
    if " | " in row.type:
        return either(row.type.split(" | "))
    numbers = [] if row.unit != "bytes" else [int(one) for one in _numbers(row.bounds)]
    bounds = " to ".join(map(size, numbers)) if len(numbers) == LOW_AND_HIGH else row.bounds
    return f"{row.type}, {bounds}" if bounds else row.type


def _numbers(bounds: str) -> list[str]:
    """The two numbers of "1,024 to 4,096"; none of another text."""
    found = bounds.replace(",", "").split(" to ")
    return found if all(one.isdigit() for one in found) else []


def _meaning(row: Row) -> str:
    secret = "" if row.flag else " A secret: it has no flag and is never shown."
    return row.description.replace("*", "\\*") + secret


def gotenberg_fields() -> str:
    """The fields of Gotenberg's forms, from the tables that read them."""
    routes = (("all", fields.COMMON), ("screenshot", fields.SCREENSHOT), ("convert", fields.PDF))
    rows = [
        [code(name), where, code(one.shown) if one.shown else "", one.about]
        for where, known in routes
        for name, one in known.items()
    ]
    return table(["field", "routes", "default", "meaning"], rows)


def error_codes() -> str:
    """Every error a caller can get: its status, its code, its title."""
    found: dict[tuple[int, str], str] = {}
    kinds: list[type[errors.PosterError]] = [errors.OperatorError]
    for branch in (errors.CallerError, errors.LoadError, errors.RenderFailed, errors.JobFailed):
        kinds += _leaves(branch)
    for kind in kinds:
        status, title = next(TABLE[base] for base in kind.__mro__ if base in TABLE)
        found[status, kind.code] = title
    rows = [[str(status), code(name), title] for (status, name), title in sorted(found.items())]
    return table(["status", "`code`", "title"], rows)


def _leaves(kind: type[errors.PosterError]) -> list[type[errors.PosterError]]:
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in _leaves(one)] if below else [kind]


#: How names of metrics begin: ours, and one of OpenTelemetry's conventions.
PREFIXES = ("poster_", "http_server_")


def metrics() -> str:
    """Every metric: its exposed name and its HELP text.

    Read from the source, because many of them exist only in a service that runs: each call whose
    first two arguments are a name that begins with one of PREFIXES and a text declares one.
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
            name.startswith(PREFIXES) and " " in about
        ):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            function = call.func.id if isinstance(call.func, ast.Name) else function
            return name + ("_total" if function in COUNTERS else ""), about
    return None
