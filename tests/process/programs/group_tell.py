"""Writes all that a program can see of itself as one line of JSON into descriptor N, then leaves.

Usage: group_tell.py N. Imports as little as it can: an import may open or change what is looked at.
"""

import json
import os
import resource
import sys


def status(field):
    """One line of /proc/self/status."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].strip()
    return ""


def parent_death_signal():
    """The signal that comes when the parent dies: PR_GET_PDEATHSIG, prctl(2)."""
    import ctypes

    number = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)
    return number.value


def descriptors():
    """What is open, by number: what each link says, without the one that lists them."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue
    return found


# Before anything else is opened, and with the signal state as it came: Python itself ignores
# SIGPIPE and SIGXFSZ and catches SIGINT, which is why those three are looked at elsewhere.
reported = {
    "descriptors": descriptors(),
    "ignored": int(status("SigIgn"), 16),
    "blocked": int(status("SigBlk"), 16),
    "pid": os.getpid(),
    "parent": os.getppid(),
    "session": os.getsid(0),
    "group": os.getpgid(0),
    "tag": resource.getrlimit(10)[0],
    "hard": resource.getrlimit(10)[1],
    "environment": dict(os.environ),
    "folder": os.getcwd(),  # noqa: PTH109
    "parent_death_signal": parent_death_signal(),
    "arguments": sys.argv[1:],
}
os.write(int(sys.argv[1]), json.dumps(reported).encode() + b"\n")
