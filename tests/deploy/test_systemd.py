"""The systemd unit: known to systemd, and harmless to Chrome's sandbox.

`systemd-analyze verify` reads the unit, `security` weighs it, `syscall-filter` says what is in the
groups it forbids. What no tool here does is start it: that takes a machine that systemd runs.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from poster_service.commands.under_init import CLEAN_UP_SECONDS
from poster_service.settings import Settings
from tests.deploy.conftest import DOCKER, INIT_KILL_SECONDS, tool

UNIT = (DOCKER / "poster-service.service").read_text("utf-8")
#: The same for several on one machine, each named by its port.
TEMPLATE = (DOCKER / "poster-service@.service").read_text("utf-8")
#: The file of a unit, and its text.
UNITS = {"poster-service.service": UNIT, "poster-service@8081.service": TEMPLATE}
#: What Chrome's sandbox calls (seen with strace), and what the shims and the census live on.
NEEDED = {"chroot", "clone", "unshare", "setns", "seccomp", "prctl", "prlimit64", "kill", "waitid"}


def lines(key: str) -> list[str]:
    """The values given to a directive."""
    return re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze and keep what it says."""
    command = [tool("systemd-analyze", "systemd"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=UNITS)
def unit(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Each unit with its program where this machine has it."""
    here = Path(sys.executable).parent
    text = UNITS[request.param].replace("/opt/poster-service/.venv/bin", str(here))
    text = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)  # a file not there
    file: Path = tmp_path / request.param
    file.write_text(text)
    return file


def test_systemd_knows_every_directive(unit: Path) -> None:
    """`verify` tells unknown ones and bad values only in words, so there must be none."""
    reported = analyze("verify", str(unit))
    assert reported.returncode == 0, reported.stderr
    assert ours(reported.stderr) == []


@pytest.mark.parametrize(
    ("right", "wrong"), [("KillMode=mixed", "KilMode=mixed"), ("OOMPolicy=continue", "OOMPolicy=x")]
)
def test_verify_can_refuse(unit: Path, right: str, wrong: str) -> None:
    """A misspelt directive, and a value that there is not."""
    unit.write_text(unit.read_text().replace(right, wrong))
    reported = analyze("verify", str(unit))
    assert ours(reported.stderr), reported.stderr


def ours(reported: str) -> list[str]:
    """The lines about this unit, and not about others of the machine."""
    return [line for line in reported.splitlines() if any(name in line for name in UNITS)]


def test_it_is_well_confined(unit: Path) -> None:
    """By systemd's own scale of 0 (safe) to 10; 9.2 is what a bare unit gets."""
    reported = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"exposure level for \S+: ([\d.]+)", reported.stdout)
    if found is None:
        pytest.skip("this systemd cannot weigh a file (needs 250)")
    assert float(found[1]) < 3


def test_what_chrome_and_the_shims_call_is_not_forbidden() -> None:
    """Group by group of SystemCallFilter; it is a list of what is not allowed."""
    [forbidden] = lines("SystemCallFilter")
    assert forbidden.startswith("~")
    for group in forbidden.removeprefix("~").split():
        reported = analyze("syscall-filter", "--no-pager", group)
        calls = set(re.findall(r"^\s+(\w+)$", reported.stdout, re.MULTILINE))
        assert calls, group
        assert not calls & NEEDED, group
    assert set(lines("RestrictNamespaces")[0].split()) == {"user", "pid", "net"}
    for absent in ("MemoryDenyWriteExecute", "ProcSubset", "LimitLOCKS"):
        assert lines(absent) == []


def test_a_stop_has_time_enough_and_reaches_init_alone() -> None:
    """Here init waits for the service as long as renders and Chromes may take, then its graces."""
    assert lines("KillMode") == ["mixed"]
    needed = Settings.load({}, {}).stop_grace_seconds + CLEAN_UP_SECONDS + INIT_KILL_SECONDS
    assert float(lines("TimeoutStopSec")[0]) > needed


def test_the_work_folder_is_the_runtime_folder_and_short() -> None:
    """Full Chrome dies of a TMPDIR of 70 characters, and a lease adds some thirty."""
    [name] = lines("RuntimeDirectory")
    [folder] = [one for one in lines("Environment") if one.startswith("POSTER_WORK_DIR=")]
    assert folder == f"POSTER_WORK_DIR=/run/{name}"
    assert len(f"/run/{name}") < 30


def directives(text: str) -> list[str]:
    """The lines of a unit that are neither empty nor comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_template_is_the_unit_with_a_port_and_folders_of_its_own() -> None:
    """So all that is said of the unit, and tested of it, is true of the template."""
    plain, several = directives(UNIT), directives(TEMPLATE)
    assert [line for line in several if line not in plain] == [
        "Description=HTML to pictures with headless Chrome, on port %i",
        "Environment=POSTER_WORK_DIR=/run/poster-service-%i",
        "Environment=POSTER_PORT=%i",
        "EnvironmentFile=-/etc/default/poster-service-%i",
        "RuntimeDirectory=poster-service-%i",
    ]
    assert [line for line in plain if line not in several] == [
        "Description=HTML to pictures with headless Chrome",
        "Environment=POSTER_WORK_DIR=/run/poster-service",
        "RuntimeDirectory=poster-service",
    ]
    here = [line for line in several if line in plain]
    assert here == [line for line in plain if line in several], "in the same order"
    assert len("/run/poster-service-65535") < 30
    given = re.findall(r"^Environment=(\w+)=(.*)$", TEMPLATE.replace("%i", "8081"), re.MULTILINE)
    assert Settings.load(dict(given), {}).port == 8081
