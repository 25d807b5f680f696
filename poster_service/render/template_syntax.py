"""What the syntax tree of a template shows before it runs."""

from collections.abc import Iterator

from jinja2 import nodes


def depends_on_data_only(tree: nodes.Template) -> bool:
    """Whether what a template makes depends on its data and constants only.

    In the sandbox chance comes from a filter and from a function of Jinja2's own; `map` takes the
    name of a filter. What a name that is known only at run time includes is not looked at.
    """
    for one in tree.find_all(nodes.Filter):
        mapped = one.args[:1] if one.name == "map" else []
        if one.name == "random" or not all(isinstance(each, nodes.Const) for each in mapped):
            return False
    if any(one.value == "random" for one in tree.find_all(nodes.Const)):
        return False
    if any(one.name == "lipsum" for one in tree.find_all(nodes.Name)):
        return False
    kinds = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)
    return all(_is_constant(one.template) for one in tree.find_all(kinds))  # type: ignore[attr-defined]


def _is_constant(node: nodes.Expr) -> bool:
    try:
        node.as_const()
    except nodes.Impossible:
        return False
    return True


def constant_includes(tree: nodes.Node) -> Iterator[tuple[nodes.Node, list[str]]]:
    """Each tag that names other templates by constants, of which one must exist."""
    kinds = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)
    for node in tree.find_all(kinds):
        if getattr(node, "ignore_missing", False):
            continue
        try:
            value = node.template.as_const()  # type: ignore[attr-defined]
        except nodes.Impossible:  # known only when it runs
            continue
        names = [value] if isinstance(value, str) else list(value or ())
        if names and all(isinstance(name, str) for name in names):
            yield node, names
