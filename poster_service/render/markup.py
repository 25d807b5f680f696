"""Templates: found once at the start, their data checked against the schema, rendered by Jinja2.

Jinja2 runs in its sandbox with autoescape always on. A template is a folder with `poster.html`,
`schema.json` (JSON Schema 2020-12; its `x-poster` gives the poster's size), `sample.json`, and
whatever assets the page refers to by relative address.
"""

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segno
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from markupsafe import Markup

from poster_service.browser.capture import MAX_SIDE
from poster_service.errors import Fault, InvalidData, PageFailed, TemplatesBroken, UnknownTemplate
from poster_service.render.places import check_places

PAGE = "poster.html"
#: Values in a template's data, counted at every level. Checking takes some 20 us for each, in the
#: event loop: 4,000,000 in a body of 16 MiB would hold up everybody for a minute.
MAX_VALUES = 10_000
#: Faults looked for; of those the first 20 by place are told.
MAX_FAULTS = 200


@dataclass(frozen=True)
class Template:
    """One template folder, read and checked.

    Attributes:
        name: The folder's name, by which callers ask for it.
        folder: Where its assets are.
        schema: JSON Schema of its data.
        sample: Data that fits it.
        width: Its own width in CSS pixels, None when it has no opinion.
        height: Likewise.
    """

    name: str
    folder: Path
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]
    width: int | None
    height: int | None

    def public(self) -> dict[str, Any]:
        """What GET /templates tells of it."""
        about = self.schema.get("x-poster", {})
        return {
            "name": self.name,
            "title": about.get("title", self.name),
            "description": about.get("description", ""),
            "width": self.width,
            "height": self.height,
            "schema": self.schema,
            "sample": self.sample,
        }


class Templates:
    """All templates of one folder; reading them again takes a restart."""

    def __init__(self, folder: Path, max_values: int = MAX_VALUES) -> None:
        """Read and check every template.

        Args:
            folder: Where the template folders are.
            max_values: Values that a template's data may have, at every level together.

        Raises:
            TemplatesBroken: Naming the folder or file and what is wrong with it.
        """
        self._max_values = max_values
        self._templates = {one.name: one for one in map(_read, _folders(folder))}
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,  # all are loaded below; no render reads the disk for its template
        )
        self._environment.filters["qr_svg"] = qr_svg
        del self._environment.filters["safe"]  # data is text; nothing makes markup of it
        for name, template in self._templates.items():
            try:
                check_places(self._environment, (template.folder / PAGE).read_text("utf-8"))
                self._environment.get_template(f"{name}/{PAGE}")
                self.render(template, template.sample)
            except Exception as error:  # its own code, its encoding, a $ref that leads nowhere
                raise TemplatesBroken(f"{template.folder}: its sample fails: {error}") from error

    def list(self) -> list[dict[str, Any]]:
        """Every template as GET /templates tells it, by name."""
        return [self._templates[name].public() for name in sorted(self._templates)]

    def find(self, name: str) -> Template:
        """The template of that name.

        Raises:
            UnknownTemplate: Naming those there are.
        """
        if name not in self._templates:
            names = ", ".join(sorted(self._templates))
            raise UnknownTemplate.of(Fault("template", f"there is no template {name!r}", names))
        return self._templates[name]

    def render(self, template: Template, data: Mapping[str, Any]) -> str:
        """The page's HTML.

        Raises:
            InvalidData: The data does not fit the schema; a fault for each place.
            PageFailed: The template itself is at fault.
        """
        check(template, data, self._max_values)
        try:
            return self._environment.get_template(f"{template.name}/{PAGE}").render(data)
        except Exception as error:  # a template runs code: whatever that raises is its fault
            raise PageFailed(f"the template {template.name} cannot be rendered") from error


def check(template: Template, data: Mapping[str, Any], max_values: int = MAX_VALUES) -> None:
    """Check data against a template's schema.

    Raises:
        InvalidData: With a fault for each place that does not fit.
    """
    if sum(1 for _ in itertools.islice(_values(data), max_values + 1)) > max_values:
        raise InvalidData.of(
            Fault("data", f"has more than {max_values} values", f"up to {max_values} values")
        )
    validator = _Validator(template.schema, format_checker=FormatChecker())
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


def qr_svg(link: str) -> Markup:
    """A QR code of `link` as inline SVG, quiet zone included; a Jinja2 filter.

    Error correction level M recovers 15 % (ISO/IEC 18004), enough for a picture that is sent on
    and compressed again.
    """
    code = segno.make(link, error="m", micro=False)
    return Markup(  # noqa: S704 - segno's own SVG, of modules only: no text of the link is in it
        code.svg_inline(
            border=4, omitsize=True, dark="#1a1a1a", light="#fff", svgclass="qr", lineclass=None
        )
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


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TemplatesBroken(f"POSTER_TEMPLATES={folder}: no such folder")
    return sorted(entry for entry in folder.iterdir() if (entry / PAGE).is_file())


def _read(folder: Path) -> Template:
    schema, sample = _json(folder / "schema.json"), _json(folder / "sample.json")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise TemplatesBroken(
            f"{folder / 'schema.json'}: no valid schema: {error.message}"
        ) from error
    about = schema.get("x-poster", {})
    sizes = [about.get(side) for side in ("width", "height")] if isinstance(about, dict) else [0]
    if not all(one is None or (type(one) is int and 1 <= one <= MAX_SIDE) for one in sizes):
        raise TemplatesBroken(
            f"{folder / 'schema.json'}: x-poster: an object whose width and height are whole"
            f" numbers from 1 to {MAX_SIDE}"
        )
    return Template(folder.name, folder, schema, sample, about.get("width"), about.get("height"))


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TemplatesBroken(f"{file}: cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise TemplatesBroken(f"{file}: must be a JSON object")
    return value
