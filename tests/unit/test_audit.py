"""The audit: a package that no source was asked about is never passed as sound."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOUND = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
UNKNOWN = {"name": "yarl", "skip_reason": "Dependency not found and could not be audited"}
HOLE = {
    "name": "urllib3", "version": "1.26.20",
    "vulns": [{"id": "CVE-2099-1", "fix_versions": ["2.0"], "aliases": []}],
}  # fmt: skip


def load() -> ModuleType:
    """The tool, which is in no package."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / "tools/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit = load()


@pytest.mark.parametrize(
    ("packages", "status", "output"),
    [
        ([SOUND], 0, "1 Python packages were asked about, 0 advisories"),
        ([SOUND, HOLE], 1, "urllib3 1.26.20: CVE-2099-1, mended in 2.0"),
        ([SOUND, UNKNOWN], 1, "NOT CHECKED: yarl"),
        ([UNKNOWN], 3, "NOT CHECKED: no current advisories"),
        ([], 3, "NOT CHECKED: no current advisories"),
    ],
)
def test_what_the_advisories_say(
    packages: list[dict[str, Any]], status: int, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sound, a hole, one package left out, none asked at all."""
    assert audit.judge_report({"dependencies": packages}, "") == status
    assert output in capsys.readouterr().out


def test_without_a_report_the_last_line_of_the_log_is_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No network, for example."""
    (tmp_path / "log").write_text("Traceback\nConnectionError: no route\n")
    assert audit.main(["report", str(tmp_path / "none.json"), str(tmp_path / "log")]) == 3
    assert "ConnectionError: no route" in capsys.readouterr().out


def test_an_offline_advisory_concerns_the_versions_that_it_names() -> None:
    """By ranges, and by the name however it is written."""
    advisories = {"aiohttp": [{"specs": [">=3.0,<3.7.4"], "cve": "CVE-2021-21330", "id": "x"}]}
    old, new = audit.locked("aiohttp==3.7.3 \\\n"), audit.locked("aiohttp==3.7.4 ; x\n")
    assert list(audit.concerned(old, advisories)) == ["aiohttp 3.7.3: CVE-2021-21330"]
    assert list(audit.concerned(new, advisories)) == []


def test_updates_that_wait_are_read_from_apt() -> None:
    """Its list has a heading and a line for each."""
    listed = (
        "Listing...\n"
        "libxml2/stable-security 2.9.14-3 amd64 [upgradable from: 2.9.14-1]\n"
        "dpkg/stable,now 1.2 amd64 [installed]\n"
    )
    assert audit.upgradable(listed) == {"libxml2": "2.9.14-3"}


@pytest.mark.endurance
@pytest.mark.timeout(900)
def test_the_audit_says_what_it_could_not_check() -> None:
    """The command itself, with the network that there is here."""
    done = subprocess.run([ROOT / "tools/audit.sh"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 3), done.stderr
    was_asked = "Python packages were asked about" in done.stdout
    assert was_asked != ("NOT CHECKED: no current advisories" in done.stdout)
    assert was_asked or "safety-db" in done.stdout
    assert was_asked or done.returncode != 0
