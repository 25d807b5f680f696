#!/usr/bin/env python3
"""Writes docker/seccomp.json: Docker's default profile and what Chrome's own sandbox needs.

Usage: tools/seccomp.py DEFAULT.JSON > docker/seccomp.json

DEFAULT.JSON is `profiles/seccomp/default.json` of Docker (moby, Apache License 2.0), for example
from Debian's package golang-github-docker-docker-dev. Run it again when that has changed.
"""

import json
import sys
from pathlib import Path

#: Chrome's layer-1 sandbox makes a user, a PID and a network namespace for its zygote and drops the
#: file system (clone, unshare, setns, chroot). Inside its namespace it holds the capabilities for
#: that, outside none: so they are safe to allow to a process without any, as on a plain Debian.
NEEDED = {
    "names": ["chroot", "clone", "setns", "unshare"],
    "action": "SCMP_ACT_ALLOW",
    "comment": "Chrome's user-namespace sandbox (poster-service)",
}


def main() -> None:
    """Print the profile."""
    profile = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    profile["syscalls"].append(NEEDED)
    sys.stdout.write(json.dumps(profile, indent=2) + "\n")


if __name__ == "__main__":
    main()
