"""Snapshots of a service from outside, once a second, and what of it is too much at rest.

Trusts nothing that the service reports: only the process table, its files and /dev/shm.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from poster_service.loadtest.proctable import Row
from poster_service.loadtest.views import View

#: Prefixes of names that Chrome and its drivers leave in /tmp and /dev/shm. Only such names count
#: where other programs write there too; in a container everything new counts.
FORGOTTEN = (
    ".org.chromium.", "org.chromium.", ".com.google.Chrome.", "com.google.Chrome.", "chrome_",
    "puppeteer_dev", "pyppeteer", "playwright", "Crashpad", "shmfd-",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the service is; pids are those that its view sees.

    Attributes:
        root: Top of its tree: PID 1 of its namespace, init, or the service itself.
        service: The process that listens.
        files: Prefix under which the view sees its file system, "" for the same one.
        work_dir: Folder of its leases as the service names it, "" when it has none.
        alone: Whether it has a PID namespace of its own.
        owns_tmp: Whether no other program writes to its /tmp and /dev/shm.
        ours: Whether its work folder was created for this run: all in it is the service's.
    """

    root: int
    service: int
    files: str = ""
    work_dir: str = ""
    alone: bool = False
    owns_tmp: bool = False
    ours: bool = False

    @property
    def folders(self) -> dict[str, tuple[str, int]]:
        """What to list: name, path, depth."""
        found = {"shm": (f"{self.files}/dev/shm", 1), "tmp": (f"{self.files}/tmp", 1)}  # noqa: S108
        if self.work_dir:
            found["work"] = (self.files + self.work_dir, 2)
        return found


@dataclass(frozen=True)
class Snapshot:
    """What was there at one moment.

    Attributes:
        at: Seconds since the load began.
        took: Seconds that taking it took.
        life: 1 before the first restart of the service, one more after each.
        place: Where the service is.
        rows: Its processes.
        folders: Entries of the folders of `Place.folders`, by their name there.
        resources: Descriptors, threads, rss_kib and pss_kib of "service" and "init".
    """

    at: float
    took: float
    life: int
    place: Place
    rows: tuple[Row, ...]
    folders: dict[str, list[str]] = field(default_factory=dict)
    resources: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def zombies(self) -> list[Row]:
        """Processes that have exited and were not waited for."""
        return [one for one in self.rows if one.zombie]

    @property
    def living(self) -> list[Row]:
        """All other processes."""
        return [one for one in self.rows if not one.zombie]

    @property
    def tagged(self) -> list[Row]:
        """Living processes of leases."""
        return [one for one in self.living if one.tag]

    @property
    def chromes(self) -> list[Row]:
        """Those of them that are Chrome's: not the shim, which may have the tag too."""
        return [one for one in self.tagged if not self.is_shim(one)]

    def is_shim(self, one: Row) -> bool:
        """Whether a process can be a shim: the service's own interpreter, but not the service."""
        ends = (self.place.root, self.place.service)
        return one.pid not in ends and bool(one.program) and one.program == self._program

    @cached_property
    def _program(self) -> str:
        """The program of the service's own process; "" when it is gone."""
        return next((one.program for one in self.rows if one.pid == self.place.service), "")

    def leases(self) -> dict[int, list[Row]]:
        """Living processes by tag."""
        found: dict[int, list[Row]] = {}
        for one in self.tagged:
            found.setdefault(one.tag, []).append(one)
        return found

    def shim_of(self, lease: Sequence[Row]) -> Row | None:
        """The live shim above a lease; None when its processes have another parent."""
        members = [one for one in lease if not self.is_shim(one)]
        # A dead leader that is about to be reaped makes no orphans: the shim adopts its children.
        inside = {one.pid for one in self.rows if one.tag == lease[0].tag and not self.is_shim(one)}
        above = {one.parent for one in members} - inside
        shims = [one for one in self.living if one.pid in above and self.is_shim(one)]
        if not members:  # its Chrome is not there yet, or not any more
            return lease[0]
        return shims[0] if len(above) == len(shims) == 1 else None

    def orphans(self) -> list[Row]:
        """Living processes of leases without a live shim."""
        return [one for lease in self.leases().values() if not self.shim_of(lease) for one in lease]

    def numbers(self) -> dict[str, Any]:
        """The figures that are plotted and recorded."""
        return {
            "at": round(self.at, 2), "life": self.life, "processes": len(self.living),
            "tagged": len(self.chromes), "leases": len(self.leases()),
            "zombies": len(self.zombies), "orphans": len(self.orphans()),
            "folders": len(lease_folders(self)), "snapshot_ms": round(self.took * 1000, 1),
            **{f"{who}_{what}": number for who, found in self.resources.items()
               for what, number in found.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Left:
    """One thing that should not be there.

    Attributes:
        what: "zombie", "orphan", "process", "escaped", "lease folder", "file", "shared memory".
        pid: As the view sees it; 0 for files.
        lease: Number within its instance, None when it is not known.
        detail: Command line or path, and the parent that does not wait.
    """

    what: str
    pid: int
    lease: int | None
    detail: str

    def __str__(self) -> str:
        pid = f" {self.pid}" if self.pid else ""
        lease = f" (lease {self.lease})" if self.lease is not None else ""
        return f"{self.what}{pid}{lease}: {self.detail}"

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def lease_folders(snapshot: Snapshot) -> list[str]:
    """Lease folders on disk, as "instance/lease" below the work folder."""
    return [
        name for name in snapshot.folders.get("work", ()) if name.rpartition("/")[2].isdigit()
        and "/" in name and instance_of(name)
    ]  # fmt: skip


def instance_of(name: str) -> int:
    """The instance of a work folder's entry: 0x1f for "1f", "1f.lock", "1f/3"; 0 for none."""
    try:
        return int(name.partition("/")[0].removesuffix(".lock"), 16)
    except ValueError:
        return 0


class Rest:
    """What may be there at rest, from a snapshot of the service before the load."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.leases = len(snapshot.leases())
        shims = {
            one.key for lease in snapshot.leases().values() if (one := snapshot.shim_of(lease))
        }
        self.residents = {one.key for one in snapshot.living if not one.tag} - shims
        self._mine = {one.instance for one in snapshot.tagged}
        self.folders = {name: set(found) for name, found in snapshot.folders.items()}

    def left(self, snapshot: Snapshot) -> list[Left]:
        """Everything that is too much, while the service runs."""
        names = {one.pid: one for one in snapshot.rows}
        fine = self._ready(snapshot)
        found = [zombie(one, names) for one in snapshot.zombies]
        orphans = {one.key for one in snapshot.orphans()}
        for one in snapshot.living:
            if one.key not in fine and one.key not in self.residents:
                what = "orphan" if one.key in orphans else "process"
                found.append(Left(what, one.pid, one.lease, one.command or f"[{one.name}]"))
        return found + self._files(
            snapshot, {one.tag for one in snapshot.tagged if one.key in fine}
        )

    def _ready(self, snapshot: Snapshot) -> set[tuple[int, int]]:
        """The processes, shims too, of as many leases with a live shim as there were before."""
        found: set[tuple[int, int]] = set()
        whole = [
            (lease, shim)
            for lease in snapshot.leases().values()
            if (shim := snapshot.shim_of(lease))
        ]
        for lease, shim in whole[: self.leases]:
            found |= {one.key for one in lease} | {shim.key}
        return found

    def _files(self, snapshot: Snapshot, held: set[int]) -> list[Left]:
        homes = {f"{row.instance:x}/{row.lease}" for row in snapshot.tagged if row.tag in held}
        alive = {row.instance for row in snapshot.tagged}
        found = []
        for name in self._new(snapshot, "work"):
            lease = name in lease_folders(snapshot)
            # Beside its leases a running service may have a lock file and other files.
            if name in homes or (instance_of(name) in alive and not lease):
                continue
            found.append(Left("lease folder" if lease else "file", 0, _lease_of(name, lease),
                              f"{snapshot.place.work_dir}/{name}"))  # fmt: skip
        return found + self._forgotten(snapshot)

    def _new(self, snapshot: Snapshot, where: str) -> list[str]:
        """Entries that are new or the service's own; of a shared folder only the latter."""
        before = self.folders.get(where, set())
        self._mine |= {row.instance for row in snapshot.rows if row.tag}
        private = snapshot.place.ours or snapshot.place.alone
        return [
            name for name in snapshot.folders.get(where, ())
            if (private and name not in before) or instance_of(name) in self._mine
        ]  # fmt: skip

    def _forgotten(self, snapshot: Snapshot) -> list[Left]:
        """New files in /tmp and /dev/shm that can only be the service's."""
        found = []
        for where, what in (("shm", "shared memory"), ("tmp", "file")):
            path = "/dev/shm" if where == "shm" else "/tmp"  # noqa: S108 - looked at only
            for name in snapshot.folders.get(where, ()):
                if name in self.folders.get(where, set()):
                    continue
                if f"{path}/{name}" == snapshot.place.work_dir:
                    continue
                if snapshot.place.owns_tmp or name.startswith(FORGOTTEN):
                    found.append(Left(what, 0, None, f"{path}/{name}"))
        return found

    def left_after_end(self, snapshot: Snapshot) -> list[Left]:
        """Everything that is still there after the service has ended."""
        names = {one.pid: one for one in snapshot.rows}
        found = [zombie(one, names) for one in snapshot.zombies]
        found += [
            Left("orphan" if one.tag else "process", one.pid, one.lease, one.command or one.name)
            for one in snapshot.living
        ]
        if snapshot.place.ours:
            self.folders = {**self.folders, "work": set()}  # all in it is the service's
        return found + self._files(snapshot, set())


def _lease_of(name: str, is_lease: bool) -> int | None:
    return int(name.rpartition("/")[2]) if is_lease else None


def zombie(one: Row, names: dict[int, Row]) -> Left:
    """A zombie, with the parent that does not wait for it."""
    parent = names.get(one.parent)
    who = (parent.command or parent.name) if parent else "outside its tree"
    detail = f"{one.command or f'[{one.name}]'}; not waited for by {one.parent} ({who})"
    return Left("zombie", one.pid, one.lease, detail)


class Watch:
    """Takes a snapshot once a second and records its figures; processes only of the latest."""

    def __init__(self, view: View, place: Place, clock: Callable[[], float]) -> None:
        self.view = view
        self.place = place
        self.life = 1
        self.numbers: list[dict[str, Any]] = []
        self.latest: Snapshot | None = None
        self.escaped: dict[tuple[int, int], Row] = {}
        self._clock = clock
        self._own: int | None = None

    async def follow(self, place: Place, own: int | None = None) -> None:
        """Watch this place from now on; `own` is the child of ours that is above it, if any."""
        self.place, self._own = place, own
        await self.view.ask("follow", root=place.root, own=own)

    async def snapshot(self) -> Snapshot:
        """Take a snapshot."""
        place, begin = self.place, time.perf_counter()
        who = {"service": place.service, "init": place.root}
        if place.root == place.service:
            del who["init"]
        seen = await self.view.ask("look", watch=list(who.values()), folders=place.folders)
        rows = tuple(one for one in seen["rows"] if not self._escaped(one))
        usage = {name: found for name, pid in who.items() if (found := seen["resources"][str(pid)])}
        took = time.perf_counter() - begin
        self.latest = Snapshot(self._clock(), took, self.life, place, rows, seen["folders"], usage)
        return self.latest

    def _escaped(self, one: Row) -> bool:
        """Record and reap a process that left the service's tree: as a subreaper we adopt it.

        Each by its pid, and only when it is dead; our own child is waited for elsewhere. We adopt
        the PID 1 of a namespace when we had to kill its `unshare`, which is no escape.
        """
        if self._own is None or one.parent != os.getpid() or one.pid == self._own:
            return False
        if one.pid != self.place.root:
            self.escaped[one.key] = one if one.command else self.escaped.get(one.key, one)
        if one.zombie:
            os.waitpid(one.pid, os.WNOHANG)
        return True

    async def keep_watching(self, period: float = 1.0) -> None:
        """Take a snapshot every `period` seconds until cancelled; a slow one delays the next."""
        while True:
            snapshot = await self.snapshot()
            self.numbers.append(snapshot.numbers())
            await asyncio.sleep(max(period - snapshot.took, period / 2))

    async def settle(
        self, left: Callable[[Snapshot], list[Left]], seconds: float
    ) -> tuple[Snapshot, list[Left]]:
        """Wait until nothing is left or the time is up; the last snapshot, and what is left."""
        give_up = time.monotonic() + seconds
        while True:
            snapshot = await self.snapshot()
            found = left(snapshot)
            if not found or time.monotonic() > give_up:
                return snapshot, found
            await asyncio.sleep(0.2)


def flatness(numbers: Sequence[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Medians of the first and the last tenth of the service's longest run, for each figure.

    Compared within one run, because a restart would hide what had grown before it.
    """
    up = [one for one in numbers if "service_fds" in one]
    lives = {one["life"] for one in up}
    longest = max(
        ([one for one in up if one["life"] == life] for life in lives), key=len, default=[]
    )
    tenth = max(1, len(longest) // 10)
    names = [name for name in (longest[0] if longest else {}) if name not in ("at", "life")]
    return {
        name: (_median(longest[:tenth], name), _median(longest[-tenth:], name)) for name in names
    }


def _median(numbers: Sequence[dict[str, Any]], name: str) -> float:
    return float(statistics.median(one.get(name, 0) for one in numbers))
