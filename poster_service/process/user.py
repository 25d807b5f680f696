"""The user that a lease's program runs as, where the service itself is root.

A program of root's, once it is broken out of, is root. So the shim gives its program away to a user
that owns nothing, and keeps root for itself: it must end, reap and remove what that user leaves.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

#: What root needs for it, by number (linux/capability.h). Docker gives all five unless told not to.
NEEDED = {0: "CHOWN", 1: "DAC_OVERRIDE", 5: "KILL", 6: "SETGID", 7: "SETUID"}


@dataclass(frozen=True)
class User:
    """A user and its group, by number.

    Attributes:
        uid: 1 or more, never root's.
        gid: The one group it is in.
    """

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


#: The number above means "leave it as it is" to setresuid(2), and so root.
MOST = (1 << 32) - 2
#: A number that nobody has: neither Debian (policy, 9.2.2) nor systemd (UIDs and GIDs) gives out
#: 65520 to 65533, and a user namespace of the usual 65536 numbers still has it. `nobody` will not
#: do: other daemons are nobody too, and could be signalled and traced, and NFS and user namespaces
#: show as nobody's what belongs to somebody else.
UNUSED = User(65530, 65530)


def named(text: str) -> User:
    """A user from a name of this machine, `uid` or `uid:gid`; without a gid it is the uid's number.

    Raises:
        ValueError: There is no such name or number, or it is root.
    """
    uid, _, gid = text.partition(":")
    if uid.isdigit():
        found = User(int(uid), int(gid or uid))
    else:
        try:
            entry = pwd.getpwnam(text)
        except KeyError:
            raise ValueError(f"this machine has no user {text!r}") from None
        found = User(entry.pw_uid, entry.pw_gid)
    if max(found.uid, found.gid) > MOST:
        raise ValueError(f"a uid and a gid are {MOST} at most")
    if found.uid == 0:
        raise ValueError("that is root; `same` leaves Chrome the service's own user")
    return found


def missing_capabilities(status: str = "") -> tuple[str, ...]:
    """What root lacks here to run programs as another user and end them; empty when nothing.

    Asked for before anything starts: without KILL, say, a program would start that nobody can end.

    Args:
        status: Text of /proc/self/status, read when empty.
    """
    for line in (status or Path("/proc/self/status").read_text("latin-1")).splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return tuple(name for bit, name in NEEDED.items() if not effective >> bit & 1)
    return tuple(NEEDED.values())


def is_root() -> bool:
    """Whether this service may be able to run its programs as somebody else."""
    return os.geteuid() == 0
