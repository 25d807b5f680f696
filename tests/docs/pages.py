"""The pages that people read, their code blocks, and the mark of each block that is not run.

A block fenced as `sh` is run by `test_commands.py`. Any other block, and an `sh` block that cannot
run there, has a mark in the line above it, a comment that no reader sees:

    <!-- tested by: tests/image/test_compose.py::test_name -->   another test runs it
    <!-- only help: a full run takes 20 minutes -->              only its --help is run
    <!-- not run: needs a Kubernetes cluster -->                 nothing runs it, for this reason
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Markdown that users read. CHANGELOG.md tells of the past, with the names of that time.
PAGES = (
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "SECURITY.md",
    ROOT / "docker" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
KINDS = ("tested by", "only help", "not run")
_MARK = re.compile(r"<!-- (?P<kind>[a-z ]+): (?P<words>.+) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: Where it stands.
        line: Number of the line of its opening fence.
        language: The word after the fence; empty where there is none.
        text: What is between the fences.
        kind: Of its mark, one of `KINDS`; empty without one.
        words: Of its mark: a test, or a reason.
    """

    page: Path
    line: int
    language: str
    text: str
    kind: str = ""
    words: str = ""

    def __str__(self) -> str:
        """As editors take it: the page and the line."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """A page's path below the root, for the names of tests."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in their order.

    Raises:
        ValueError: A fence is never closed.
    """
    lines = page.read_text("utf-8").splitlines()
    opened: int | None = None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("```"):
            continue
        if opened is None:
            opened = number
            continue
        found = _MARK.search(lines[opened - 1]) if opened else None
        indent = len(lines[opened]) - len(lines[opened].lstrip())
        yield Block(
            page, opened + 1, lines[opened].strip().removeprefix("```"),
            "".join(f"{one[indent:]}\n" for one in lines[opened + 1 : number]),
            found["kind"] if found else "", found["words"] if found else "",
        )  # fmt: skip
        opened = None
    if opened is not None:
        raise ValueError(f"{name_of(page)}:{opened + 1}: this fence is never closed")


def prose(page: Path) -> str:
    """What an author wrote on a page: without fenced blocks, comments, code and generated parts.

    The words of a generated part are those of its source.
    """
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!-- generated: (\S+) -->.*?<!-- end: \1 -->", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.sub(r"`[^`\n]+`", "", text)
