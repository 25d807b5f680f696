"""`.ci/run` forgives a few tests that pass alone, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAILS = "def test_{0}():\n    assert False\n"
FAILS_ONCE = """
from pathlib import Path
def test_{0}():
    seen = Path("{0}.seen")
    if not seen.exists():
        seen.touch()
        assert False
"""
ENDS_THE_RUN = "import pytest\ndef test_z():\n    pytest.exit('cut off', 2)\n"


pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose runs are kept as ours are."""
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tools/again.py", tmp_path)
    hook = (ROOT / "tests/conftest.py").read_text("utf-8").partition("def pytest_sessionfinish")[2]
    text = "import pytest\n\n\ndef pytest_sessionfinish" + hook.partition("\n\n\n")[0]
    (tmp_path / "conftest.py").write_text(text, "utf-8")
    return tmp_path


def python(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What Python did there, with no plug-in of ours, which would take seconds of CPU."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def run(project: Path, tests: str, *cache: str) -> tuple[int, str]:
    """Run the tests, which fail, and what failed again; its exit status and words."""
    (project / "tests/test_it.py").write_text(tests, "utf-8")
    kept = [word for folder in cache for word in ("-o", f"cache_dir={folder}")]
    first = python(project, "-m", "pytest", "-q", *kept)
    assert first.returncode != 0
    again = python(project, "again.py", *cache)
    return again.returncode, again.stderr


def test_what_passes_alone_is_forgiven_and_named(project: Path) -> None:
    """Each name is a fault to mend."""
    status, words = run(project, FAILS_ONCE.format("a") + FAILS_ONCE.format("b"))
    assert status == 0
    assert "to be mended" in words
    assert "test_it.py::test_a" in words
    assert "test_it.py::test_b" in words


def test_each_python_has_a_cache_of_its_own(project: Path) -> None:
    """`make test-pythons` names its folder; of one without a run nothing is forgiven."""
    status, words = run(project, FAILS_ONCE.format("a"), "other/cache")
    assert status == 0
    assert "test_it.py::test_a" in words
    assert not (project / ".pytest_cache").exists()
    assert python(project, "again.py").returncode == 1


def test_what_fails_twice_stays_a_failure(project: Path) -> None:
    """One of two is enough."""
    status, words = run(project, FAILS_ONCE.format("a") + FAILS.format("b"))
    assert status == 1
    assert "failed twice" in words


def test_seven_failures_are_no_accident(project: Path) -> None:
    """They do not run again."""
    status, words = run(project, "".join(FAILS_ONCE.format(name) for name in "abcdefg"))
    assert status == 1
    assert "7 tests failed" in words


def test_a_run_that_was_cut_off_stays_a_failure(project: Path) -> None:
    """Its other tests have not run."""
    status, words = run(project, FAILS_ONCE.format("a") + ENDS_THE_RUN)
    assert status == 1
    assert "exit status 2" in words


def test_without_a_failed_test_something_else_has_failed(project: Path) -> None:
    """Lint, types or the set-up."""
    done = python(project, "again.py")
    assert done.returncode == 1
    assert "is not a test" in done.stderr
