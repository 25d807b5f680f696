"""Who is alive, who is a zombie, what is left on disk: a witness, not the means.

Processes are recognised by their tag, a soft RLIMIT_LOCKS value that every process of a lease
inherits, in every sandbox mode, and that can be read even of a zombie. Names and command lines are
never used to find anything.
"""

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

RLIMIT_LOCKS = 10
#: Tags look like 0x9057 << 46 | instance << 22 | lease: no other program sets such a limit.
MAGIC = 0x9057
INSTANCE_BITS = 24
LEASE_BITS = 22
#: How long the backstop waits for what it killed; under load a process took 3.9 s to go (FACTS).
SWEEP_SECONDS = 20.0


@dataclass(frozen=True)
class Seen:
    """One process of a lease as the kernel shows it now."""

    pid: int
    tag: int
    name: str
    zombie: bool
    parent: int

    @property
    def lease(self) -> int:
        """The lease's number within its instance."""
        return self.tag & ((1 << LEASE_BITS) - 1)


@dataclass(frozen=True)
class Census:
    """What is there at one moment.

    Attributes:
        alive: Tagged processes that run, sleep or are stopped.
        zombies: Tagged processes that are dead and not waited for.
        folders: Lease folders on disk.
    """

    alive: tuple[Seen, ...]
    zombies: tuple[Seen, ...]
    folders: tuple[str, ...]


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


def tagged(instance: int | None = None) -> Iterator[Seen]:
    """Every process that carries a tag of ours, of one instance or of any."""
    for pid in psutil.pids():
        try:
            tag, _ = resource.prlimit(pid, RLIMIT_LOCKS)
        except (ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or of another user, hence none of ours
        owner = instance_of(tag)
        if owner is None or (instance is not None and owner != instance):
            continue
        if (seen := _look(pid, tag)) is not None:
            yield seen


def _look(pid: int, tag: int) -> Seen | None:
    try:
        process = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return Seen(pid, tag, process.name(), zombie, process.ppid())
    except psutil.NoSuchProcess:
        return None


def take(instance: int | None, folder: Path) -> Census:
    """Count what is there now. Reads all of /proc: call it from a thread where time matters."""
    seen = list(tagged(instance))
    return Census(
        alive=tuple(one for one in seen if not one.zombie),
        zombies=tuple(one for one in seen if one.zombie),
        folders=tuple(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else (),
    )


async def end_tagged(tag: int) -> int:
    """SIGKILL every live process that carries `tag` until none is left; returns how many it hit.

    A backstop for a lease whose shim died. It gives up after SWEEP_SECONDS: what lives then sits in
    uninterruptible sleep, and the caller reports it.
    """
    hit: set[int] = set()
    loop = asyncio.get_running_loop()
    give_up = loop.time() + SWEEP_SECONDS
    while loop.time() < give_up:
        alive = await asyncio.to_thread(_alive_with, tag)
        if not alive:
            break
        hit.update(pid for pid in alive if _kill(pid, tag))
        await asyncio.sleep(0.02)
    return len(hit)


def _alive_with(tag: int) -> list[int]:
    return [seen.pid for seen in tagged() if seen.tag == tag and not seen.zombie]


def _kill(pid: int, tag: int) -> bool:
    """SIGKILL through a pidfd, with the tag read again behind it, so that no reused pid is hit."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if resource.prlimit(pid, RLIMIT_LOCKS)[0] != tag:
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True
