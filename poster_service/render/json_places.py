"""The lines of a JSON file on which its values stand, for messages to those who wrote it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
#: A string, a sign, or a number or word; white space is left out.
_SIGN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


@dataclass(frozen=True)
class Places:
    """Where the values of a JSON file stand.

    Attributes:
        lines: The line of each value by its path; of a member of an object, that of its name.
        twice: Path and line of each name that an object has again; the last one counts.
    """

    lines: Mapping[Path, int] = field(default_factory=dict)
    twice: Sequence[tuple[Path, int]] = ()

    def line(self, path: Sequence[str | int]) -> int | None:
        """The line of a value, or else of the nearest that is around it; None without any."""
        for length in range(len(path), -1, -1):
            if (found := self.lines.get(tuple(path[:length]))) is not None:
                return found
        return None


def places_of(text: str) -> Places:
    """Where the values of a text stand that is valid JSON."""
    lines: dict[Path, int] = {}
    twice: list[tuple[Path, int]] = []
    for path, line in _walk(text):
        if path in lines:
            twice.append((path, line))
            lines = {one: at for one, at in lines.items() if one[: len(path)] != path}
        lines[path] = line
    return Places(lines, twice)


def _walk(text: str) -> Iterator[tuple[Path, int]]:
    """Each value's path and line, in the order of the text."""
    path: list[str | int] = []
    is_object: list[bool] = []
    awaits_name = False
    line, at = 1, 0
    for found in _SIGN.finditer(text):
        sign = found[0]
        line, at = line + text.count("\n", at, found.start()), found.start()
        if sign in "{[":
            if not is_object or not is_object[-1]:
                yield tuple(path), line
            is_object.append(sign == "{")
            path.append("" if sign == "{" else 0)
            awaits_name = sign == "{"
        elif sign in "}]":
            is_object.pop()
            path.pop()
            awaits_name = False
        elif sign == ",":
            awaits_name = is_object[-1]
            if not awaits_name:
                path[-1] = int(path[-1]) + 1
        elif awaits_name:
            path[-1] = _text(sign)
            yield tuple(path), line
            awaits_name = False
        elif sign != ":" and not (is_object and is_object[-1]):
            yield tuple(path), line


def _text(sign: str) -> str:
    """The text of a JSON string."""
    return str(json.loads(sign, strict=False))
