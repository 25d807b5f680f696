"""Tests stand alone: what several test files need lives in a module that is not a test."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.long_files import LONG_FILES

ROOT = Path(__file__).parents[2]


def imported(source: str) -> Iterator[str]:
    """The full name of every module and object that a source file imports, at any place in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def imported_tests(source: str) -> list[str]:
    """The imported names that lead into a file that pytest collects."""
    ours = (name for name in imported(source) if name.startswith(("tests.", "test_")))
    return [name for name in ours if any(part.startswith("test_") for part in name.split("."))]


def test_no_test_file_is_imported() -> None:
    """Neither by another test nor by a helper, a benchmark or a tool."""
    files = [path for name in ("tests", "bench", "tools") for path in (ROOT / name).rglob("*.py")]
    assert len(files) > 100
    found = {str(path.relative_to(ROOT)): imported_tests(path.read_text()) for path in files}
    assert {name: names for name, names in found.items() if names} == {}


def test_every_long_file_is_there() -> None:
    """Or the folder that stands for its files; otherwise its head start is lost without a word."""
    assert [name for name in LONG_FILES if not (ROOT / name).exists()] == []


def test_every_way_to_import_a_test_file_is_found() -> None:
    """As a module, from its package, relatively, and inside a function."""
    for line in (
        "import tests.web.test_serve",
        "from tests.web.test_serve import run",
        "from tests.web import test_serve",
        "from .test_serve import run",
        "def f():\n    from tests.web import test_serve",
    ):
        assert len(imported_tests(line)) == 1, line
    for line in ("from tests.web.served import run", "from aiohttp.test_utils import TestServer"):
        assert imported_tests(line) == [], line
