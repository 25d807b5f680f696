"""What is wrong with a template, in words: the file, the line, the variable, and what to do.

Read by the person who wrote the template and, when a render fails, by a caller. So the sentence
holds names out of the template and its schema, never a value of the data or a path of the machine;
what Python said, which may hold values, is for the operator only.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    Environment,
    TemplateNotFound,
    TemplatesNotFound,
    TemplateSyntaxError,
    UndefinedError,
    nodes,
)
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.loaders import split_template_path

from poster_service.render.folder import Stamp, stamp_of, stamps_of
from poster_service.render.template_lint import UnsafeTemplate, name_of

#: How many names are listed where none is near enough to be meant.
MOST_NAMES = 12
#: Files looked at for a name that may be meant.
MOST_FILES = 2_000


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with one file of a template.

    Attributes:
        file: Its path below the folder of all templates, as in `card/poster.html`.
        what: What is wrong and what to do, fit for a caller.
        line: Where, counted from 1; None where no line can be named.
        column: Likewise.
        detail: What Python said of it, for the operator; often empty.
    """

    file: str
    what: str
    line: int | None = None
    column: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        place = self.file
        place += f", line {self.line}" if self.line else ""
        place += f", column {self.column}" if self.line and self.column else ""
        return f"{place}: {self.what}"

    def whole(self) -> str:
        """All of it, for the operator."""
        return f"{self} ({self.detail})" if self.detail else str(self)


class FaultyTemplate(Exception):
    """A template cannot be used; carries every mistake that was found."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("; ".join(map(str, mistakes)))
        self.mistakes = mistakes


class Sources(BaseLoader):
    """Loads the files of one template, and what it includes, and remembers which those were.

    Attributes:
        stamps: Of every file asked for, by its path, also of those that are not there.
        texts: Source by the name that Jinja knows it by, as in `card/poster.html`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.stamps: dict[str, Stamp] = {}
        self.texts: dict[str, str] = {}

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        """As Jinja asks for it.

        Raises:
            TemplateNotFound: There is no such file below the folder of all templates.
            FaultyTemplate: It cannot be read as text.
        """
        file = self._root.joinpath(*split_template_path(template))
        self.stamps[str(file)] = stamp_of(file)  # before it is read: what changes later is seen
        if not file.is_file():
            raise TemplateNotFound(template)
        self.texts[template] = text = read_text(file, template)
        return text, self.filename(template), None

    def filename(self, template: str) -> str:
        """What Python calls the source in a traceback."""
        return str(self._root / template)


def read_text(file: Path, name: str) -> str:
    """A file's text, in UTF-8, a byte order mark left out.

    Raises:
        FaultyTemplate: It cannot be read, or is not UTF-8.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise FaultyTemplate(
            Mistake(name, f"cannot be read: {error.strerror}; make it readable for the service")
        ) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8 (byte 0x{raw[error.start]:02x}); save it in that encoding"
        raise FaultyTemplate(Mistake(name, what, line)) from error


class Explainer:
    """Turns what Jinja or Python raised for a template into a mistake with its place."""

    def __init__(self, root: Path, name: str, environment: Environment, sources: Sources) -> None:
        self._root, self._page = root, f"{name}/poster.html"
        self._name, self._environment, self._sources = name, environment, sources

    def of(self, error: Exception, schema: Mapping[str, Any]) -> Mistake:
        """The mistake behind an error; `schema` is of the data."""
        if isinstance(error, FaultyTemplate):
            return error.mistakes[0]
        if isinstance(error, UnsafeTemplate):
            return Mistake(self._page, _misplaced(error), error.line)
        if isinstance(error, TemplateSyntaxError):
            return self._syntax(error)
        file, line = self._place(error)
        what = self._what(error, file, line, schema)
        return Mistake(file, what, line, detail=_detail(error))

    def missing(self, error: TemplateNotFound, file: str, line: int) -> Mistake:
        """The mistake behind a name, in a known place, of a file that is not there."""
        return Mistake(file, self._missing(error, self._sources.texts.get(file, "")), line)

    def _place(self, error: Exception) -> tuple[str, int | None]:
        """The innermost line of a template that the error came through."""
        names = {self._sources.filename(name): name for name in self._sources.texts}
        found: tuple[str, int | None] = (self._page, None)
        at = error.__traceback__
        while at is not None:
            if (name := names.get(at.tb_frame.f_code.co_filename)) is not None:
                found = (name, at.tb_lineno)
            at = at.tb_next
        return found

    def _what(
        self, error: Exception, file: str, line: int | None, schema: Mapping[str, Any]
    ) -> str:
        text = self._sources.texts.get(file, "")
        if isinstance(error, TemplateNotFound):
            return self._missing(error, text)
        if isinstance(error, UndefinedError):
            return undefined(error, text, line, schema)
        if isinstance(error, TemplateRuntimeError) and (found := _UNKNOWN.search(str(error))):
            return self._unknown(found[1], found[2])
        if found := _ARGUMENTS.fullmatch(str(error)):
            return f"`{found[1]}` {found[2]}"
        names = self._variables(text, line)
        said = next((said for kind, said in PLAIN.items() if isinstance(error, kind)), "fails")
        return f"{said}, with {', '.join(f'`{one}`' for one in names)}" if names else said

    def _missing(self, error: TemplateNotFound, text: str) -> str:
        """A file that an include, import or extends names."""
        several = isinstance(error, TemplatesNotFound)
        names = [str(one) for one in (error.templates if several else [error.name])]
        shown = [one for one in names if f"'{one}'" in text or f'"{one}"' in text]
        if not shown:  # made of data
            return "includes a file that is not there"
        there = [one for one in sorted(stamps_of(self._root))[:MOST_FILES] if one != self._page]
        own = f"{self._name}/{shown[0]}"
        near = [own] if own in there else difflib.get_close_matches(shown[0], there, 1, 0.5)
        meant = f"; did you mean `{near[0]}`?" if near else ""
        listed = " or ".join(f"`{one}`" for one in shown)
        return f"includes {listed}, which is not there: names begin at the templates folder{meant}"

    def _syntax(self, error: TemplateSyntaxError) -> Mistake:
        file, line = error.name or self._page, error.lineno
        said = error.message or "cannot be understood"
        if found := _UNCLOSED.search(said):
            text = self._sources.texts.get(file, "")
            line = self._opened(text, found[1]) or line
            what = f"`{{% {found[1]} %}}` is never closed: `{{% end{found[1]} %}}` is missing"
            return Mistake(file, what, line)
        if found := _UNKNOWN.search(said):
            return Mistake(file, self._unknown(found[1], found[2]), line)
        if found := _UNKNOWN_TAG.match(said):
            return Mistake(file, self._misplaced_tag(found[1], said, file), line)
        return Mistake(file, said[:1].lower() + said[1:].rstrip("."), line)

    def _misplaced_tag(self, tag: str, said: str, file: str) -> str:
        """A tag that there is not, or that closes nothing which is open."""
        if tag not in TAGS:
            return f"there is no tag `{tag}`{meant(tag, TAGS)}"
        open_ = _INNERMOST.search(said)
        if open_ is None:
            return f"`{{% {tag} %}}` stands where no such block is open"
        line = self._opened(self._sources.texts.get(file, ""), open_[1])
        where = f" of line {line}" if line else ""
        return f"`{{% {tag} %}}` comes before the `{{% {open_[1]} %}}`{where} is closed"

    def _opened(self, text: str, tag: str) -> int | None:
        """The line of the innermost block of a kind that is not closed."""
        lines: list[int] = []
        begins = False
        try:
            for line, kind, value in self._environment.lex(text):
                if begins and kind == "name":
                    if value == tag:
                        lines.append(line)
                    elif value == f"end{tag}" and lines:
                        lines.pop()
                begins = kind == "block_begin" or (begins and kind == "whitespace")
        except TemplateSyntaxError:
            return None
        return lines[-1] if lines else None

    def _unknown(self, kind: str, name: str) -> str:
        """A filter or a test that there is not."""
        known = self._environment.filters if kind == "filter" else self._environment.tests
        more = "; data is text, and nothing makes markup of it" if name == "safe" else ""
        return f"there is no {kind} named `{name}`{more}{meant(name, known)}"

    def _variables(self, text: str, line: int | None) -> list[str]:
        """The names that stand in a line of a template, the longest form of each."""
        try:
            tree = self._environment.parse(text)
        except TemplateSyntaxError:  # changed since
            return []
        there = [one for one in tree.find_all((nodes.Getattr, nodes.Name)) if one.lineno == line]
        named = dict.fromkeys(filter(None, map(name_of, there)))
        names = [one for one in named if one not in self._environment.globals]
        longer = tuple(names)
        return [one for one in names if not any(other.startswith(one + ".") for other in longer)]


def _misplaced(error: UnsafeTemplate) -> str:
    """Data where it would be code."""
    if not str(error).startswith("data "):
        return str(error)
    about = f"`{error.variable}`: " if error.variable else ""
    remedy = "escaping does not make it safe there; put it into text or into a quoted attribute"
    return f"{about}{error}: {remedy}"


def undefined(error: UndefinedError, text: str, line: int | None, schema: Mapping[str, Any]) -> str:
    """A variable or an attribute that is not there, and which may be meant.

    A name is given only where it stands in the template: one that was looked up by a value of the
    data would tell that value.
    """
    said = error.message or ""
    found = _NO_VARIABLE.fullmatch(said) or _NO_ATTRIBUTE.fullmatch(said)
    if found is None:
        is_plain = _NO_EXPORT.search(said) or _NO_PARAMETER.fullmatch(said)
        return said if is_plain else "a value that it needs is not there"
    name = found[1]
    if name.isdecimal():
        return f"there is no element {name} in the list"
    if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
        return "a value that it needs is not there"
    lines = text.splitlines()
    here = lines[line - 1] if line and line <= len(lines) else ""
    dotted = re.search(rf"(?:\w+\.)+{re.escape(name)}\b", here)
    is_attribute = said.endswith("is undefined") is False
    whole = dotted[0] if dotted and is_attribute else name
    return f"`{whole}` is undefined{_remedy(whole, schema)}"


def _remedy(whole: str, schema: Mapping[str, Any]) -> str:
    """What to do about a name that is not in the data."""
    paths = list(dict.fromkeys(_paths(schema)))
    if whole in paths:
        return (
            f": the data is without it, and the schema does not require it; test with"
            f" `{{% if {whole} is defined %}}`, or require it"
        )
    base, _, last = whole.rpartition(".")
    beside = [one.rpartition(".")[2] for one in paths if one.rpartition(".")[0] == base]
    if near := difflib.get_close_matches(last, beside, 1, 0.6):
        return f"; did you mean `{base}.{near[0]}`?" if base else f"; did you mean `{near[0]}`?"
    lasts = {one.rpartition(".")[2]: one for one in reversed(paths)}
    if near := difflib.get_close_matches(last, lasts, 1, 0.6):
        there = f"{base}.{near[0]}" if base and base not in paths else lasts[near[0]]
        return f"; did you mean `{there}`?"
    known = beside if base else [one for one in paths if "." not in one]
    return f"; the schema has: {', '.join(known[:MOST_NAMES])}" if known else ""


def _paths(schema: Mapping[str, Any]) -> Iterator[str]:
    """Names of all properties of a schema, dotted; through lists, choices and `$ref`s within it."""
    todo: list[tuple[str, Any, int]] = [("", schema, 0)]
    seen = 0
    while todo and seen < 1_000:
        base, one, depth = todo.pop(0)
        seen += 1
        if not isinstance(one, Mapping) or depth > 12:
            continue
        properties = one.get("properties")
        for name, below in properties.items() if isinstance(properties, Mapping) else ():
            yield base + str(name)
            todo.append((f"{base}{name}.", below, depth + 1))
        if isinstance(one.get("$ref"), str):
            todo.append((base, pointed(schema, one["$ref"]), depth + 1))
        todo.append((base, one.get("items"), depth + 1))
        for choice in ("allOf", "anyOf", "oneOf"):
            members = one.get(choice)
            todo += (
                [(base, each, depth + 1) for each in members] if isinstance(members, list) else []
            )


def pointed(schema: object, reference: str) -> object:
    """What a `#/...` reference points at within a schema; None where it leads nowhere."""
    if not reference.startswith("#"):
        return None
    at: object = schema
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(at, Mapping) and key in at:
            at = at[key]
        elif isinstance(at, list) and key.isdecimal() and int(key) < len(at):
            at = at[int(key)]
        else:
            return None
    return at


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that names what may be meant; empty where nothing is near."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean `{near[0]}`?" if near else ""


def _detail(error: Exception) -> str:
    """What Python said, shortened; nothing where the sentence has it already."""
    if isinstance(error, (TemplateNotFound, UndefinedError)):
        return ""
    return f"{type(error).__name__}: {error}"[:300]


#: What kinds of errors mean for a template; the first that fits.
PLAIN: dict[type[Exception], str] = {
    SecurityError: "uses something that the sandbox forbids",
    ZeroDivisionError: "divides by zero",
    OverflowError: "a number or a range is too large",
    RecursionError: "includes or calls itself without end",
    MemoryError: "needs too much memory",
    TypeError: "a value is of the wrong type for what is done with it",
    LookupError: "a value that it needs is not there",
    ValueError: "a value is not fit for what is done with it",
}
#: Jinja's own tags.
TAGS = (
    "for", "endfor", "if", "elif", "else", "endif", "macro", "endmacro", "call", "endcall", "set",
    "endset", "filter", "endfilter", "block", "endblock", "extends", "include", "import", "from",
    "with", "endwith", "raw", "endraw", "autoescape", "endautoescape",
)  # fmt: skip
_NO_VARIABLE = re.compile(r"'([^']+)' is undefined")
_NO_ATTRIBUTE = re.compile(r".*?has no (?:attribute|element) '?([^']+?)'?", re.DOTALL)
_NO_EXPORT = re.compile(r"^the template '[\w./-]+' .*does not export the requested name '\w+'")
_NO_PARAMETER = re.compile(r"parameter '\w+' was not provided")
_UNKNOWN = re.compile(r"No (filter|test) named '([^']*)'")
_UNKNOWN_TAG = re.compile(r"Encountered unknown tag '([^']*)'")
_INNERMOST = re.compile(r"innermost block that needs to be closed is '(\w+)'")
_UNCLOSED = re.compile(r"Unexpected end of template.*needs to be closed is '(\w+)'", re.DOTALL)
#: A filter, a test, a macro or a method called with the wrong arguments: no value is in it.
_ARGUMENTS = re.compile(
    r"(?:macro ')?(?:do_|test_|sync_do_)?([\w.]+)(?:\(\)|') "
    r"((?:got an unexpected keyword argument|missing|takes|got multiple values for argument)[^\n]*)"
)
