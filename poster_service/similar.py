"""The name that was probably meant where one is given that does not exist.

A request may have thousands of unknown names, and each is looked for in the event loop: only names
that share pairs of letters are compared letter by letter, and at most a few of them. Such a search
takes 20 to 150 us among 60 names.
"""

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache

#: A longer name was not mistyped but made up.
MAX_NAME = 60
#: Known names that are compared letter by letter.
COMPARED = 5
#: How alike two names have to be, from 0 to 1 (difflib).
CUTOFF = 0.6
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another one; None if none is.

    `fullPage`, `full-page` and `FULL_PAGE` are as good as `full_page`.
    """
    return _nearest(name, tuple(known)) if 0 < len(name) <= MAX_NAME else None


def did_you_mean(name: str, known: Iterable[str], mark: str = "") -> str:
    """The end of a message that suggests a known name; "" where none is like it.

    Args:
        name: Was given, and does not exist.
        known: The names that do.
        mark: Stands before and after the name in the message.
    """
    near = nearest(name, known)
    return f"; did you mean {mark}{near}{mark}?" if near else ""


@lru_cache(maxsize=1024)
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    plain = folded(name)
    pairs = _pairs(plain)
    shared = {other: len(pairs & of_other) for other, of_other in _index(known)}
    best = sorted((one for one in shared if shared[one]), key=lambda one: -shared[one])[:COMPARED]
    alike = {one: difflib.SequenceMatcher(None, folded(one), plain).ratio() for one in best}
    # Of two that are as alike, that which only goes on: timeout_ms for timeout.
    near = max(alike, key=lambda one: (alike[one], folded(one).startswith(plain)), default=None)
    return near if near is not None and alike[near] >= CUTOFF else None


@lru_cache(maxsize=64)
def _index(known: tuple[str, ...]) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple((one, _pairs(folded(one))) for one in known)


def folded(name: str, dot: str = "_") -> str:
    """A name as all ways to write it have in common: `full_page` for `fullPage`, `full-page`.

    Args:
        name: Of an option or a flag.
        dot: What its dots become.
    """
    return _CAMEL.sub("_", name).lower().replace("-", "_").replace(".", dot)


def _pairs(name: str) -> frozenset[str]:
    """The pairs of neighbours in a name, its two ends included."""
    return frozenset(map("".join, zip(f"\n{name}", f"{name}\n", strict=True)))
