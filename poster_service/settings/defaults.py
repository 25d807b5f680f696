"""Defaults that depend on the machine or on how the service was installed."""

import math
import os
from pathlib import Path


def default_templates() -> Path:
    """The templates that come with the service: in the package (wheel) or beside it (clone)."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def processors(root: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors this process may keep busy, 1 to 256.

    The least of: the CPU affinity (sched_setaffinity(2)), and the CPU quota of the control group,
    rounded up. In a container its own group is the root of what it sees. `cpu.max` is of version 2
    of the interface, the other two files of version 1 (cgroups(7)).
    """
    allowed = len(os.sched_getaffinity(0))
    for quota_file, period_file in (
        ("cpu.max", ""),
        ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
    ):
        try:
            words = (root / quota_file).read_text().split()
            words += (root / period_file).read_text().split() if period_file else []
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):  # not this version, or "max"
            continue
        if quota > 0 and period > 0:
            allowed = min(allowed, math.ceil(quota / period))
    return max(1, min(256, allowed))
