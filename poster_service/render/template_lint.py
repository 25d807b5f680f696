"""Where a template may put its data: text and quoted attributes, and nowhere else.

Escaping makes data safe in those two places only. In a script, a style sheet, an event handler, an
attribute without quotes or the name of a tag, escaped data is still code. So a template that does
this is refused when the service starts, and does not wait for the caller who makes use of it.

What this cannot see (an attribute pieced together by a macro, say) still meets the page's
Content-Security-Policy, by which a template's page runs and styles nothing but its own files.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jinja2 import Environment, nodes

#: Stands for a value that is not known before the render; in no template's own text.
_HOLE = "\ue000"
_CODE = ("script", "style", "noscript", "template", "iframe", "xmp", "noembed", "noframes")
#: A tag that data would give its name; without the data it is no tag at all to a parser.
_OPENING = re.compile(rf"</?{_HOLE}")
#: An attribute value that is not in quotes and has a hole in it.
_UNQUOTED = re.compile(rf"=\s*(?![\"'\s])[^\s\"'>]*{_HOLE}")

#: By which Chrome itself holds a template's page to its own files. Pictures and fonts may come from
#: elsewhere, within the network policy; scripts, styles, frames and forms may not, nor may anything
#: inline: whatever data becomes, it becomes nothing that runs or loads.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:;"
    " font-src 'self' https: data:; media-src 'self' https: data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class UnsafeTemplate(Exception):
    """A template puts data where it would be code; the text says where.

    Attributes:
        line: Of the template's source; None where it is not known.
        variable: The data, as the template calls it; empty where it is no plain name.
    """

    line: int | None = None
    variable = ""


def check_contexts(environment: Environment, source: str) -> None:
    """Refuse a template that puts data where escaping does not help.

    Raises:
        UnsafeTemplate: Naming the place.
        TemplateSyntaxError: It is no template at all.
    """
    tree = environment.parse(source)
    for kind in (nodes.ScopedEvalContextModifier, nodes.EvalContextModifier):
        if (found := tree.find(kind)) is not None:
            misplaced = UnsafeTemplate("autoescape is always on and cannot be turned off")
            misplaced.line = found.lineno
            raise misplaced
    pieces = list(_flat(tree))
    text = "".join(_HOLE if isinstance(one, nodes.Node) else one for one in pieces)
    reader = _Reader()
    try:
        reader.read(text)
    except UnsafeTemplate as misplaced:
        holes = [one for one in pieces if isinstance(one, nodes.Node)]
        before = text.count(_HOLE, 0, reader.where(text))
        if before < len(holes):
            misplaced.line = holes[before].lineno
            misplaced.variable = name_of(holes[before])
        raise


def _flat(tree: nodes.Node) -> Iterator[str | nodes.Node]:
    """The template's own text in the order of its source, and the node of each value.

    Both branches of an `if` follow each other: each leaves the markup as it found it, or the
    template would be hard to read for people too.
    """
    for output in tree.find_all(nodes.Output):
        for one in output.nodes:
            if isinstance(one, nodes.TemplateData):
                yield one.data
            elif not _is_fixed(one):
                yield one


def name_of(node: nodes.Node) -> str:
    """What a template calls a value, as in `author.name`; empty for anything but a plain name."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        base = name_of(node.node)
        return f"{base}.{node.attr}" if base else ""
    if isinstance(node, nodes.Filter) and node.node is not None:
        return name_of(node.node)
    return ""


def _is_fixed(one: nodes.Node) -> bool:
    """Whether a value is one of the template's own words, whatever the data."""
    if isinstance(one, nodes.CondExpr):
        other = one.expr2
        return _is_fixed(one.expr1) and (other is None or _is_fixed(other))
    return isinstance(one, nodes.Const)


class _Reader(HTMLParser):
    """Reads the flat text and stops at the first hole that is in the wrong place."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self._inside: list[str] = []
        self._at: int | None = None

    def read(self, text: str) -> None:
        """Read it all.

        Raises:
            UnsafeTemplate: A hole is where it must not be.
        """
        if found := _OPENING.search(text):
            self._at = found.start()
            raise UnsafeTemplate("data in the name of a tag")
        self.feed(text)
        rest = self.rawdata
        self.close()
        if "<" in rest and _HOLE in rest:
            self._at = len(text) - len(rest)
            raise UnsafeTemplate("data in markup that never ends")

    def where(self, text: str) -> int:
        """Where reading stopped: so many characters are before the markup with the hole."""
        if self._at is not None:
            return self._at
        line, column = self.getpos()
        lines = text.split("\n")
        return sum(len(one) + 1 for one in lines[: line - 1]) + column

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
