# Runs once a second and inside containers too: plain posix functions, as in init and the shim.
# ruff: noqa: PTH112, PTH114, PTH115, PTH116, PTH118, PTH208
"""The process table and the file system as the kernel shows them, for one service's tree.

Standard library only, because the same text also runs inside a container that the host's /proc does
not show (`python3 -c TEXT`, one JSON request a line on stdin, one answer a line on stdout). It must
never wait for a process, and signals only a process that has the tag it was given.
"""

import json
import os
import resource
import signal
import sys
from typing import Any, NamedTuple

#: The tag of process/census.py: a soft RLIMIT_LOCKS of 0x9057 << 46 | instance << 22 | lease.
RLIMIT_LOCKS = 10
MAGIC, INSTANCE_BITS, LEASE_BITS = 0x9057, 24, 22
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
LISTENING = "0A"  # st column of /proc/net/tcp (proc(5))


class Row(NamedTuple):
    """One process; `pid` and `start` (clock ticks since boot) together identify it."""

    pid: int
    start: int
    parent: int
    group: int
    state: str
    name: str
    threads: int
    rss_kib: int
    tag: int
    command: str
    program: str

    @property
    def key(self) -> tuple[int, int]:
        """Identifies this process, unlike its pid, which may be reused."""
        return self.pid, self.start

    @property
    def zombie(self) -> bool:
        """Whether it has exited and was not waited for."""
        return self.state == "Z"

    @property
    def instance(self) -> int:
        """The instance of the service that started it; 0 when it is not tagged."""
        return self.tag >> LEASE_BITS & ((1 << INSTANCE_BITS) - 1) if self.tag else 0

    @property
    def lease(self) -> int | None:
        """The lease that it belongs to; None when it is not tagged."""
        return self.tag & ((1 << LEASE_BITS) - 1) if self.tag else None


def read(path: str) -> bytes:
    """A whole file; empty when it is gone or may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def pids() -> list[int]:
    """The pids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def row(pid: int) -> Row | None:
    """One process without its command line; None when it is gone."""
    text = read(f"/proc/{pid}/stat")
    if not text:
        return None
    name, _, rest = text.partition(b"(")[2].rpartition(b")")
    words = rest.split()
    return Row(
        pid, int(words[19]), int(words[1]), int(words[2]), words[0].decode(),
        name.decode(errors="replace"), int(words[17]), int(words[21]) * PAGE_KIB, tag_of(pid),
        "", "",
    )  # fmt: skip


def tag_of(pid: int) -> int:
    """The tag of a process, also of a zombie; 0 for none."""
    try:
        tag = resource.prlimit(pid, RLIMIT_LOCKS)[0]
    except PermissionError:  # of another user; root may lack CAP_SYS_RESOURCE, as in a container
        tag = locks_limit(pid)
    except (OSError, ValueError):
        return 0  # gone meanwhile
    return tag if tag >> (INSTANCE_BITS + LEASE_BITS) == MAGIC else 0


def locks_limit(pid: int) -> int:
    """The soft RLIMIT_LOCKS from /proc, slower but open to all; 0 when unlimited or gone."""
    for line in read(f"/proc/{pid}/limits").splitlines():
        if line.startswith(b"Max file locks"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else 0
    return 0


def namespace(pid: int | str) -> str:
    """The PID namespace of a process, zombies too; empty when it cannot be seen."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def command_of(pid: int) -> str:
    """The command line as it is now; Chrome's helpers rewrite theirs. Empty for a zombie."""
    return read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


class Table:
    """Finds all that belongs to one service: by its tree, its namespace, its tags, and its past.

    The past matters most: a process that was once seen in the tree counts as the service's, even if
    it moves, so an orphan that left the tree is still found.
    """

    def __init__(self) -> None:
        self._here = namespace("self")
        self._foreign = ""
        self._root: tuple[int, int] | None = None
        self._own: int | None = None
        self._instances: set[int] = set()
        self._known: dict[tuple[int, int], str] = {}

    def follow(self, root: int, own: int | None = None) -> None:
        """Take `root` for the top of the tree; its PID namespace is ours if it has its own.

        With `own` we are a subreaper with this one child of our own: every other child that turns
        up has left the service's tree, and belongs to the service.
        """
        self._own = own
        found = namespace(root)
        self._foreign = found if found != self._here else ""
        one = row(root)
        self._root = one.key if one else None

    def look(self) -> list[Row]:
        """All that belongs to the service now."""
        me = os.getpid()
        rows = {one.pid: one for one in map(row, pids()) if one is not None and one.pid != me}
        ours = self._scope(rows).values()
        named = [
            one._replace(command=self._command(one), program=link(f"/proc/{one.pid}/exe"))
            for one in ours
        ]
        self._known = {one.key: one.command for one in named}
        self._instances.update(one.instance for one in named if one.tag)
        return named

    def _scope(self, rows: dict[int, Row]) -> dict[int, Row]:
        top = rows.get(self._root[0]) if self._root else None
        # The pid of a root that is gone may have been reused.
        tree = descendants(rows, top.pid) if top and top.key == self._root else []
        found = {one.pid: one for one in tree}
        for one in rows.values():
            if one.pid not in found and self._is_ours(one):
                found[one.pid] = one
            elif self._own is not None and one.parent == os.getpid() and one.pid != self._own:
                found |= {lost.pid: lost for lost in descendants(rows, one.pid)}
        return found

    def _is_ours(self, one: Row) -> bool:
        if one.key in self._known or (one.tag and one.instance in self._instances):
            return True
        return bool(self._foreign) and namespace(one.pid) == self._foreign

    def _command(self, one: Row) -> str:
        """The newest command line that was seen of a process."""
        return (not one.zombie and command_of(one.pid)) or self._known.get(one.key, "")


def descendants(rows: dict[int, Row], root: int) -> list[Row]:
    """`root` and everything below it."""
    children: dict[int, list[Row]] = {}
    for one in rows.values():
        children.setdefault(one.parent, []).append(one)
    found, todo = [], [rows[root]] if root in rows else []
    while todo:
        found.append(todo[-1])
        todo.extend(children.get(todo.pop().pid, ()))
    return found


def resources(pid: int) -> dict[str, int]:
    """Descriptors, threads, RSS and PSS (KiB) of one process; empty when it is gone."""
    one = row(pid)
    if one is None or one.zombie:
        return {}
    try:
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        descriptors = 0
    pss = [line for line in read(f"/proc/{pid}/smaps_rollup").splitlines() if line[:4] == b"Pss:"]
    kib = int(pss[0].split()[1]) if pss else 0
    return {"fds": descriptors, "threads": one.threads, "rss_kib": one.rss_kib, "pss_kib": kib}


def folder(path: str, depth: int = 1) -> list[str]:
    """The entries of a folder, "name" or "name/inner"; empty when it does not exist."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return []
    found = []
    for name in names:
        inner = os.path.join(path, name)
        is_folder = depth > 1 and os.path.isdir(inner) and not os.path.islink(inner)
        found.append(name)
        found += [f"{name}/{one}" for one in folder(inner, depth - 1)] if is_folder else []
    return found


def owner(port: int, near: int) -> int:
    """The process that listens on a TCP port in the network namespace of `near`; 0 for none.

    Of several that share the socket, the oldest: workers inherit it from their parent.
    """
    wanted = {f"socket:[{inode}]" for inode in listening(port, near)}
    holders = [pid for pid in pids() if wanted and holds(pid, wanted)]
    rows = [one for one in map(row, holders) if one is not None]
    return min(rows, key=lambda one: one.start).pid if rows else 0


def listening(port: int, near: int) -> set[str]:
    """The inodes of the sockets that listen on a port."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in read(f"/proc/{near or 'self'}/net/{name}").decode().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                found.add(words[9])
    return found


def holds(pid: int, wanted: set[str]) -> bool:
    """Whether a process has one of these sockets open."""
    base = f"/proc/{pid}/fd"
    try:
        return any(link(f"{base}/{name}") in wanted for name in os.listdir(base))
    except OSError:
        return False


def link(path: str) -> str:
    """Where a link points, empty when it is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def variables(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty when it may not be read."""
    words = read(f"/proc/{pid}/environ").decode(errors="replace").split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def hit(pid: int, tag: int, number: int) -> bool:
    """Signal one tagged process, through a pidfd and after reading its tag again.

    So neither a process with a reused pid nor any process of another lease can be hit.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not tag or tag_of(pid) != tag:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def alive(pid: int, start: int) -> bool:
    """Whether this very process is still alive."""
    one = row(pid)
    return one is not None and one.start == start and not one.zombie


class Answers:
    """Answers requests, from this process or from a line on stdin."""

    def __init__(self) -> None:
        self._table = Table()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what `request["do"]` says."""
        done: dict[str, Any] = getattr(self, "_" + request.pop("do"))(**request)
        return done

    def _follow(self, root: int, own: int | None) -> dict[str, Any]:
        self._table.follow(root, own)
        return {}

    def _look(self, watch: list[int], folders: dict[str, tuple[str, int]]) -> dict[str, Any]:
        return {
            "rows": self._table.look(),
            "resources": {str(pid): resources(pid) for pid in watch},
            "folders": {name: folder(path, depth) for name, (path, depth) in folders.items()},
        }

    def _owner(self, port: int, near: int) -> dict[str, Any]:
        return {"pid": owner(port, near)}

    def _process(self, pid: int) -> dict[str, Any]:
        """What a process is, and all its ancestors."""
        above = []
        found = row(pid)
        while found is not None:
            above.append([found.pid, found.name, namespace(found.pid)])
            found = row(found.parent) if found.parent else None
        return {"above": above, "variables": variables(pid), "command": command_of(pid),
                "uid": os.stat(f"/proc/{pid}").st_uid, "namespace": namespace(pid)}  # fmt: skip

    def _hit(self, pid: int, tag: int, number: int) -> dict[str, Any]:
        return {"hit": hit(pid, tag, number)}

    def _alive(self, pid: int, start: int) -> dict[str, Any]:
        return {"alive": alive(pid, start)}


def main() -> None:
    """Answer until stdin ends; used only where this text was handed to `python3 -c`."""
    answers = Answers()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answers.answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
