"""Checks that a template puts its data only where escaping makes it safe: text, quoted attributes.

In a script, a style sheet, an event handler, an attribute without quotes or the name of a tag,
escaped data is still code. So the service refuses to start with a template that puts data there,
before a caller can exploit it.

What this check cannot see (e.g. an attribute that a macro puts together) is still limited by the
page's Content-Security-Policy: a template's page runs no script and applies no style but its own
files.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jinja2 import Environment, nodes

#: A placeholder for a value that is not known before the render; a private-use character.
_HOLE = "\ue000"
_CODE = ("script", "style", "noscript", "template", "iframe", "xmp", "noembed", "noframes")
#: A tag whose name begins with data; a parser takes it for text.
_OPENING = re.compile(rf"</?{_HOLE}")
#: An attribute value without quotes that contains data.
_UNQUOTED = re.compile(rf"=\s*(?![\"'\s])[^\s\"'>]*{_HOLE}")

#: Restricts a template's page to its own files, enforced by Chrome. Images, fonts and media may
#: come from elsewhere, within the network policy; scripts, styles, frames and forms may not, and
#: nothing inline is allowed: even data that became markup would run and load nothing.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:;"
    " font-src 'self' https: data:; media-src 'self' https: data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class UnsafeTemplate(Exception):
    """A template puts data where it would be code; the message says where.

    Attributes:
        line: The line of the template's source; None where it is not known.
        variable: The data's name in the template, e.g. `author.name`; "" for an expression.
    """

    line: int | None = None
    variable = ""


def check_contexts(environment: Environment, source: str) -> None:
    """Refuse a template that puts data where escaping does not make it safe.

    Raises:
        UnsafeTemplate: The message names the place.
        TemplateSyntaxError: Jinja cannot parse the template.
    """
    tree = environment.parse(source)
    for kind in (nodes.ScopedEvalContextModifier, nodes.EvalContextModifier):
        if (found := tree.find(kind)) is not None:
            unsafe = UnsafeTemplate("autoescape is always on and cannot be turned off")
            unsafe.line = found.lineno
            raise unsafe
    parts = list(_flatten(tree))
    text = "".join(_HOLE if isinstance(part, nodes.Node) else part for part in parts)
    checker = _ContextChecker()
    try:
        checker.check(text)
    except UnsafeTemplate as unsafe:
        values = [part for part in parts if isinstance(part, nodes.Node)]
        before = text.count(_HOLE, 0, checker.position(text))
        if before < len(values):
            unsafe.line = values[before].lineno
            unsafe.variable = name_of(values[before])
        raise


def _flatten(tree: nodes.Node) -> Iterator[str | nodes.Node]:
    """The template's own text and the nodes of its values, in the order of the source.

    The branches of an `if` follow each other: this assumes that each of them closes what it opens.
    """
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                yield node.data
            elif not _is_constant(node):
                yield node


def name_of(node: nodes.Node) -> str:
    """The name of a value in the template, e.g. `author.name`; "" for any other expression."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        base = name_of(node.node)
        return f"{base}.{node.attr}" if base else ""
    if isinstance(node, nodes.Filter) and node.node is not None:
        return name_of(node.node)
    return ""


def _is_constant(node: nodes.Node) -> bool:
    """Whether an expression yields only constants of the template, whatever the data."""
    if isinstance(node, nodes.CondExpr):
        other = node.expr2
        return _is_constant(node.expr1) and (other is None or _is_constant(other))
    return isinstance(node, nodes.Const)


class _ContextChecker(HTMLParser):
    """Parses the flattened text and stops at the first placeholder in an unsafe place."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self._inside: list[str] = []
        self._at: int | None = None

    def check(self, text: str) -> None:
        """Parse all of it.

        Raises:
            UnsafeTemplate: A placeholder is in an unsafe place.
        """
        if found := _OPENING.search(text):
            self._at = found.start()
            raise UnsafeTemplate("data in the name of a tag")
        self.feed(text)
        rest = self.rawdata
        self.close()
        if "<" in rest and _HOLE in rest:
            self._at = len(text) - len(rest)
            raise UnsafeTemplate("data in a tag or comment that is never closed")

    def position(self, text: str) -> int:
        """The offset in `text` of the markup at which parsing stopped."""
        if self._at is not None:
            return self._at
        line, column = self.getpos()
        lines = text.split("\n")
        return sum(len(before) + 1 for before in lines[: line - 1]) + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if _HOLE in tag:
            raise UnsafeTemplate("data in the name of a tag")
        for name, value in attrs:
            if _HOLE in name:
                raise UnsafeTemplate(f"data in the name of an attribute of <{tag}>")
            if _HOLE in (value or "") and (name.startswith("on") or name in ("style", "srcdoc")):
                raise UnsafeTemplate(f"data in {name}= of <{tag}>")
        if _UNQUOTED.search(self.get_starttag_text() or ""):
            raise UnsafeTemplate(f"data in an attribute of <{tag}> without quotes")
        if tag in _CODE:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if _HOLE in tag:
            raise UnsafeTemplate("data in the name of a tag")
        if tag in self._inside:
            self._inside.remove(tag)

    def handle_data(self, data: str) -> None:
        if _HOLE in data and self._inside:
            raise UnsafeTemplate(f"data inside <{self._inside[-1]}>")

    def handle_decl(self, decl: str) -> None:
        if _HOLE in decl:
            raise UnsafeTemplate("data in a declaration")

    def unknown_decl(self, data: str) -> None:
        self.handle_decl(data)

    def handle_pi(self, data: str) -> None:
        self.handle_decl(data)
