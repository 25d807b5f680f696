"""Judges what an audit could find out; tools/audit.sh calls it.

    audit.py report REPORT LOG    what pip-audit found, and the packages that it could not check
    audit.py copy LOCK            the locked versions by safety-db, an offline copy of advisories
    audit.py debian               updates that wait for the Debian packages that the service runs on

Each prints what was checked and what was not. Statuses: 0 nothing found, 1 something found, 3 not
checked. `copy` needs `packaging` and `safety-db`; the rest is the standard library.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOUND, NOT_CHECKED = 1, 3
#: What the service runs on, of Debian; their dependencies are looked at too.
DEBIAN = ("chromium-headless-shell", "chromium", "python3", "fontconfig")


def say(text: str) -> None:
    """A line of the result."""
    print(f"audit: {text}")  # noqa: T201 - a command's output


def judge_report(report: dict[str, Any] | None, log: str) -> int:
    """What pip-audit's JSON report says; None where it wrote none."""
    packages = report["dependencies"] if report else []
    skipped = [one for one in packages if "skip_reason" in one]
    asked = [one for one in packages if "skip_reason" not in one]
    if not asked:
        reason = skipped[0]["skip_reason"] if skipped else (log.strip().splitlines() or ["?"])[-1]
        say("NOT CHECKED: no current advisories about the Python packages can be had here")
        say(f"  ({reason})")
        return NOT_CHECKED
    faults = [(one, fault) for one in asked for fault in one["vulns"]]
    say(f"{len(asked)} Python packages were asked about, {len(faults)} advisories concern them")
    for one, fault in faults:
        fixed = ", ".join(fault.get("fix_versions") or ["none"])
        say(f"  {one['name']} {one['version']}: {fault['id']}, mended in {fixed}")
    for one in skipped:
        say(f"  NOT CHECKED: {one['name']} ({one['skip_reason']})")
    return FOUND if faults or skipped else 0


def locked(text: str) -> dict[str, str]:
    """Versions by package, of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def concerned(
    versions: dict[str, str], advisories: dict[str, list[dict[str, Any]]]
) -> Iterator[str]:
    """The advisories of an offline copy that name a locked version."""
    from packaging.specifiers import SpecifierSet

    for name, version in versions.items():
        for advisory in advisories.get(name.lower(), []):
            if any(SpecifierSet(spec).contains(version) for spec in advisory["specs"]):
                yield f"{name} {version}: {advisory.get('cve') or advisory['id']}"


def judge_copy(lock: str) -> int:
    """The locked versions by safety-db, whose files are read: it cannot be imported."""
    spec = importlib.util.find_spec("safety_db")
    assert spec is not None
    assert spec.origin is not None
    advisories = json.loads((Path(spec.origin).parent / "insecure_full.json").read_text("utf-8"))
    versions = locked(lock)
    known = versions.keys() & advisories.keys()
    found = list(concerned(versions, advisories))
    say(
        "checked instead: safety-db, advisories until July 2021, which knows"
        f" {len(known)} of the {len(versions)} packages; {len(found)} concern the locked versions."
        " It says nothing of what became known since"
    )
    for line in found:
        say(f"  {line}")
    return FOUND if found else 0


def run(*command: str) -> str:
    """What a command prints, "" where it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    return done.stdout if done.returncode == 0 else ""


def upgradable(listed: str) -> dict[str, str]:
    """Newer versions by package, of `apt list --upgradable`."""
    return dict(re.findall(r"^([^/\s]+)/\S+ (\S+) \S+ \[upgradable", listed, re.MULTILINE))


def judge_debian() -> int:
    """Updates of Debian that wait for what the service runs on; Chrome's come within days."""
    if not shutil.which("apt-get"):
        say("NOT CHECKED: Debian's packages (no apt here)")
        return 0
    if os.geteuid() == 0:
        run("apt-get", "update", "-qq")
    installed = [
        name for name in DEBIAN if "installed" in run("dpkg-query", "-Wf", "${Status}", name)
    ]
    needed = run(
        "apt-cache", "depends", "--recurse", "--installed", "--no-recommends", "--no-suggests",
        "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", *installed,
    )  # fmt: skip
    names = set(re.findall(r"^(\w[^\s<]*)$", needed, re.MULTILINE)) | set(installed)
    waiting = upgradable(run("apt", "list", "--upgradable"))
    found = sorted(names & waiting.keys())
    lists = "" if os.geteuid() == 0 else " (by the lists of the last `apt-get update`)"
    say(
        f"checked: {len(names)} Debian packages that the service runs on here,"
        f" {len(found)} with a newer version in the archive{lists}"
    )
    if found:
        say(f"  apt-get install --only-upgrade {' '.join(found)}")
    return FOUND if found else 0


def main(arguments: list[str]) -> int:
    """The status of one part of the audit."""
    match arguments:
        case ["report", report, log]:
            file = Path(report)
            text = file.read_text("utf-8") if file.exists() else ""
            return judge_report(json.loads(text) if text else None, Path(log).read_text("utf-8"))
        case ["copy", lock]:
            return judge_copy(Path(lock).read_text("utf-8"))
        case ["debian"]:
            return judge_debian()
    sys.stderr.write(__doc__ or "")
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
