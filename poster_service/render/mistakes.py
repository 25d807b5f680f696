"""Messages about mistakes in a template: the file, the line, the variable, and the remedy.

The template's author reads them and, when a render fails, a caller. So a message has names out of
the template and its schema, but never a value of the data or a path of this machine. Python's own
error text, which may contain values, is only logged, for the operator.
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

#: Names that a message lists where none is similar to the unknown one.
MAX_NAMES = 12
#: Files whose names are compared with that of a missing one.
MAX_FILES = 2_000


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with one file of a template.

    Attributes:
        file: Its path below the folder of all templates, e.g. `card/poster.html`.
        what: What is wrong and the remedy; safe to show to a caller.
        line: Counted from 1; None where the line is not known.
        column: Likewise.
        detail: Python's error text, for the operator only; often empty.
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
        """The mistake with its detail, for the log."""
        return f"{self} ({self.detail})" if self.detail else str(self)


class FaultyTemplate(Exception):
    """A template cannot be used; carries every mistake that was found."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("; ".join(map(str, mistakes)))
        self.mistakes = mistakes


class Sources(BaseLoader):
    """Loads the files of one template and its includes, and records which those were.

    Attributes:
        stamps: The stamp of every requested file by its path, also of those that do not exist.
        texts: The source by Jinja's name of it, e.g. `card/poster.html`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.stamps: dict[str, Stamp] = {}
        self.texts: dict[str, str] = {}

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        """Source, file name and None, as `jinja2.BaseLoader` defines it.

        Raises:
            TemplateNotFound: There is no such file below the folder of all templates.
            FaultyTemplate: It cannot be read, or is not UTF-8.
        """
        file = self._root.joinpath(*split_template_path(template))
        self.stamps[str(file)] = stamp_of(file)  # first: a later change is noticed
        if not file.is_file():
            raise TemplateNotFound(template)
        self.texts[template] = text = read_text(file, template)
        return text, self.filename(template), None

    def filename(self, template: str) -> str:
        """The source's file name in a traceback."""
        return str(self._root / template)


def read_text(file: Path, name: str) -> str:
    """The text of a file in UTF-8, without a byte order mark.

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
    """Turns an exception of Jinja or of a running template into a mistake with its place."""

    def __init__(self, root: Path, name: str, environment: Environment, sources: Sources) -> None:
        self._root, self._page = root, f"{name}/poster.html"
        self._name, self._environment, self._sources = name, environment, sources

    def of(self, error: Exception, schema: Mapping[str, Any]) -> Mistake:
        """The mistake that caused an error; `schema` is that of the template's data."""
        if isinstance(error, FaultyTemplate):
            return error.mistakes[0]
        if isinstance(error, UnsafeTemplate):
            return Mistake(self._page, _unsafe(error), error.line)
        if isinstance(error, TemplateSyntaxError):
            return self._syntax(error)
        file, line = self._place(error)
        what = self._what(error, file, line, schema)
        return Mistake(file, what, line, detail=_detail(error))

    def missing(self, error: TemplateNotFound, file: str, line: int) -> Mistake:
        """The mistake of naming, in a known place, a file that does not exist."""
        return Mistake(file, self._missing_file(error, self._sources.texts.get(file, "")), line)

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
            return self._missing_file(error, text)
        if isinstance(error, UndefinedError):
            return undefined(error, text, line, schema)
        if isinstance(error, TemplateRuntimeError) and (found := _UNKNOWN.search(str(error))):
            return self._unknown(found[1], found[2])
        if found := _ARGUMENTS.fullmatch(str(error)):
            return f"`{found[1]}` {found[2]}"
        names = self._variables(text, line)
        what = next((what for kind, what in MESSAGES.items() if isinstance(error, kind)), "fails")
        return f"{what}, with {', '.join(f'`{name}`' for name in names)}" if names else what

    def _missing_file(self, error: TemplateNotFound, text: str) -> str:
        """The message for a missing file that an include, import or extends names."""
        several = isinstance(error, TemplatesNotFound)
        names = [str(name) for name in (error.templates if several else [error.name])]
        shown = [name for name in names if f"'{name}'" in text or f'"{name}"' in text]
        if not shown:  # the name is made of data
            return "includes a file that does not exist"
        files = [name for name in sorted(stamps_of(self._root))[:MAX_FILES] if name != self._page]
        own = f"{self._name}/{shown[0]}"
        near = [own] if own in files else difflib.get_close_matches(shown[0], files, 1, 0.5)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        listed = " or ".join(f"`{name}`" for name in shown)
        rule = "names are relative to the folder of all templates"
        return f"includes {listed}, which does not exist: {rule}{hint}"

    def _syntax(self, error: TemplateSyntaxError) -> Mistake:
        file, line = error.name or self._page, error.lineno
        message = error.message or "cannot be parsed"
        if found := _UNCLOSED.search(message):
            text = self._sources.texts.get(file, "")
            line = self._unclosed_line(text, found[1]) or line
            what = f"`{{% {found[1]} %}}` is never closed: `{{% end{found[1]} %}}` is missing"
            return Mistake(file, what, line)
        if found := _UNKNOWN.search(message):
            return Mistake(file, self._unknown(found[1], found[2]), line)
        if found := _UNKNOWN_TAG.match(message):
            return Mistake(file, self._wrong_tag(found[1], message, file), line)
        return Mistake(file, message[:1].lower() + message[1:].rstrip("."), line)

    def _wrong_tag(self, tag: str, message: str, file: str) -> str:
        """The message for a tag that does not exist, or that closes no open block."""
        if tag not in TAGS:
            return f"there is no tag `{tag}`{did_you_mean(tag, TAGS)}"
        open_ = _INNERMOST.search(message)
        if open_ is None:
            return f"`{{% {tag} %}}` closes no open block"
        line = self._unclosed_line(self._sources.texts.get(file, ""), open_[1])
        where = f" of line {line}" if line else ""
        return f"`{{% {tag} %}}` comes before the `{{% {open_[1]} %}}`{where} is closed"

    def _unclosed_line(self, text: str, tag: str) -> int | None:
        """The line where the innermost unclosed block of a tag begins; None if not known."""
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
        """The message for an unknown filter or test."""
        known = self._environment.filters if kind == "filter" else self._environment.tests
        more = "; data is always escaped, and cannot be markup" if name == "safe" else ""
        return f"there is no {kind} named `{name}`{more}{did_you_mean(name, known)}"

    def _variables(self, text: str, line: int | None) -> list[str]:
        """The variables in a line of a template, e.g. `author.name` without `author`."""
        try:
            tree = self._environment.parse(text)
        except TemplateSyntaxError:  # changed since
            return []
        found = tree.find_all((nodes.Getattr, nodes.Name))
        in_line = dict.fromkeys(name_of(node) for node in found if node.lineno == line)
        names = [name for name in in_line if name and name not in self._environment.globals]
        return [name for name in names if not any(other.startswith(name + ".") for other in names)]


def _unsafe(error: UnsafeTemplate) -> str:
    """The message for data in a place where it would be code."""
    if not str(error).startswith("data "):
        return str(error)
    about = f"`{error.variable}`: " if error.variable else ""
    remedy = "escaping does not make it safe there; put it into text or into a quoted attribute"
    return f"{about}{error}: {remedy}"


def undefined(error: UndefinedError, text: str, line: int | None, schema: Mapping[str, Any]) -> str:
    """The message for an undefined variable or attribute, with a similar name of the schema.

    It has the name only where the template's text contains it: a name that was looked up by a value
    of the data would disclose that value.
    """
    message = error.message or ""
    found = _NO_VARIABLE.fullmatch(message) or _NO_ATTRIBUTE.fullmatch(message)
    if found is None:
        is_safe = _NO_EXPORT.search(message) or _NO_PARAMETER.fullmatch(message)
        return message if is_safe else MISSING_VALUE
    name = found[1]
    if name.isdecimal():
        return f"there is no element {name} in the list"
    if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
        return MISSING_VALUE
    lines = text.splitlines()
    here = lines[line - 1] if line and line <= len(lines) else ""
    dotted = re.search(rf"(?:\w+\.)+{re.escape(name)}\b", here)
    is_attribute = not message.endswith("is undefined")
    whole = dotted[0] if dotted and is_attribute else name
    return f"`{whole}` is undefined{_remedy(whole, schema)}"


def _remedy(whole: str, schema: Mapping[str, Any]) -> str:
    """The end of a message about a name that is not in the data: the remedy, or similar names."""
    known_paths = list(dict.fromkeys(paths(schema)))
    if whole in known_paths:
        return (
            f": the data does not have it, and the schema does not require it; test it with"
            f" `{{% if {whole} is defined %}}`, or make it required"
        )
    base, _, last = whole.rpartition(".")
    beside = [path.rpartition(".")[2] for path in known_paths if path.rpartition(".")[0] == base]
    if near := difflib.get_close_matches(last, beside, 1, 0.6):
        return f"; did you mean `{base}.{near[0]}`?" if base else f"; did you mean `{near[0]}`?"
    lasts = {path.rpartition(".")[2]: path for path in reversed(known_paths)}
    if near := difflib.get_close_matches(last, lasts, 1, 0.6):
        path = f"{base}.{near[0]}" if base and base not in known_paths else lasts[near[0]]
        return f"; did you mean `{path}`?"
    known = beside if base else [path for path in known_paths if "." not in path]
    return f"; the schema has: {', '.join(known[:MAX_NAMES])}" if known else ""


def paths(schema: Mapping[str, Any]) -> Iterator[str]:
    """Dotted names of all properties of a schema, through `items`, `anyOf` etc. and `$ref`."""
    pending: list[tuple[str, Any, int]] = [("", schema, 0)]
    count = 0
    while pending and count < 1_000:
        base, node, depth = pending.pop(0)
        count += 1
        if not isinstance(node, Mapping) or depth > 12:
            continue
        properties = node.get("properties")
        for name, child in properties.items() if isinstance(properties, Mapping) else ():
            yield base + str(name)
            pending.append((f"{base}{name}.", child, depth + 1))
        if isinstance(node.get("$ref"), str):
            pending.append((base, resolve_pointer(schema, node["$ref"]), depth + 1))
        pending.append((base, node.get("items"), depth + 1))
        for choice in ("allOf", "anyOf", "oneOf"):
            members = node.get(choice)
            if isinstance(members, list):
                pending += [(base, member, depth + 1) for member in members]


def resolve_pointer(schema: object, reference: str) -> object:
    """The value at a `#/...` reference (RFC 6901) within a schema; None where there is none."""
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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message that suggests a similar known name; "" where there is none."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean `{near[0]}`?" if near else ""


def _detail(error: Exception) -> str:
    """Python's error text, shortened; "" where the message has it already."""
    if isinstance(error, (TemplateNotFound, UndefinedError)):
        return ""
    return f"{type(error).__name__}: {error}"[:300]


#: For a value that the template uses and the data does not have, where its name may be a value.
MISSING_VALUE = "a value that it needs is missing"
#: The message for each kind of exception of a running template; the first that matches counts.
MESSAGES: dict[type[Exception], str] = {
    SecurityError: "uses something that the sandbox forbids",
    ZeroDivisionError: "divides by zero",
    OverflowError: "a number or a range is too large",
    RecursionError: "includes or calls itself endlessly",
    MemoryError: "needs too much memory",
    TypeError: "a value has the wrong type for this operation",
    LookupError: MISSING_VALUE,
    ValueError: "a value is invalid for this operation",
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
#: A filter, test, macro or method that is called with wrong arguments; it contains no value.
_ARGUMENTS = re.compile(
    r"(?:macro ')?(?:do_|test_|sync_do_)?([\w.]+)(?:\(\)|') "
    r"((?:got an unexpected keyword argument|missing|takes|got multiple values for argument)[^\n]*)"
)
