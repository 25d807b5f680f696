"""The user that a lease's program runs as, where the service itself is root.

An exploit that breaks out of a program run by root is root. So the shim runs its program as a user
that owns nothing, and stays root itself: it must end, reap and remove what that user leaves.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

#: Capabilities that root needs for it, by number (linux/capability.h). Docker grants all five by
#: default.
NEEDED = {0: "CHOWN", 1: "DAC_OVERRIDE", 5: "KILL", 6: "SETGID", 7: "SETUID"}


@dataclass(frozen=True)
class User:
    """A user and its group, as numbers.

    Attributes:
        uid: 1 or more, never root's.
        gid: Its only group.
    """

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


#: The next number means "unchanged" to setresuid(2), and so root.
MAX_ID = (1 << 32) - 2
#: A number that no user has: neither Debian (policy, 9.2.2) nor systemd (UIDs and GIDs) assigns
#: 65520 to 65533, and a user namespace with the usual 65536 numbers still contains it. The user
#: `nobody` is not an option: other daemons run as nobody too and could be signalled and traced, and
#: NFS and user namespaces show other users' files as nobody's.
UNUSED = User(65530, 65530)


def named(text: str) -> User:
    """The user that a user name, `uid` or `uid:gid` stands for; the gid defaults to the uid.

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
    if max(found.uid, found.gid) > MAX_ID:
        raise ValueError(f"a uid or gid must be at most {MAX_ID}")
    if found.uid == 0:
        raise ValueError("must not be root; `same` runs Chrome as the service's own user")
    return found


def missing_capabilities(status: str = "") -> tuple[str, ...]:
    """The capabilities that root lacks here to run programs as another user and end them.

    Checked before anything starts: without KILL, for example, a program would start that nothing
    here can end.

    Args:
        status: Text of /proc/self/status, read when empty.
    """
    for line in (status or Path("/proc/self/status").read_text("latin-1")).splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return tuple(name for bit, name in NEEDED.items() if not effective >> bit & 1)
    return tuple(NEEDED.values())


def is_root() -> bool:
    """Whether the service runs as root, and so may be able to run programs as another user."""
    return os.geteuid() == 0
