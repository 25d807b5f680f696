"""Everything that can be found wrong with a template without Chrome, for its author.

The service refuses a template that it cannot use (`template.Reader`). This looks further: at what
the page's policy would keep from having an effect, at files that are not there, and at fields that
callers send for nothing.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from jinja2 import Environment, TemplateSyntaxError, nodes

from poster_service.errors import OperatorError
from poster_service.render.folder import stamps_of
from poster_service.render.markup import environment
from poster_service.render.mistakes import Explainer, FaultyTemplate, Mistake, did_you_mean, paths
from poster_service.render.page_files import path_of
from poster_service.render.schema import MAX_VALUES
from poster_service.render.schema_lint import Note, lint, unknown_in_sample
from poster_service.render.template import (
    PAGE,
    SAMPLE,
    SCHEMA,
    Reader,
    Template,
    is_template,
    line_of,
)
from poster_service.render.template_lint import UnsafeTemplate, check_contexts
from poster_service.render.template_trials import trials
from poster_service.similar import nearest

#: Stands for a value that is not known before the render; a private-use character.
_HOLE = "\ue000"
#: Attributes whose address a page fetches, by element.
_FETCHED = {
    "link": "href", "img": "src", "script": "src", "source": "src", "video": "src", "audio": "src",
    "track": "src", "image": "href", "use": "href",
}  # fmt: skip
_CSS_ADDRESS = re.compile(
    r"url\(\s*(?P<quote>[\"']?)(?P<url>[^\"')]+)(?P=quote)\s*\)"
    r"|@import\s+(?P<mark>[\"'])(?P<import>[^\"']+)(?P=mark)"
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        severity: "error" where the service refuses the template or a part of it has no effect;
            "warning" where it works and is probably not what was meant.
        mistake: The file, the place and the remedy.
    """

    severity: Literal["error", "warning"]
    mistake: Mistake

    def public(self) -> dict[str, Any]:
        """As JSON."""
        one = self.mistake
        return {
            "severity": self.severity, "file": one.file, "line": one.line, "column": one.column,
            "message": one.what,
        }  # fmt: skip


def templates_in(folder: Path) -> list[Path]:
    """The template folders that a folder is, or has in it, sorted by name."""
    if is_template(dict.fromkeys(one.name for one in folder.iterdir() if one.is_file())):
        return [folder]
    inside = sorted(one for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
    return [one for one in inside if is_template(dict.fromkeys(f.name for f in one.iterdir()))]


def examine(folder: Path, max_values: int = MAX_VALUES) -> list[Finding]:
    """Everything wrong with the template in a folder; empty if it is fine.

    Raises:
        OperatorError: The folder cannot be read.
    """
    folder = folder.resolve()
    try:
        return _sorted(_Examination(folder, max_values).findings())
    except OSError as error:
        raise OperatorError(f"cannot read {folder}: {error.strerror}") from error


def _sorted(found: Iterator[Finding]) -> list[Finding]:
    order = {PAGE: 0, SCHEMA: 1}

    def key(one: Finding) -> tuple[int, str, int]:
        name = one.mistake.file.rpartition("/")[2]
        return order.get(name, 2), one.mistake.file, one.mistake.line or 0

    return sorted(dict.fromkeys(found), key=key)


class _Examination:
    """One template folder and what is known of it."""

    def __init__(self, folder: Path, max_values: int) -> None:
        self._folder, self._name = folder, folder.name
        self._environment = environment()
        self._reader = Reader(folder.parent, folder.name, self._environment, max_values)
        self._explainer = Explainer(
            folder.parent, folder.name, self._environment, self._reader.sources
        )
        self._files = stamps_of(folder)

    def findings(self) -> Iterator[Finding]:
        """Everything, in no order, and some of it maybe twice."""
        template: Template | None = None
        try:
            template = self._reader.read()
        except FaultyTemplate as faulty:
            yield from (Finding("error", one) for one in faulty.mistakes)
        yield from self._json()
        texts = dict(self._reader.sources.texts)
        for name, text in texts.items():
            try:
                self._environment.parse(text)
            except TemplateSyntaxError:
                continue  # reported with the rest
            if not name.endswith(f"{self._name}/{PAGE}"):
                yield from self._contexts(name, text)
            yield from self._markup(name, flattened(self._environment, text))
        yield from self._styles()
        if template is not None:
            yield from self._unused(template.schema, list(texts.values()))
            yield from self._other_data(template)

    def _json(self) -> Iterator[Finding]:
        """What the schema and the sample have in them without effect."""
        schema, sample = (self._reader.objects.get(name) for name in (SCHEMA, SAMPLE))
        if schema is not None:
            yield from (self._noted(SCHEMA, note) for note in lint(schema))
        if schema is not None and sample is not None:
            yield from (self._noted(SAMPLE, one) for one in unknown_in_sample(schema, sample))
        for name, places in self._reader.places.items():
            for path, line in places.twice:
                what = f"`{path[-1]}` is there twice, and the last one counts: remove one of them"
                yield Finding("error", Mistake(f"{self._name}/{name}", what, line))

    def _noted(self, file: str, note: Note) -> Finding:
        line = self._reader.places[file].line(note.path)
        return Finding(note.severity, Mistake(f"{self._name}/{file}", note.what, line))

    def _other_data(self, template: Template) -> Iterator[Finding]:
        """Where the page fails with other data than its sample, that the schema takes too."""
        known: set[tuple[str, int | None, str]] = set()
        for trial in trials(template.schema, template.sample):
            try:
                template.render_unchecked(trial.data)
            except Exception as error:  # a template runs code, which may raise anything
                mistake = self._explainer.of(error, template.schema)
                if (place := (mistake.file, mistake.line, mistake.what)) not in known:
                    known.add(place)
                    what = f"{trial.what}: {mistake.what}"
                    yield Finding("error", replace(mistake, what=what))

    def _contexts(self, name: str, text: str) -> Iterator[Finding]:
        """Data in an include where it would be code; the page's own were looked at already."""
        try:
            check_contexts(self._environment, text)
        except UnsafeTemplate as unsafe:
            mistake = self._explainer.of(unsafe, {})
            yield Finding("error", Mistake(name, mistake.what, mistake.line))

    def _markup(self, name: str, text: str) -> Iterator[Finding]:
        """What the policy forbids, and files that are not there, in a page or an include."""
        parser = _Markup()
        parser.feed(text)
        parser.close()
        for line, what in parser.forbidden:
            yield Finding("error", Mistake(name, what, line))
        for line, address in parser.addresses:
            if what := self._address(address, ""):
                yield Finding("error", Mistake(name, what, line))

    def _styles(self) -> Iterator[Finding]:
        """Files that style sheets name and that are not there."""
        for name in self._files:
            if not name.endswith(".css"):
                continue
            text = (self._folder / name).read_text("utf-8", errors="replace")
            text = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
            for found in _CSS_ADDRESS.finditer(text):
                address = found["url"] or found["import"]
                if what := self._address(address.strip(), posixpath.dirname(name)):
                    line = text.count("\n", 0, found.start()) + 1
                    yield Finding("error", Mistake(f"{self._name}/{name}", what, line))

    def _address(self, address: str, base: str) -> str:
        """What is wrong with an address in a file of the folder; "" if nothing is."""
        if not address or address.startswith("#") or _HOLE in address:
            return ""
        scheme = urlsplit(address).scheme.lower()
        if scheme in ("https", "data"):
            return ""
        if scheme or address.startswith("//"):
            return f"`{address[:80]}` is refused: write https:, or put the file into the folder"
        path = posixpath.normpath(posixpath.join(base, path_of(address)))
        if address.startswith("/") or "\\" in address or path.startswith("../"):
            return self._outside(address, base)
        if path in self._files:
            return ""
        own = path.removeprefix(f"{self._name}/")
        hint = f"; did you mean `{own}`?" if own in self._files else did_you_mean(path, self._files)
        return f"there is no file `{path[:80]}` in the folder{hint}"

    def _outside(self, address: str, base: str) -> str:
        """What is wrong with an address that is not relative, or leads out of the folder."""
        path = posixpath.normpath(path_of(address).replace("\\", "/")).lstrip("/")
        while path.startswith("../"):
            path = path.removeprefix("../")
        path = path.removeprefix(f"{self._name}/")
        of = "style sheet's" if base else "template's"
        rule = f"paths are relative to the {of} folder"
        near = path if path in self._files else nearest(path, self._files)
        if near is None:
            return f"`{address[:80]}` leaves the folder: {rule}; put the file into the template's"
        own = posixpath.relpath(near, base or ".")
        hint = f"; write `{own}`" if near == path else f"; did you mean `{own}`?"
        return f"`{address[:80]}` leaves the folder: {rule}{hint}"

    def _unused(self, schema: Mapping[str, Any], texts: list[str]) -> Iterator[Finding]:
        """Fields of the schema that no page names."""
        used: set[str] = set()
        for text in texts:
            tree = self._environment.parse(text)
            if any(one.name == "tojson" for one in tree.find_all(nodes.Filter)):
                return  # a script may use all of it
            used |= {one.name for one in tree.find_all(nodes.Name)}
            used |= {one.attr for one in tree.find_all(nodes.Getattr)}
            used |= {str(one.value) for one in tree.find_all(nodes.Const)}
        if used & {"items", "values"} & {one.attr for t in texts for one in self._attributes(t)}:
            return
        source = (self._folder / SCHEMA).read_text("utf-8-sig", errors="replace")
        for path in dict.fromkeys(paths(schema)):
            if (name := path.rpartition(".")[2]) not in used:
                what = f"the page never uses `{path}`: use it, or remove it from the schema"
                place = Mistake(f"{self._name}/{SCHEMA}", what, line_of(source, name))
                yield Finding("warning", place)

    def _attributes(self, text: str) -> Iterator[nodes.Getattr]:
        """Methods that a page calls."""
        for one in self._environment.parse(text).find_all(nodes.Call):
            if isinstance(one.node, nodes.Getattr):
                yield one.node


def flattened(environment: Environment, text: str) -> str:
    """A template's own text on the lines where it stands, with a placeholder for each value."""
    made: list[str] = []
    line = 1
    for at, kind, value in environment.lex(text):
        if kind not in ("data", "variable_begin"):
            continue
        made.append("\n" * (at - line))
        line = max(line, at)
        made.append(value if kind == "data" else _HOLE)
        line += value.count("\n") if kind == "data" else 0
    return "".join(made)


class _Markup(HTMLParser):
    """Collects the addresses of a page, and what its policy forbids, with their lines."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: list[tuple[int, str]] = []
        self.forbidden: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line, given = self.getpos()[0], dict(attrs)
        if (address := given.get(_FETCHED.get(tag, ""))) and self._is_fetched(tag, given):
            self.addresses.append((line, address))
        if tag == "style":
            self._forbid(line, "<style>", "move it to a file and link it")
        if tag == "script" and "src" not in given:
            self._forbid(line, "a script in the page", "move it to a file: <script src=...>")
        if tag in ("iframe", "object", "embed", "base"):
            self._forbid(line, f"<{tag}>", "remove it")
        for name in given:
            if name == "style":
                self._forbid(
                    line, "style=", "move it to a style sheet and give the element a class"
                )
            elif name.startswith("on"):
                self._forbid(line, f"{name}=", "move it to a script file: addEventListener")

    def _is_fetched(self, tag: str, given: Mapping[str, str | None]) -> bool:
        rel = (given.get("rel") or "").lower()
        return tag != "link" or "stylesheet" in rel or "icon" in rel or "preload" in rel

    def _forbid(self, line: int, what: str, remedy: str) -> None:
        said = f"{what} has no effect, the Content-Security-Policy forbids it: {remedy}"
        self.forbidden.append((line, said))
