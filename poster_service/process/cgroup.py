"""A control group for each lease, where the operator sets limits and the kernel allows it.

Used only when a limit is set: the shim is what guarantees that nothing is left, a group costs some
15 ms at each start (docs/facts.md), and Docker mounts the tree read-only by default. With version 2
of the interface the group is also one more backstop: one write to `cgroup.kill` ends all in it.

The service creates a group and sets its limits. The shim moves itself into it before it starts
anything, so that every process of the lease starts inside, and leaves it at the end; then the group
is removed.
See cgroups(7) and the kernel's cgroup-v1/ and cgroup-v2 documents.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: For each limit: controller, file in version 1, file in version 2.
MEMORY = ("memory", "memory.limit_in_bytes", "memory.max")
PIDS = ("pids", "pids.max", "pids.max")


@dataclass(frozen=True)
class Limits:
    """What one lease may use; None sets no limit.

    Attributes:
        memory: Bytes of memory of all its processes.
        pids: Processes and threads.
    """

    memory: int | None = None
    pids: int | None = None

    def configured(self) -> list[tuple[tuple[str, str, str], int]]:
        """The limits that are set."""
        both = ((MEMORY, self.memory), (PIDS, self.pids))
        return [(kind, value) for kind, value in both if value is not None]


class CannotLimit(Exception):
    """The limits cannot be set here; the text says why."""


@dataclass(frozen=True)
class Hierarchy:
    """Where groups can be created, for the limits of one hierarchy.

    Attributes:
        folder: Our own group's folder.
        files: Pairs of file name and value that each new group gets.
    """

    folder: Path
    files: tuple[tuple[str, str], ...]


class Cgroups:
    """Creates the groups of leases; `find` constructs it."""

    def __init__(self, hierarchies: Sequence[Hierarchy]) -> None:
        self._hierarchies = tuple(hierarchies)

    @classmethod
    def find(cls, limits: Limits, mounts: str = "", own: str = "") -> "Cgroups":
        """Find where the limits can be set, and try it; without limits nothing is needed.

        Args:
            limits: What one lease may use.
            mounts: Text of /proc/self/mountinfo, read when empty.
            own: Text of /proc/self/cgroup, read when empty.

        Raises:
            CannotLimit: A controller is missing or its tree is not writable.
        """
        if not limits.configured():
            return cls(())
        mounts = mounts or Path("/proc/self/mountinfo").read_text()
        own = own or Path("/proc/self/cgroup").read_text()
        by_folder: dict[Path, list[tuple[str, str]]] = {}
        for kind, value in limits.configured():
            folder, file = _folder_of(kind, mounts, own)
            by_folder.setdefault(folder, []).append((file, str(value)))
        found = cls([Hierarchy(folder, tuple(files)) for folder, files in by_folder.items()])
        found._try()
        return found

    def make(self, name: str) -> tuple[Path, ...]:
        """Create the groups of one lease, with limits set; its shim joins them.

        Raises:
            CannotLimit: The kernel refuses.
        """
        created: list[Path] = []
        try:
            for hierarchy in self._hierarchies:
                folder = hierarchy.folder / name
                folder.mkdir()
                created.append(folder)
                for file, value in hierarchy.files:
                    (folder / file).write_text(value)
        except OSError as error:
            remove(created)
            raise CannotLimit(f"{error.filename}: {error.strerror}") from error
        return tuple(created)

    def _try(self) -> None:
        remove(self.make(f"poster-try-{os.getpid()}"))


def kill(groups: Sequence[Path]) -> None:
    """Kill all processes in these groups by `cgroup.kill` (version 2, Linux 5.14), where it is."""
    for group in groups:
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1")


def remove(groups: Sequence[Path]) -> None:
    """Remove empty groups; one that is not empty stays."""
    for group in groups:
        with contextlib.suppress(OSError):
            group.rmdir()


def _folder_of(kind: tuple[str, str, str], mounts: str, own: str) -> tuple[Path, str]:
    """Our own group's folder in the hierarchy that has a controller, and the file of the limit."""
    controller, first, second = kind
    paths = dict(_own_groups(own))
    for filesystem, options, root, mount in _cgroup_mounts(mounts):
        if filesystem == "cgroup" and controller in options and controller in paths:
            return _below(mount, root, paths[controller]), first
        if filesystem == "cgroup2" and "" in paths:
            folder = _below(mount, root, paths[""])
            with contextlib.suppress(OSError):
                if controller in (folder / "cgroup.subtree_control").read_text().split():
                    return folder, second
    raise CannotLimit(
        f"the {controller} controller is not delegated to this service's control group"
    )


def _own_groups(own: str) -> list[tuple[str, str]]:
    """Pairs of controller ("" for version 2) and path."""
    found = []
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        found += [(controller, path) for controller in controllers.split(",")]
    return found


def _cgroup_mounts(mounts: str) -> list[tuple[str, list[str], str, Path]]:
    """Type, super options, root and mount point of each cgroup mount (proc(5), mountinfo)."""
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        filesystem, _, options = after.split(" ", 2)
        if filesystem in ("cgroup", "cgroup2"):
            root, mount = before.split()[3:5]
            found.append((filesystem, options.split(","), root, Path(mount)))
    return found


def _below(mount: Path, root: str, path: str) -> Path:
    """A group's folder under a mount that may show only part of the hierarchy."""
    return mount / os.path.relpath(path, root) if path.startswith(root) else mount
