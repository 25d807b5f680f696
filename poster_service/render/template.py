"""One template: read from its folder, checked as a whole, and test-rendered with its own sample.

A template is a folder with `poster.html`, `schema.json` (JSON Schema 2020-12; its `x-poster` gives
the poster's size), `sample.json`, and the assets that the page refers to by relative address.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import Environment, TemplateNotFound

from poster_service.errors import Fault, InvalidData, InvalidField, PageFailed
from poster_service.isolation import Isolation
from poster_service.render.about import faults_of, kind, sizes_of
from poster_service.render.folder import Snapshot, snapshot
from poster_service.render.json_places import Path as JsonPath
from poster_service.render.json_places import Places, places_of
from poster_service.render.mistakes import (
    Explainer,
    FaultyTemplate,
    Mistake,
    Sources,
    did_you_mean,
    read_text,
    resolve_pointer,
)
from poster_service.render.page_files import MEDIA_TYPES
from poster_service.render.request import Asset
from poster_service.render.schema import check_data
from poster_service.render.schema_lint import schema_faults
from poster_service.render.template_lint import check_contexts
from poster_service.render.template_syntax import constant_includes, depends_on_data_only
from poster_service.render.warm_fit import obstacle_among

PAGE, SCHEMA, SAMPLE = FILES = "poster.html", "schema.json", "sample.json"
#: A template's name in requests, which is that of its folder.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")
#: Names that pages have elsewhere; such a file was probably meant to be `poster.html`.
OTHER_PAGES = ("index.html", "index.htm", "poster.htm", "template.html", "page.html")


@dataclass(frozen=True)
class Template:
    """One template folder, read and checked.

    Attributes:
        name: The folder's name, by which requests name it.
        folder: Where its assets are.
        schema: JSON Schema of its data.
        sample: Data that is valid by the schema.
        width: Its width in CSS pixels; None where `x-poster` states none.
        height: Likewise.
        files: Its files as of when it was read.
        is_pure: Whether its page depends on nothing but its data.
        isolation: What its renders may share; None where `x-poster` does not say.
        obstacle: Why its renders cannot have a warm page; "" if they can.
        version: A number that no other template, and no other version of this one, has.
    """

    name: str
    folder: Path
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]
    width: int | None
    height: int | None
    files: Snapshot = field(default_factory=lambda: Snapshot({}, ""), repr=False)
    is_pure: bool = False
    isolation: Isolation | None = None
    obstacle: str = ""
    version: int = field(
        init=False, default_factory=itertools.count(1).__next__, repr=False, compare=False
    )
    _page: jinja2.Template | None = field(default=None, repr=False, compare=False)
    _explainer: Explainer | None = field(default=None, repr=False, compare=False)

    def public(self) -> dict[str, Any]:
        """Its entry in GET /templates."""
        about = self.schema.get("x-poster", {})
        return {
            "name": self.name,
            "title": about.get("title", self.name),
            "description": about.get("description", ""),
            "width": self.width,
            "height": self.height,
            "sizes": sizes_of(about),
            "version": self.version,
            "schema": self.schema,
            "sample": self.sample,
        }

    def render(self, data: Mapping[str, Any], max_values: int) -> str:
        """The page's HTML.

        Raises:
            InvalidData: The data is invalid by the schema; a fault for each place.
            PageFailed: The template has a mistake; the message names file, line and variable.
        """
        try:
            check_data(self.schema, data, max_values)
            return self.render_unchecked(data)
        except InvalidData:
            raise
        except Exception as error:  # a template runs code, which may raise anything
            mistake = self._explainer.of(error, self.schema) if self._explainer else ""
            raise PageFailed(f"the template {self.name} cannot be rendered: {mistake}") from error

    def render_unchecked(self, data: Mapping[str, Any]) -> str:
        """The page's HTML for data that was checked; raises anything that the template raises."""
        assert self._page is not None, "a template of tests, without a page"
        return self._page.render(data)


class Reader:
    """Reads one template folder.

    Attributes:
        sources: The files that the page and its includes were read from, also after a failure.
        objects: What the two JSON files have in them, by the file's name, as far as they are JSON.
        places: Where the values of them stand.
    """

    def __init__(self, root: Path, name: str, environment: Environment, max_values: int) -> None:
        self._root, self._name, self._max_values = root, name, max_values
        self._folder = root / name
        self.sources = Sources(root)
        self._environment = environment.overlay(loader=self.sources)
        self._explainer = Explainer(root, name, self._environment, self.sources)
        self._mistakes: list[Mistake] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.places: dict[str, Places] = {}
        self._is_pure = True

    def read(self) -> Template:
        """The template, after one test render with its sample.

        Raises:
            FaultyTemplate: With every mistake that was found.
        """
        files = snapshot(self._folder)  # first, so that a change during the reading is noticed
        self._check_names(files)
        schema, sample = self._json(SCHEMA, files), self._json(SAMPLE, files)
        about: Mapping[str, Any] = {} if schema is None else self._check_schema(schema)
        page = self._compile(schema or {}) if PAGE in files.stamps else None
        obstacle = self._find_obstacle(files, is_wanted=about.get("isolation") == "page")
        self._stop_if_faulty()
        assert schema is not None
        assert sample is not None
        template = Template(
            self._name, self._folder, schema, sample, about.get("width"), about.get("height"),
            files, self._is_pure, about.get("isolation"), obstacle, page, self._explainer,
        )  # fmt: skip
        self._test_render(template)
        self._stop_if_faulty()
        return template

    def _stop_if_faulty(self) -> None:
        if self._mistakes:
            raise FaultyTemplate(*self._mistakes)

    def _add(
        self, file: str, what: str, line: int | None = None, column: int | None = None
    ) -> None:
        self._mistakes.append(Mistake(f"{self._name}/{file}", what, line, column))

    def _check_names(self, files: Snapshot) -> None:
        """The folder's own name, and those of the three files in it."""
        if not NAME.match(self._name):
            what = "is not a valid template name: use a-z, 0-9 and -, up to 64 characters"
            self._mistakes.append(Mistake(self._name, what))
        for wanted in FILES:
            if wanted not in files.stamps:
                self._add(wanted, "is missing" + _rename_hint(wanted, files.stamps))

    def _json(self, name: str, files: Snapshot) -> dict[str, Any] | None:
        """The JSON object in a file; None after a mistake."""
        if name not in files.stamps:
            return None
        try:
            text = read_text(self._folder / name, f"{self._name}/{name}")
            value = json.loads(text)
        except FaultyTemplate as faulty:
            self._mistakes += faulty.mistakes
            return None
        except json.JSONDecodeError as error:
            message = error.msg[:1].lower() + error.msg[1:]
            self._add(name, f"is not valid JSON: {message}", error.lineno, error.colno)
            return None
        except (ValueError, RecursionError) as error:
            self._add(name, f"cannot be read as JSON: {type(error).__name__}")
            return None
        if not isinstance(value, dict):
            self._add(name, f"must be a JSON object, but is {kind(value)}")
            return None
        self.objects[name], self.places[name] = value, places_of(text)
        return value

    def _check_schema(self, schema: dict[str, Any]) -> Mapping[str, Any]:
        """Check the schema without any data, and return its `x-poster`."""
        text = (self._folder / SCHEMA).read_text("utf-8-sig", errors="replace")
        for fault in schema_faults(schema):
            self._add(SCHEMA, fault.what, self.places[SCHEMA].line(fault.path))
        for reference in dict.fromkeys(_references(schema)):
            self._check_reference(schema, reference, text)
        return self._check_about(schema, text)

    def _check_about(self, schema: dict[str, Any], text: str) -> Mapping[str, Any]:
        """Check `x-poster`, and return it; empty where it has a mistake."""
        about = schema.get("x-poster", {})
        faults = list(faults_of(about))
        for what in faults:
            self._add(SCHEMA, what, line_of(text, "x-poster"))
        return {} if faults else about

    def _find_obstacle(self, files: Snapshot, *, is_wanted: bool) -> str:
        """Why a warm page is impossible; a mistake where the template asks for one."""
        sheets = (
            (f"{self._name}/{name}", (self._folder / name).read_text("utf-8", errors="replace"))
            for name in files.stamps
            if name.endswith(".css")
        )
        name, why = obstacle_among(itertools.chain(self.sources.texts.items(), sheets))
        if why and is_wanted:
            what = f"{why}; remove it, or `isolation` from x-poster"
            self._mistakes.append(Mistake(name, what))
        return f"{name} {why}".strip()

    def _check_reference(self, schema: object, reference: str, text: str) -> None:
        """A `$ref` must point at a place within the schema; the service fetches nothing for it."""
        line = line_of(text, reference)
        if not reference.startswith("#"):
            is_known = reference.startswith("https://json-schema.org/") or '"$id"' in text
            if not is_known:
                what = (
                    f"$ref `{reference[:100]}` is outside this file, and the service fetches no"
                    " schemas; copy that schema into this file"
                )
                self._add(SCHEMA, what, line)
            return
        if reference.startswith("#/") and resolve_pointer(schema, reference) is None:
            known = [f"#/$defs/{name}" for name in _names(schema, "$defs")]
            hint = did_you_mean(reference, known)
            what = f"$ref `{reference[:100]}` points at nothing in this file{hint}"
            self._add(SCHEMA, what, line)

    def _compile(self, schema: Mapping[str, Any]) -> jinja2.Template | None:
        """Compile the page and its includes; None after a mistake in the page."""
        name = f"{self._name}/{PAGE}"
        try:
            text = self.sources.get_source(self._environment, name)[0]
            check_contexts(self._environment, text)
            page = self._environment.get_template(name)
        except Exception as error:
            self._mistakes.append(self._explainer.of(error, schema))
            return None
        self._mistakes += self._check_includes(name)
        return page

    def _check_includes(self, name: str) -> Iterator[Mistake]:
        """Mistakes in all files that a page may include, also in a branch that the sample skips."""
        pending, seen = [name], {name}
        while pending:
            at = pending.pop()
            tree = self._environment.parse(self.sources.texts[at])
            self._is_pure &= depends_on_data_only(tree)
            for node, names in constant_includes(tree):
                try:
                    found = self._environment.select_template(names).name or ""
                except TemplateNotFound as error:
                    yield self._explainer.missing(error, at, node.lineno)
                    continue
                except Exception as error:
                    yield self._explainer.of(error, {})
                    continue
                if found not in seen and found in self.sources.texts:
                    seen.add(found)
                    pending.append(found)

    def _test_render(self, template: Template) -> None:
        """Check the sample against the schema, and render the page with it."""
        try:
            check_data(template.schema, template.sample, self._max_values)
        except InvalidData as error:
            for fault in error.faults:
                where = fault.field.removeprefix("data").removeprefix(".") or "top level"
                path = _path_of(fault.field, template.sample)
                if found := _UNEXPECTED.search(fault.message):
                    path = (*path, found[1])
                line = self.places[SAMPLE].line(path)
                self._add(SAMPLE, f"is invalid by {SCHEMA}: {where}: {fault.message}", line)
            return
        except Exception as error:  # a reference that reading the text does not find
            self._add(SCHEMA, f"cannot be used: {str(error)[:200]}")
            return
        try:
            template.render_unchecked(template.sample)
        except Exception as error:
            self._mistakes.append(self._explainer.of(error, template.schema))


def check_files(template: Template, sent: Sequence[Asset]) -> None:
    """Refuse files of a caller that a template's page would never show.

    Raises:
        InvalidField: A file of the template has that name, or it is no image, video or audio.
    """
    faults = []
    for file in sent:
        if file.name in template.files.stamps:
            faults.append(
                Fault(file.name[:100], "the template has a file of that name", "another name")
            )
        elif not file.content_type.startswith(MEDIA_TYPES):
            message = f"is {file.content_type}; a template's page shows only media files of callers"
            faults.append(Fault(file.name[:100], message, "image/*, video/*, audio/*"))
    if faults:
        raise InvalidField.of(*faults[:20])


def is_template(files: Mapping[str, object]) -> bool:
    """Whether a folder is, or is probably meant to be, a template, by the names of its files."""
    lower = {name.lower() for name in files}
    return bool(lower & {*FILES, *OTHER_PAGES})


def _rename_hint(wanted: str, there: Mapping[str, object]) -> str:
    """A hint for a missing file: a file to rename, or what a template consists of."""
    others = OTHER_PAGES if wanted == PAGE else ()
    for name in there:
        if name.lower() == wanted or name.lower() in others:
            return f": rename `{name}` to `{wanted}`"
    return "" if wanted == PAGE else f": a template has {PAGE}, {SCHEMA} and {SAMPLE}"


def _path_of(field: str, data: object) -> JsonPath:
    """The path in a template's data that a fault's dotted name stands for."""
    path: list[str | int] = []
    for step in field.split(".")[1:]:
        known = step if isinstance(data, Mapping) else int(step) if step.isdecimal() else ""
        try:
            data = data[known]  # type: ignore[index]  # anything else is an error, as is meant
        except (LookupError, TypeError):
            break
        path.append(known)
    return tuple(path)


#: The name of a field that an object must not have, in a message of jsonschema.
_UNEXPECTED = re.compile(r"\('(.+?)'(?:, .+)? (?:was|were) unexpected\)")


def _references(schema: object) -> Iterator[str]:
    """Every `$ref` of a schema, but not in `const`, `enum` and others whose contents are values."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            values = ("const", "enum", "default", "examples", "x-poster")
            pending += [child for key, child in node.items() if key not in values]
        elif isinstance(node, list):
            pending += node


def _names(schema: object, of: str) -> list[str]:
    found = schema.get(of) if isinstance(schema, Mapping) else None
    return [str(name) for name in found] if isinstance(found, Mapping) else []


def line_of(text: str, string: str) -> int | None:
    """The line of a JSON string in a file; None where the file spells it with other escapes."""
    at = text.find(json.dumps(string, ensure_ascii=False))
    return None if at < 0 else text.count("\n", 0, at) + 1
