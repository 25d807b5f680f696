"""One template: read from its folder, checked as a whole, and proved with its own sample.

A template is a folder with `poster.html`, `schema.json` (JSON Schema 2020-12; its `x-poster` gives
the poster's size), `sample.json`, and whatever assets the page refers to by relative address.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import Environment, TemplateNotFound, nodes
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from poster_service.browser.types import MAX_SIDE
from poster_service.errors import Fault, InvalidData, InvalidField, PageFailed
from poster_service.render.folder import Snapshot, snapshot
from poster_service.render.mistakes import (
    Explainer,
    FaultyTemplate,
    Mistake,
    Sources,
    meant,
    pointed,
    read_text,
)
from poster_service.render.page_files import MEDIA_TYPES
from poster_service.render.request import Asset
from poster_service.render.schema import check_data
from poster_service.render.template_lint import check_contexts

PAGE, SCHEMA, SAMPLE = FILES = "poster.html", "schema.json", "sample.json"
#: By which callers ask for a template; its folder has the same name.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")
#: What a page is called elsewhere.
OTHER_PAGES = ("index.html", "index.htm", "poster.htm", "template.html", "page.html")


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
        files: Its files as they were when it was read.
    """

    name: str
    folder: Path
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]
    width: int | None
    height: int | None
    files: Snapshot = field(default_factory=lambda: Snapshot({}, ""), repr=False)
    _page: jinja2.Template | None = field(default=None, repr=False, compare=False)
    _explainer: Explainer | None = field(default=None, repr=False, compare=False)

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

    def render(self, data: Mapping[str, Any], max_values: int) -> str:
        """The page's HTML.

        Raises:
            InvalidData: The data does not fit the schema; a fault for each place.
            PageFailed: The template itself is at fault; names file, line and variable.
        """
        try:
            check_data(self.schema, data, max_values)
            return self.paint(data)
        except InvalidData:
            raise
        except Exception as error:  # a template runs code: whatever that raises is its fault
            mistake = self._explainer.of(error, self.schema) if self._explainer else ""
            raise PageFailed(f"the template {self.name} cannot be rendered: {mistake}") from error

    def paint(self, data: Mapping[str, Any]) -> str:
        """The page's HTML for data that was checked; raises whatever the template does."""
        assert self._page is not None, "made by hand"
        return self._page.render(data)


class Reader:
    """Reads one template folder; afterwards it knows what was read, also if that failed.

    Attributes:
        sources: Files that the page and its includes were read from.
    """

    def __init__(self, root: Path, name: str, environment: Environment, max_values: int) -> None:
        self._root, self._name, self._max_values = root, name, max_values
        self._folder = root / name
        self.sources = Sources(root)
        self._environment = environment.overlay(loader=self.sources)
        self._explainer = Explainer(root, name, self._environment, self.sources)
        self._mistakes: list[Mistake] = []

    def read(self) -> Template:
        """The template, rendered once with its sample to prove it.

        Raises:
            FaultyTemplate: With every mistake that was found.
        """
        files = snapshot(self._folder)  # before anything else: what changes later is seen
        self._check_names(files)
        schema, sample = self._json(SCHEMA, files), self._json(SAMPLE, files)
        about: Mapping[str, Any] = {} if schema is None else self._checked(schema)
        page = self._parsed(schema or {}) if PAGE in files.stamps else None
        self._stop_if_faulty()
        assert schema is not None
        assert sample is not None
        template = Template(
            self._name, self._folder, schema, sample, about.get("width"), about.get("height"),
            files, page, self._explainer,
        )  # fmt: skip
        self._prove(template)
        self._stop_if_faulty()
        return template

    def _stop_if_faulty(self) -> None:
        if self._mistakes:
            raise FaultyTemplate(*self._mistakes)

    def _note(
        self, file: str, what: str, line: int | None = None, column: int | None = None
    ) -> None:
        self._mistakes.append(Mistake(f"{self._name}/{file}", what, line, column))

    def _check_names(self, files: Snapshot) -> None:
        """The folder's own name, and those of the three files in it."""
        if not NAME.match(self._name):
            what = "is no name that a caller can ask for: use a-z, 0-9 and -, up to 64 of them"
            self._mistakes.append(Mistake(self._name, what))
        for wanted in FILES:
            if wanted not in files.stamps:
                self._note(wanted, "is missing" + _instead(wanted, files.stamps))

    def _json(self, name: str, files: Snapshot) -> dict[str, Any] | None:
        """A JSON object of a file; None after a mistake."""
        if name not in files.stamps:
            return None
        try:
            value = json.loads(read_text(self._folder / name, f"{self._name}/{name}"))
        except FaultyTemplate as faulty:
            self._mistakes += faulty.mistakes
            return None
        except json.JSONDecodeError as error:
            said = error.msg[:1].lower() + error.msg[1:]
            self._note(name, f"is not JSON: {said}", error.lineno, error.colno)
            return None
        except (ValueError, RecursionError) as error:
            self._note(name, f"is not JSON that can be read: {type(error).__name__}")
            return None
        if not isinstance(value, dict):
            self._note(name, f"must be a JSON object, and is {_kind(value)}")
            return None
        return value

    def _checked(self, schema: dict[str, Any]) -> Mapping[str, Any]:
        """The schema's `x-poster`, after all that can be said of the schema on its own."""
        text = (self._folder / SCHEMA).read_text("utf-8-sig", errors="replace")
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            place = ".".join(str(step) for step in error.absolute_path) or "the whole"
            self._note(SCHEMA, f"no valid JSON Schema: {place}: {error.message[:200]}")
        for reference in dict.fromkeys(_references(schema)):
            self._check_reference(schema, reference, text)
        about = schema.get("x-poster", {})
        line = _line_of(text, "x-poster")
        if not isinstance(about, dict):
            what = f"x-poster: must be an object with width and height, and is {_kind(about)}"
            self._note(SCHEMA, what, line)
            return {}
        for side in ("width", "height"):
            one = about.get(side)
            if one is not None and not (type(one) is int and 1 <= one <= MAX_SIDE):
                shown = json.dumps(one, ensure_ascii=False)[:40]
                what = (
                    f"x-poster: {side} is {shown}; a whole number from 1 to {MAX_SIDE} is allowed"
                )
                self._note(SCHEMA, what, line)
        return about

    def _check_reference(self, schema: object, reference: str, text: str) -> None:
        """A `$ref` must lead somewhere within the schema; nothing is fetched for it."""
        line = _line_of(text, reference)
        if not reference.startswith("#"):
            is_known = reference.startswith("https://json-schema.org/") or '"$id"' in text
            if not is_known:
                what = f"$ref `{reference[:100]}`: nothing is fetched; put it into this file"
                self._note(SCHEMA, what, line)
            return
        if reference.startswith("#/") and pointed(schema, reference) is None:
            known = [f"#/$defs/{one}" for one in _names(schema, "$defs")]
            what = f"$ref `{reference[:100]}` leads nowhere{meant(reference, known)}"
            self._note(SCHEMA, what, line)

    def _parsed(self, schema: Mapping[str, Any]) -> jinja2.Template | None:
        """The page and what it includes, compiled; None after a mistake."""
        name = f"{self._name}/{PAGE}"
        try:
            text = self.sources.get_source(self._environment, name)[0]
            check_contexts(self._environment, text)
            page = self._environment.get_template(name)
        except Exception as error:
            self._mistakes.append(self._explainer.of(error, schema))
            return None
        self._mistakes += self._included(name)
        return page

    def _included(self, name: str) -> Iterator[Mistake]:
        """Mistakes in all that a page names to include, be it in a branch that seldom runs."""
        todo, seen = [name], {name}
        while todo:
            at = todo.pop()
            for node, names in _named_in(self._environment.parse(self.sources.texts[at])):
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
                    todo.append(found)

    def _prove(self, template: Template) -> None:
        """Its sample must fit its schema, and give a page."""
        try:
            check_data(template.schema, template.sample, self._max_values)
        except InvalidData as error:
            for fault in error.faults:
                where = fault.field.removeprefix("data").removeprefix(".") or "the whole"
                self._note(SAMPLE, f"does not fit {SCHEMA}: {where}: {fault.message}")
            return
        except Exception as error:  # a reference that no look at the text finds
            self._note(SCHEMA, f"cannot be used: {str(error)[:200]}")
            return
        try:
            template.paint(template.sample)
        except Exception as error:
            self._mistakes.append(self._explainer.of(error, template.schema))


def check_files(template: Template, sent: Sequence[Asset]) -> None:
    """Refuse files that came with data and would never be seen.

    Raises:
        InvalidField: A file of the template has that name, or it is neither picture, video nor
            sound.
    """
    faults = []
    for one in sent:
        if one.name in template.files.stamps:
            faults.append(Fault(one.name[:100], "the template has a file of that name", "another"))
        elif not one.content_type.startswith(MEDIA_TYPES):
            said = f"is {one.content_type}; the page of a template shows only media of a caller's"
            faults.append(Fault(one.name[:100], said, "pictures, video and sound"))
    if faults:
        raise InvalidField.of(*faults[:20])


def is_template(files: Mapping[str, object]) -> bool:
    """Whether a folder is, or seems meant to be, a template: by its files."""
    lower = {name.lower() for name in files}
    return bool(lower & {*FILES, *OTHER_PAGES})


def _instead(wanted: str, there: Mapping[str, object]) -> str:
    """Which file of a folder is meant to be the one that is missing."""
    others = OTHER_PAGES if wanted == PAGE else ()
    for name in there:
        if name.lower() == wanted or name.lower() in others:
            return f": rename `{name}` to `{wanted}`"
    return "" if wanted == PAGE else f": a template has {PAGE}, {SCHEMA} and {SAMPLE}"


def _named_in(tree: nodes.Node) -> Iterator[tuple[nodes.Node, list[str]]]:
    """Each tag that names other templates by constants, and must find one of them."""
    kinds = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)
    for node in tree.find_all(kinds):
        if getattr(node, "ignore_missing", False):
            continue
        try:
            value = node.template.as_const()  # type: ignore[attr-defined]
        except nodes.Impossible:  # known when it runs
            continue
        names = [value] if isinstance(value, str) else list(value or ())
        if names and all(isinstance(one, str) for one in names):
            yield node, names


def _references(schema: object) -> Iterator[str]:
    """Every `$ref` of a schema; `const`, `enum` and the like hold values, and are left out."""
    todo = [schema]
    while todo:
        one = todo.pop()
        if isinstance(one, Mapping):
            if isinstance(one.get("$ref"), str):
                yield one["$ref"]
            values = ("const", "enum", "default", "examples", "x-poster")
            todo += [below for key, below in one.items() if key not in values]
        elif isinstance(one, list):
            todo += one


def _names(schema: object, of: str) -> list[str]:
    found = schema.get(of) if isinstance(schema, Mapping) else None
    return [str(one) for one in found] if isinstance(found, Mapping) else []


def _line_of(text: str, word: str) -> int | None:
    """The line of a JSON string in a file, None where it is not written so."""
    at = text.find(json.dumps(word, ensure_ascii=False))
    return None if at < 0 else text.count("\n", 0, at) + 1


def _kind(value: object) -> str:
    """A JSON value's type, as a part of a sentence."""
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a number")
