"""Docker's seccomp profile as the plain one of the OCI runtime specification.

    python3 flatten.py [ARCHITECTURE...] < docker/seccomp.json > poster-service.json

Docker's form has rules with conditions ("only with CAP_SYS_ADMIN", "only on s390"). Docker and
CRI-O work them out. containerd reads a Localhost profile as the plain form: the conditions are lost
and every rule counts, so that mount, bpf and the like would be allowed, and clone by the rule for
s390. Here they are worked out, for a container without any capability. Standard library only.
"""

import json
import sys
from typing import Any

#: What Go calls an architecture, and what libseccomp does.
ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}


def flatten(profile: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    """The same profile for these architectures and no capability, without conditions."""
    unknown = set(wanted) - set(ARCHITECTURES)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)} (known: {', '.join(ARCHITECTURES)})")
    native = {ARCHITECTURES[name] for name in wanted}
    architectures = [
        name
        for entry in profile["archMap"]
        if entry["architecture"] in native
        for name in (entry["architecture"], *(entry["subArchitectures"] or ()))
    ]
    kept = ("names", "action", "errnoRet", "args")
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": architectures,
        "syscalls": [
            {key: rule[key] for key in kept if rule.get(key) is not None}
            for rule in profile["syscalls"]
            if applies(rule, set(wanted))
        ],
    }


def applies(rule: dict[str, Any], wanted: set[str]) -> bool:
    """Whether a rule counts; every kernel that Chrome runs on is newer than any `minKernel`."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("caps"):
        return False
    if includes.get("arches") and not wanted & set(includes["arches"]):
        return False
    return not wanted <= set(excludes.get("arches") or ())


if __name__ == "__main__":
    made = flatten(json.load(sys.stdin), sys.argv[1:] or list(ARCHITECTURES))
    sys.stdout.write(json.dumps(made, indent=1) + "\n")
