"""The functions that the page of the architecture lists are there, by these names."""

import ast
import re

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def functions() -> set[str]:
    """Every function of the package: `module.name` of a module, `Class.name` of a class."""
    found: set[str] = set()
    for path in sorted((ROOT / "poster_service").rglob("*.py")):
        module = ast.parse(path.read_text("utf-8"))
        classes = [one for one in module.body if isinstance(one, ast.ClassDef)]
        places = [(path.stem, module.body), *((one.name, one.body) for one in classes)]
        found |= {
            f"{place}.{one.name}"
            for place, body in places
            for one in body
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    return found


def listed() -> list[str]:
    """The functions in the table from the handler to the pipe, those that come later too."""
    _, _, rest = PAGE.partition("### From the handler to the pipe")
    rows = re.findall(r"^\| (`\w+\..*?) \|", rest.partition("\n## ")[0], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([A-Za-z_]+\.[a-z_]+)`", row)]


def test_every_function_from_the_handler_to_the_pipe_is_there() -> None:
    """So that a list of a path that has changed fails."""
    names = listed()
    assert names[0] == "handlers.render"
    assert names[-1] == "PipeConnection.send"
    assert set(names) - functions() == set()


def test_every_function_of_the_path_of_a_job_is_there() -> None:
    """The same for the table of a job and its worker."""
    _, _, rest = PAGE.partition("## A job, and a worker")
    rows = re.findall(r"^\| .*", rest.partition("\n## ")[0], re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([A-Za-z_]+\.[a-z_]+)`", row)}
    assert {"Jobs.submit", "Runner.run"} <= names
    assert names - functions() == set()


def test_the_path_is_no_longer_than_it_was() -> None:
    """Each row is one more function that a reader has to open."""
    _, _, rest = PAGE.partition("### From the handler to the pipe")
    rows = re.findall(r"^\| `", rest.partition("\n## ")[0], re.MULTILINE)
    assert 0 < len(rows) <= 12
