"""The worst words of this project's former dialect stay out of what people read.

A short list, each with what to write instead: prose of Markdown, comments and strings of Python; of
tests and benches comments and docstrings, since their other strings are data. No name has one.
"""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, prose

#: What is searched: pages, or Python files below a folder.
ROOTS: tuple[Path, ...] = (
    *PAGES,
    ROOT / "poster_service",
    ROOT / "templates",
    ROOT / "docker",
    ROOT / "tools",
    ROOT / "tests",
    ROOT / "bench",
)
#: Roots in which strings other than docstrings are data.
DATA_IN = (ROOT / "tests", ROOT / "bench")
#: Tokens behind which a string is no part of an expression, and so a docstring.
BEFORE_DOCSTRINGS = {
    tokenize.ENCODING,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
}
#: A pattern, and the remedy.
WORST = {
    r"\btold\b": "reported, returned, logged; name the actor",
    r"\banew\b": "again",
    r"\bnone of ours\b": "unknown",
    r"\b(is|are|was) none (of|that)\b": "is not a ...",
    r"\bnobody in particular\b": "an unprivileged user",
    r"\bseen gone\b": "confirmed to have ended",
    r"\bas it must be\b": "name the fault",
    r"\bwhatever\b": "name it",
    r"\b(who|which|wher)ever\b": "a caller, an operator, a process; each of them, in any place",
    r"(?<![`'])\bnobody\b(?![`']| too)": "no other client, no user",  # `nobody` is a user
    r"\b(some|any|every)body\b": "a caller, an operator, all callers",
    r"\bcannot be had\b": "is not available",
    r"\bof (its|our|your) own making\b": "its own",
    r"\bhas had its share\b": "rate limit exceeded",
    r"\bstrangers?\b": "untrusted HTML, other processes",
    r"\bthe word of\b": "the value, the status",
    r"\bcomes? along\b": "is included, is sent with",
    r"\bthat (is|are) there (is|are)\b": "an existing ...",
}
#: The same as parts of names; NOBODY, in capitals, is the user.
IN_NAMES = {
    "told", "anew", "whatever", "whoever", "whichever", "wherever", "somebody", "anybody",
    "everybody", "everybodys", "strangers",
}  # fmt: skip
THIS = Path(__file__)


def texts(root: Path) -> list[tuple[str, str]]:
    """What people read below a root: the place and the text."""
    if root.suffix == ".md":
        return [(root.name, prose(root))]
    files = [path for path in sorted(root.rglob("*.py")) if path != THIS]
    is_data = root in DATA_IN
    return [
        (f"{path.name}:{line}", text)
        for path in files
        for line, text in words_of(path, only_docstrings=is_data)
    ]


def words_of(path: Path, *, only_docstrings: bool = False) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and, if they are no data, other strings of a Python file, with lines."""
    kinds = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    before = tokenize.ENCODING
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            is_string = token.type in kinds
            is_docstring = is_string and before in BEFORE_DOCSTRINGS
            is_read = is_docstring or (is_string and not only_docstrings)
            if token.type == tokenize.COMMENT or is_read:
                yield token.start[0], token.string
            if token.type not in (tokenize.COMMENT, tokenize.NL):
                before = token.type


def found_in(text: str) -> list[str]:
    """The bad words of a text, each with what to write instead."""
    return [
        f"{found[0]!r}: {remedy}"
        for pattern, remedy in WORST.items()
        if (found := re.search(pattern, text, re.IGNORECASE))
    ]


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: str(root.relative_to(ROOT)))
def test_plain_words(root: Path) -> None:
    """None of the worst is there."""
    bad = [f"{place}: {one}" for place, text in texts(root) for one in found_in(text)]
    assert not bad, "\n".join(bad)


def test_the_test_of_the_words_can_fail(tmp_path: Path) -> None:
    """In a page and in Python; in code it is no word."""
    page, module = tmp_path / "page.md", tmp_path / "module.py"
    page.write_text("The caller is told.\n")
    module.write_text(
        'told = 1  # a name, which the linter of names looks at\nx = "painted anew"\n'
    )
    assert [place for place, text in texts(page) if found_in(text)] == ["page.md"]
    assert [place for place, text in texts(tmp_path) if found_in(text)] == ["module.py:2"]
    page.write_text("`told`\n")
    assert not found_in(texts(page)[0][1])
    module.write_text(
        '"""One."""\n\n\ndef f(x="told"):\n    """Two."""  # three\n    return "four"\n'
    )
    found = [text for _, text in words_of(module, only_docstrings=True)]
    assert found == ['"""One."""', '"""Two."""', "# three"]


def test_no_name_has_one() -> None:
    """A name says what a value is, not who said it; in tests and benches too."""
    roots = [ROOT / name for name in ("poster_service", "tests", "bench", "tools")]
    named = [
        f"{path.relative_to(ROOT)}:{token.start[0]}"
        for root in roots
        for path in sorted(root.rglob("*.py"))
        if path != THIS
        for token in tokenize.generate_tokens(
            iter(path.read_text("utf-8").splitlines(True)).__next__
        )
        if token.type == tokenize.NAME and IN_NAMES & set(token.string.lower().split("_"))
    ]
    assert named == []
