"""Who is alive, who is a zombie, what is left on disk: a witness, and the last backstop.

Processes are recognised by their tag, a soft RLIMIT_LOCKS value that the shim sets on itself and
every process of its lease inherits, in every sandbox mode, and that can be read even of a zombie.
Names and command lines are never used to find anything.
"""

import asyncio
import contextlib
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from poster_service.process.user import is_root

RLIMIT_LOCKS = 10
_LOCKS = re.compile(rb"^Max file locks +(\d+)", re.MULTILINE)
#: Tags look like 0x9057 << 46 | instance << 22 | lease: no other program sets such a limit.
MAGIC = 0x9057
INSTANCE_BITS = 24
LEASE_BITS = 22
#: How long a backstop waits for what it killed; under load a process took 3.9 s to go (FACTS).
SWEEP_SECONDS = 10.0


@dataclass(frozen=True)
class Seen:
    """One process of a lease as the kernel shows it now.

    Attributes:
        pid: Its number.
        tag: Its tag.
        name: Its name, at most 15 bytes (proc(5), comm).
        state: psutil's word for its state, e.g. "sleeping", "disk-sleep", "zombie".
        parent: Its parent's number; of a zombie, the one that fails to wait.
        memory: Resident memory in bytes; 0 for a zombie.
        started: When it started, seconds since the epoch; with the pid it names one process.
    """

    pid: int
    tag: int
    name: str
    state: str
    parent: int
    memory: int
    started: float

    @property
    def lease(self) -> int:
        """The lease's number within its instance."""
        return self.tag & ((1 << LEASE_BITS) - 1)

    @property
    def zombie(self) -> bool:
        """Whether it is dead and not waited for."""
        return self.state == psutil.STATUS_ZOMBIE


@dataclass(frozen=True)
class Census:
    """What is there at one moment.

    Attributes:
        alive: Tagged processes that run, sleep or are stopped.
        zombies: Tagged processes that are dead and not waited for.
        folders: Lease folders on disk.
        seconds: How long the counting took.
    """

    alive: tuple[Seen, ...]
    zombies: tuple[Seen, ...]
    folders: tuple[str, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class KillResult:
    """What a backstop did.

    Attributes:
        killed: How many processes it sent SIGKILL.
        survivors: Those that were still there when it gave up, in uninterruptible sleep as a rule.
    """

    killed: int
    survivors: tuple[Seen, ...] = ()


def make_tag(instance: int, lease: int) -> int:
    """The tag of one lease; both numbers wrap around their width."""
    instance &= (1 << INSTANCE_BITS) - 1
    lease &= (1 << LEASE_BITS) - 1
    return MAGIC << (INSTANCE_BITS + LEASE_BITS) | instance << LEASE_BITS | lease


def instance_of(tag: int) -> int | None:
    """The instance a tag belongs to; None when the number is no tag of ours."""
    if tag < 0 or tag >> (INSTANCE_BITS + LEASE_BITS) != MAGIC:
        return None
    return tag >> LEASE_BITS & ((1 << INSTANCE_BITS) - 1)


def tag_of(pid: int) -> int:
    """The soft RLIMIT_LOCKS of a process, zombies too; -1 for none.

    prlimit(2) shows that of another user only to who has CAP_SYS_RESOURCE, which root has not in a
    container; everybody may read it in /proc, for 20 times the CPU.

    Raises:
        ProcessLookupError: It is gone.
    """
    try:
        return resource.prlimit(pid, RLIMIT_LOCKS)[0]
    except PermissionError:
        # Of another user: only root's programs may be somebody else's and ours all the same.
        return locks_limit(pid) if is_root() else -1


def locks_limit(pid: int) -> int:
    """The soft RLIMIT_LOCKS as /proc tells it; -1 when there is none.

    Raises:
        ProcessLookupError: The process is gone.
    """
    try:
        text = Path(f"/proc/{pid}/limits").read_bytes()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    except PermissionError:  # hidepid= of proc(5)
        return -1
    found = _LOCKS.search(text)
    return int(found[1]) if found else -1


def tagged(instance: int | None = None) -> Iterator[Seen]:
    """Every process that carries a tag of ours, of one instance or of any."""
    for pid in psutil.pids():
        try:
            tag = tag_of(pid)
        except ProcessLookupError:
            continue
        owner = instance_of(tag)
        if owner is None or (instance is not None and owner != instance):
            continue
        if (seen := look(pid, tag)) is not None:
            yield seen


def unhealthy(instance: int) -> frozenset[tuple[int, int]]:
    """Lease and pid of every process of an instance that is stopped, or dead and not waited for.

    Reads all of /proc: call it from a thread.
    """
    bad = (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
    return frozenset((one.lease, one.pid) for one in tagged(instance) if one.state in bad)


def look(pid: int, tag: int) -> Seen | None:
    """One process as it is now; None when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return Seen(
                pid=pid,
                tag=tag,
                name=process.name(),
                state=process.status(),
                parent=process.ppid(),
                memory=process.memory_info().rss,
                started=process.create_time(),
            )
    except psutil.NoSuchProcess:
        return None


def take(instance: int | None, folder: Path) -> Census:
    """Count what is there now. Reads all of /proc: call it from a thread where time matters."""
    begin = time.perf_counter()
    seen = list(tagged(instance))
    return Census(
        alive=tuple(one for one in seen if not one.zombie),
        zombies=tuple(one for one in seen if one.zombie),
        folders=tuple(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else (),
        seconds=time.perf_counter() - begin,
    )


async def end_all(
    belongs: Callable[[int], bool], spare: Collection[int] = (), seconds: float = SWEEP_SECONDS
) -> KillResult:
    """SIGKILL every live process whose tag belongs, but `spare`, until none is left or time is up.

    The backstop for a lease whose shim died or hangs, and the sweep after an earlier life.
    """
    hit: set[int] = set()
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while alive := await asyncio.to_thread(_alive, belongs, spare):
        if loop.time() > give_up:
            return KillResult(len(hit), tuple(alive))
        hit.update(seen.pid for seen in alive if _kill(seen))
        await asyncio.sleep(0.02)
    return KillResult(len(hit))


def _alive(belongs: Callable[[int], bool], spare: Collection[int]) -> list[Seen]:
    return [s for s in tagged() if belongs(s.tag) and not s.zombie and s.pid not in spare]


def _kill(seen: Seen) -> bool:
    """SIGKILL through a pidfd, with the tag read again behind it, so that no reused pid is hit."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(seen.pid)
        try:
            if tag_of(seen.pid) == seen.tag:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                return True
        finally:
            os.close(pidfd)
    return False


def memory_below(pid: int) -> int:
    """Bytes of anonymous and shared memory of a process's descendants, as far as they are there."""
    total, todo = 0, _children(pid)
    while todo:
        one = todo.pop()
        todo += _children(one)
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{one}/status").read_text("latin-1").splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1]) << 10
    return total


def _children(pid: int) -> list[int]:
    """Direct children of every thread of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found
