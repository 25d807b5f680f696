"""Which processes are alive or zombies, and what is left on disk: a check, and the last backstop.

Processes are recognised by their tag, a soft RLIMIT_LOCKS value that the shim sets on itself. Every
process of its lease inherits it, in every sandbox mode, and it can be read even of a zombie. Names
and command lines are never used to find anything.
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
#: How long a backstop waits for the processes that it killed, in seconds; under load one took 3.9 s
#: to exit (docs/facts.md).
SWEEP_SECONDS = 10.0
#: Half of what one read of a file in /proc returns at most, in bytes.
HALF_PAGE = 2048


@dataclass(frozen=True)
class Seen:
    """One process of a lease as the kernel showed it at one moment.

    Attributes:
        pid: Its pid.
        tag: Its tag.
        name: Its name, at most 15 bytes (proc(5), comm).
        state: Its state as psutil names it, e.g. "sleeping", "disk-sleep", "zombie".
        parent: Its parent's pid; of a zombie, the process that does not wait for it.
        memory: Resident memory in bytes; 0 for a zombie.
        started: When it started, seconds since the epoch; with the pid it identifies a process.
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
        """Whether it has exited and its parent has not waited for it."""
        return self.state == psutil.STATUS_ZOMBIE


@dataclass(frozen=True)
class Census:
    """What was there at one moment.

    Attributes:
        alive: Tagged processes that run, sleep or are stopped.
        zombies: Tagged processes that have exited and were not waited for.
        folders: Lease folders on disk.
        seconds: How long taking the snapshot took.
    """

    alive: tuple[Seen, ...]
    zombies: tuple[Seen, ...]
    folders: tuple[str, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class KillResult:
    """What a backstop killed, and what outlived it.

    Attributes:
        killed: How many processes it sent SIGKILL to.
        survivors: Those that were still there when it gave up, mostly in uninterruptible sleep.
    """

    killed: int
    survivors: tuple[Seen, ...] = ()


def make_tag(instance: int, lease: int) -> int:
    """The tag of one lease; both numbers wrap around their width."""
    instance &= (1 << INSTANCE_BITS) - 1
    lease &= (1 << LEASE_BITS) - 1
    return MAGIC << (INSTANCE_BITS + LEASE_BITS) | instance << LEASE_BITS | lease


def instance_of(tag: int) -> int | None:
    """The instance that a tag belongs to; None when the number is not a tag of ours."""
    if tag < 0 or tag >> (INSTANCE_BITS + LEASE_BITS) != MAGIC:
        return None
    return tag >> LEASE_BITS & ((1 << INSTANCE_BITS) - 1)


def tag_of(pid: int) -> int:
    """The soft RLIMIT_LOCKS of a process, also of a zombie; -1 for none.

    For a process of another user prlimit(2) needs CAP_SYS_RESOURCE, which root lacks in a
    container. Every user may read the limit in /proc, for 20 times the CPU.

    Raises:
        ProcessLookupError: There is no such process.
    """
    try:
        return resource.prlimit(pid, RLIMIT_LOCKS)[0]
    except PermissionError:
        # Another user's: it can only be ours if the service is root and runs Chrome as another
        # user.
        return locks_limit(pid) if is_root() else -1


def locks_limit(pid: int) -> int:
    """The soft RLIMIT_LOCKS as /proc shows it; -1 when there is none.

    Raises:
        ProcessLookupError: There is no such process.
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
    """Every process with a tag of ours, of one instance, or of any for None."""
    for pid in psutil.pids():
        try:
            tag = tag_of(pid)
        except ProcessLookupError:
            continue
        owner = instance_of(tag)
        if owner is None or (instance is not None and owner != instance):
            continue
        if (seen := inspect(pid, tag)) is not None:
            yield seen


def inspect(pid: int, tag: int) -> Seen | None:
    """One process as it is now, with the tag that was read of it; None when it is gone."""
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


def snapshot(instance: int | None, folder: Path) -> Census:
    """All tagged processes and lease folders that are there now.

    Reads all of /proc: call it from a thread where time matters.

    Args:
        instance: Only processes of this instance; None for those of any.
        folder: The instance folder, which holds lease folders.
    """
    begin = time.perf_counter()
    seen = list(tagged(instance))
    return Census(
        alive=tuple(each for each in seen if not each.zombie),
        zombies=tuple(each for each in seen if each.zombie),
        folders=tuple(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else (),
        seconds=time.perf_counter() - begin,
    )


async def end_all(
    belongs: Callable[[int], bool], spare: Collection[int] = (), seconds: float = SWEEP_SECONDS
) -> KillResult:
    """Send SIGKILL to every live process whose tag belongs, until none is left or time is up.

    The backstop for a lease whose shim died or hangs, and the sweep after a previous instance.

    Args:
        belongs: Whether processes with this tag are to be killed.
        spare: Pids that are left alone.
        seconds: When to give up.
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
    """SIGKILL through a pidfd, and only if the tag is still the same: the pid may be reused."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(seen.pid)
        try:
            if tag_of(seen.pid) == seen.tag:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                return True
        finally:
            os.close(pidfd)
    return False


def unhealthy_below(pid: int) -> frozenset[int]:
    """Pids of a process and all its descendants of which each is stopped or a zombie.

    What is left of a lease is below its shim, so this reads a few files of a Chrome, where a search
    for its tag reads all of /proc: 0.6 instead of 11 ms of CPU on a machine with 2,800 processes.
    """
    return frozenset(each for each in (pid, *_descendants(pid)) if _state(each) in (b"T", b"Z"))


def _state(pid: int) -> bytes:
    """The state of a process as a letter (proc_pid_stat(5)); empty when it is gone."""
    with contextlib.suppress(OSError):
        # Its name, in brackets, may have any bytes in it.
        return _content(f"/proc/{pid}/stat").rpartition(b") ")[2][:1]
    return b""


def memory_below(pid: int) -> int:
    """Bytes of anonymous and shared memory of all descendants of a process."""
    total = 0
    for each in _descendants(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in _content(f"/proc/{each}/status").splitlines():
                if line.startswith((b"RssAnon:", b"RssShmem:")):
                    total += int(line.split()[1]) << 10
    return total


def _descendants(pid: int) -> Iterator[int]:
    """All descendants of a process, zombies too."""
    todo = _children(pid)
    while todo:
        yield (child := todo.pop())
        todo += _children(child)


def _children(pid: int) -> list[int]:
    """Direct children of every thread of a process.

    Chrome's processes have some sixty threads, so this uses no `Path`, which would take as long
    again.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - see above
            with contextlib.suppress(OSError):
                found += map(int, _content(f"/proc/{pid}/task/{task}/children").split())
    return found


def _content(file: str) -> bytes:
    """The content of a file of /proc, of which the kernel returns a page at a time.

    A page that is not half full is the last one: the kernel cuts between entries, of which each is
    short or a page of its own.

    Raises:
        OSError: It cannot be opened or read.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = part = os.read(descriptor, 1 << 16)
        while len(part) > HALF_PAGE:
            part = os.read(descriptor, 1 << 16)
            found += part
        return found
    finally:
        os.close(descriptor)
