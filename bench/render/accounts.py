"""CPU and memory of a family of processes, dead ones too, from outside.

Two ways of counting CPU, and why both are exact:

- a control group of its own (cgroups(7), cpuacct of version 1 or cpu.stat of version 2): the kernel
  charges every nanosecond to the group that a process was born into, and keeps it when it dies;
- the tree under the init that starts it, where no group can be made: init is a subreaper, so no
  process leaves the tree; the time of the dead was added to their parent (`cutime`, `cstime` of
  proc_pid_stat(5)), and the living have their own. It misses only children of a parent that ignores
  SIGCHLD, and cuts up to 10 ms off each of a living process's four figures.

The first is used where it can be; the second is counted beside it, so that a result shows how far
they are apart.
"""

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

TICK = os.sysconf("SC_CLK_TCK")
GROUPS = Path("/sys/fs/cgroup")


#: Writes a shell into the group `$0`, then replaces it: all that follows is born inside.
ENTER = 'echo $$ > "$0" && exec "$@"'


def used_seconds(usage: Path) -> float:
    """CPU by a group's file, of either version."""
    text = usage.read_text()
    return int(text.split()[1]) / 1e6 if text.startswith("usage_usec") else int(text) / 1e9


class Group:
    """A control group for one family, made at once and removed by `close`."""

    def __init__(self, folder: Path, usage: str) -> None:
        self._folder = folder
        self.usage = folder / usage

    @property
    def enter(self) -> tuple[str, ...]:
        """What stands in front of a command to have it run inside."""
        return ("/bin/sh", "-c", ENTER, str(self._folder / "cgroup.procs"))

    def cpu_seconds(self) -> float:
        """All that the family has used."""
        return used_seconds(self.usage)

    def close(self) -> list[int]:
        """Remove it; the pids that are still in it, which must be none."""
        end = time.monotonic() + 5
        while True:
            left = [int(pid) for pid in (self._folder / "cgroup.procs").read_text().split()]
            if not left:
                self._folder.rmdir()
                return []
            if time.monotonic() > end:
                return left
            time.sleep(0.05)


def make_group() -> Group | None:
    """A group within our own, or None where the tree is not ours to write to."""
    name = f"poster-bench-{uuid.uuid4().hex[:8]}"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(","):
            folder, usage = GROUPS / "cpuacct" / path.lstrip("/") / name, "cpuacct.usage"
        elif not controllers:
            folder, usage = GROUPS / path.lstrip("/") / name, "cpu.stat"
        else:
            continue
        with suppress(OSError):
            folder.mkdir()
            if (folder / usage).exists():
                return Group(folder, usage)
            folder.rmdir()
    return None


def family(root: int) -> list[int]:
    """The living processes of a tree, its root first."""
    try:
        process = psutil.Process(root)
        return [root, *(child.pid for child in process.children(recursive=True))]
    except psutil.Error:
        return []


def eldest_child(pid: int) -> int:
    """The child that was born first."""
    children = psutil.Process(pid).children()
    return min(children, key=lambda child: child.create_time()).pid


def _stat(pid: int) -> list[int]:
    """utime, stime, cutime and cstime in ticks; nothing when it is gone."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return [int(field) for field in text.rpartition(")")[2].split()[11:15]]
    return []


def own_seconds(pid: int) -> float:
    """CPU of one process itself, threads that ended too, to the nanosecond; 0 when it is gone.

    By its clock, whose number is made of the pid (clock_getcpuclockid(3), CPUCLOCK_SCHED).
    """
    with suppress(OSError):
        return time.clock_gettime(~pid << 3 | 2)
    return 0.0


def tree_seconds(root: int) -> float:
    """CPU of a whole tree; taken when nothing dies, or the dying are counted twice or never."""
    return sum(sum(_stat(pid)) for pid in family(root)) / TICK


def pss(pids: list[int]) -> int:
    """Proportional set size in bytes (proc_pid_smaps(5)): who shares a page shares its cost."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
                    break
    return total
