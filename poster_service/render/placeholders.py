"""A page with `{{ name }}` in it, filled with the data of one item of a batch after the other.

Not a template: it has neither statements nor filters, so it costs as much time as it has bytes, and
a caller may send one. A value is escaped for text and for attributes in quotes. In a script or a
style sheet it would be code; that page is the caller's own, and so is the data.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from poster_service.errors import Fault, InvalidField
from poster_service.quoting import quoted

OPEN, CLOSE = "{{", "}}"
#: Characters between the braces, and placeholders of one page, at most.
MAX_INSIDE, MAX_PLACEHOLDERS = 200, 1_000
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
ALLOWED = 'a name such as {{ title }} or {{ author.name }}; {{ "{{" }} for two braces'


class PlaceholderPage:
    """A page, cut at its placeholders."""

    def __init__(self, text: str) -> None:
        """Find all placeholders.

        Raises:
            InvalidField: Something in double braces is not a name, or there are too many of them.
        """
        self._texts: list[str] = []
        self._names: list[str] = []
        at, plain = 0, list[str]()
        while (begin := text.find(OPEN, at)) >= 0:
            end = text.find(CLOSE, begin + len(OPEN), begin + MAX_INSIDE)
            inside = text[begin + len(OPEN) : end].strip() if end >= 0 else ""
            plain.append(text[at:begin])
            if inside == f'"{OPEN}"':
                plain.append(OPEN)
            elif _PATH.fullmatch(inside):
                self._texts.append("".join(plain))
                self._names.append(inside)
                plain = []
            else:
                raise InvalidField.of(_wrong(text, begin))
            at = end + len(CLOSE)
            if len(self._names) > MAX_PLACEHOLDERS:
                message = f"has more than {MAX_PLACEHOLDERS} placeholders"
                raise InvalidField.of(Fault("html", message, f"up to {MAX_PLACEHOLDERS}"))
        self._texts.append("".join(plain) + text[at:])

    @property
    def names(self) -> frozenset[str]:
        """The names of all placeholders, dotted where they lead into objects."""
        return frozenset(self._names)

    def fill(self, data: Mapping[str, Any]) -> str:
        """The page with the values in place of their names, escaped.

        Raises:
            InvalidField: A value is missing, or is neither text, number, boolean nor null; a fault
                for each.
        """
        values: dict[str, str] = {}
        faults = []
        for name in dict.fromkeys(self._names):
            shown = _shown(name, data)
            if isinstance(shown, Fault):
                faults.append(shown)
            else:
                values[name] = shown
        if faults:
            raise InvalidField.of(*faults)
        parts = [self._texts[0]]
        for name, text in zip(self._names, self._texts[1:], strict=True):
            parts += (values[name], text)
        return "".join(parts)


def _shown(name: str, data: Mapping[str, Any]) -> str | Fault:
    """The value of a name as text of the page; null is empty."""
    at: Any = data
    for step in name.split("."):
        if isinstance(at, Mapping) and step in at:
            at = at[step]
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            return Fault(f"data.{name}", "is missing; the page shows it", "text or a number")
    if isinstance(at, Mapping | list):
        kind = "an object" if isinstance(at, Mapping) else "a list"
        return Fault(f"data.{name}", f"is {kind}; the page shows it", "text or a number")
    if at is None:
        return ""
    return html.escape(at if isinstance(at, str) else json.dumps(at))


def _wrong(text: str, begin: int) -> Fault:
    line = text.count("\n", 0, begin) + 1
    shown = quoted(text[begin : begin + 40])
    return Fault("html", f"line {line}: {shown} is not a placeholder", ALLOWED)
