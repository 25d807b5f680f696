"""What is there, looked at from outside once a second, and what of it is too much at rest.

Trusts nothing the service says: only the process table, its files and /dev/shm.
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

#: How Chrome and its kin begin the names of what they forget in /tmp and /dev/shm. Only names
#: like these are counted where others write there too; in a container everything new is.
FORGOTTEN = (
    ".org.chromium.", "org.chromium.", ".com.google.Chrome.", "com.google.Chrome.", "chrome_",
    "puppeteer_dev", "pyppeteer", "playwright", "Crashpad", "shmfd-",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the service is, as its view numbers processes.

    Attributes:
        root: Top of its tree: PID 1 of its namespace, init, or the service itself.
        service: The process that listens.
        files: Prefix under which its file system is seen from the view, "" for the same one.
        work_dir: Folder of its leases as the service names it, "" when it has none.
        alone: Nobody else writes to its /tmp and /dev/shm.
        ours: Its work folder was made for this run: all in it is its own.
    """

    root: int
    service: int
    files: str = ""
    work_dir: str = ""
    alone: bool = False
    ours: bool = False

    @property
    def folders(self) -> dict[str, tuple[str, int]]:
        """What to list: name, path, depth."""
        found = {"shm": (f"{self.files}/dev/shm", 1), "tmp": (f"{self.files}/tmp", 1)}  # noqa: S108
        if self.work_dir:
            found["work"] = (self.files + self.work_dir, 2)
        return found


@dataclass(frozen=True)
class Look:
    """One look.

    Attributes:
        at: Seconds since the load began.
        took: Seconds of the look itself.
        life: Which life of the service this is; one more after each restart.
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
        """The dead who are not waited for."""
        return [one for one in self.rows if one.zombie]

    @property
    def living(self) -> list[Row]:
        """Everyone else."""
        return [one for one in self.rows if not one.zombie]

    @property
    def tagged(self) -> list[Row]:
        """Living processes of leases."""
        return [one for one in self.living if one.tag]

    @property
    def chromes(self) -> list[Row]:
        """Those of them that are Chrome's, not the shim, which may carry the tag too."""
        return [one for one in self.tagged if not self.is_shim(one)]

    def is_shim(self, one: Row) -> bool:
        """Whether a process can be a shim: the service's own interpreter, but not the service."""
        ends = (self.place.root, self.place.service)
        return one.pid not in ends and bool(one.program) and one.program == self._program

    @cached_property
    def _program(self) -> str:
        """What the service itself runs on; "" when it is gone."""
        return next((one.program for one in self.rows if one.pid == self.place.service), "")

    def leases(self) -> dict[int, list[Row]]:
        """Living processes by tag."""
        found: dict[int, list[Row]] = {}
        for one in self.tagged:
            found.setdefault(one.tag, []).append(one)
        return found

    def shim_of(self, lease: Sequence[Row]) -> Row | None:
        """The live shim above a lease; None when its processes hang elsewhere."""
        members = [one for one in lease if not self.is_shim(one)]
        # A dead leader about to be reaped makes no orphans: its children are the shim's.
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
        """What is plotted and kept."""
        return {
            "at": round(self.at, 2), "life": self.life, "processes": len(self.living),
            "tagged": len(self.chromes), "leases": len(self.leases()),
            "zombies": len(self.zombies), "orphans": len(self.orphans()),
            "folders": len(lease_folders(self)), "look_ms": round(self.took * 1000, 1),
            **{f"{who}_{what}": number for who, found in self.resources.items()
               for what, number in found.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Left:
    """One thing that should not be there.

    Attributes:
        what: "zombie", "orphan", "process", "escaped", "lease folder", "file", "shared memory".
        pid: As the view numbers it; 0 for files.
        lease: Number within its instance, None when it is not known.
        told: Command line or path, and who fails to wait.
    """

    what: str
    pid: int
    lease: int | None
    told: str

    def __str__(self) -> str:
        pid = f" {self.pid}" if self.pid else ""
        lease = f" (lease {self.lease})" if self.lease is not None else ""
        return f"{self.what}{pid}{lease}: {self.told}"

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def lease_folders(look: Look) -> list[str]:
    """Lease folders on disk, as "instance/lease" below the work folder."""
    return [
        name for name in look.folders.get("work", ()) if name.rpartition("/")[2].isdigit()
        and "/" in name and instance_of(name)
    ]  # fmt: skip


def instance_of(name: str) -> int:
    """Whose an entry of the work folder is: "1f", "1f.lock", "1f/3" are 0x1f's; 0 for nobody's."""
    try:
        return int(name.partition("/")[0].removesuffix(".lock"), 16)
    except ValueError:
        return 0


class Rest:
    """What may be there at rest, from a look at the service before the load."""

    def __init__(self, look: Look) -> None:
        self.leases = len(look.leases())
        shims = {one.key for lease in look.leases().values() if (one := look.shim_of(lease))}
        self.residents = {one.key for one in look.living if not one.tag} - shims
        self._mine = {one.instance for one in look.tagged}
        self.folders = {name: set(found) for name, found in look.folders.items()}

    def left(self, look: Look) -> list[Left]:
        """Everything that is too much, while the service lives on."""
        names = {one.pid: one for one in look.rows}
        fine = self._ready(look)
        found = [zombie(one, names) for one in look.zombies]
        orphans = {one.key for one in look.orphans()}
        for one in look.living:
            if one.key not in fine and one.key not in self.residents:
                what = "orphan" if one.key in orphans else "process"
                found.append(Left(what, one.pid, one.lease, one.command or f"[{one.name}]"))
        return found + self._files(look, {one.tag for one in look.tagged if one.key in fine})

    def _ready(self, look: Look) -> set[tuple[int, int]]:
        """The processes of as many leases under a live shim as there were before, shims too."""
        kept: set[tuple[int, int]] = set()
        whole = [(lease, shim) for lease in look.leases().values() if (shim := look.shim_of(lease))]
        for lease, shim in whole[: self.leases]:
            kept |= {one.key for one in lease} | {shim.key}
        return kept

    def _files(self, look: Look, held: set[int]) -> list[Left]:
        homes = {f"{row.instance:x}/{row.lease}" for row in look.tagged if row.tag in held}
        alive = {row.instance for row in look.tagged}
        found = []
        for name in self._new(look, "work"):
            lease = name in lease_folders(look)
            # Beside its leases a living service may keep a lock, and books of its own.
            if name in homes or (instance_of(name) in alive and not lease):
                continue
            found.append(Left("lease folder" if lease else "file", 0, _lease_of(name, lease),
                              f"{look.place.work_dir}/{name}"))  # fmt: skip
        return found + self._forgotten(look)

    def _new(self, look: Look, where: str) -> list[str]:
        """What was not there before, or is of this service; of a shared folder only that."""
        before = self.folders.get(where, set())
        self._mine |= {row.instance for row in look.rows if row.tag}
        private = look.place.ours or look.place.alone
        return [
            name for name in look.folders.get(where, ())
            if (private and name not in before) or instance_of(name) in self._mine
        ]  # fmt: skip

    def _forgotten(self, look: Look) -> list[Left]:
        """New files in /tmp and /dev/shm that can only be the service's."""
        found = []
        for where, what in (("shm", "shared memory"), ("tmp", "file")):
            path = "/dev/shm" if where == "shm" else "/tmp"  # noqa: S108 - looked at only
            for name in look.folders.get(where, ()):
                if name in self.folders.get(where, set()):
                    continue
                if f"{path}/{name}" == look.place.work_dir:
                    continue
                if look.place.alone or name.startswith(FORGOTTEN):
                    found.append(Left(what, 0, None, f"{path}/{name}"))
        return found

    def left_after_end(self, look: Look) -> list[Left]:
        """Everything that is there although the service has ended."""
        names = {one.pid: one for one in look.rows}
        found = [zombie(one, names) for one in look.zombies]
        found += [
            Left("orphan" if one.tag else "process", one.pid, one.lease, one.command or one.name)
            for one in look.living
        ]
        if look.place.ours:
            self.folders = {**self.folders, "work": set()}  # nothing in it is anybody else's
        return found + self._files(look, set())


def _lease_of(name: str, is_lease: bool) -> int | None:
    return int(name.rpartition("/")[2]) if is_lease else None


def zombie(one: Row, names: dict[int, Row]) -> Left:
    """A zombie, with the parent that fails to wait for it."""
    parent = names.get(one.parent)
    who = (parent.command or parent.name) if parent else "outside its tree"
    told = f"{one.command or f'[{one.name}]'}; not waited for by {one.parent} ({who})"
    return Left("zombie", one.pid, one.lease, told)


class Watch:
    """Looks once a second and keeps the figures; the rows only of the latest look."""

    def __init__(self, view: View, place: Place, clock: Callable[[], float]) -> None:
        self.view = view
        self.place = place
        self.life = 1
        self.numbers: list[dict[str, Any]] = []
        self.latest: Look | None = None
        self.escaped: dict[tuple[int, int], Row] = {}
        self._clock = clock
        self._own: int | None = None

    async def follow(self, place: Place, own: int | None = None) -> None:
        """Watch this place from now on; `own` is the child of ours that it runs under, if any."""
        self.place, self._own = place, own
        await self.view.ask("follow", root=place.root, own=own)

    async def look(self) -> Look:
        """Look once."""
        place, begin = self.place, time.perf_counter()
        who = {"service": place.service, "init": place.root}
        if place.root == place.service:
            del who["init"]
        seen = await self.view.ask("look", watch=list(who.values()), folders=place.folders)
        rows = tuple(one for one in seen["rows"] if not self._escaped(one))
        kept = {name: found for name, pid in who.items() if (found := seen["resources"][str(pid)])}
        took = time.perf_counter() - begin
        self.latest = Look(self._clock(), took, self.life, place, rows, seen["folders"], kept)
        return self.latest

    def _escaped(self, one: Row) -> bool:
        """Collect what left the service's tree: it became our child, as we are a subreaper.

        Each by its pid, and only when it is dead; our own child is waited for elsewhere. The PID 1
        of a namespace comes to us when its `unshare` had to be killed: that was us, no escape.
        """
        if self._own is None or one.parent != os.getpid() or one.pid == self._own:
            return False
        if one.pid != self.place.root:
            self.escaped[one.key] = one if one.command else self.escaped.get(one.key, one)
        if one.zombie:
            os.waitpid(one.pid, os.WNOHANG)
        return True

    async def keep_looking(self, period: float = 1.0) -> None:
        """Look once a period until cancelled; an own pace, so a slow look delays the next."""
        while True:
            look = await self.look()
            self.numbers.append(look.numbers())
            await asyncio.sleep(max(period - look.took, period / 2))

    async def settle(
        self, left: Callable[[Look], list[Left]], seconds: float
    ) -> tuple[Look, list[Left]]:
        """Look until nothing is left or the time is up; the last look and what is left then."""
        give_up = time.monotonic() + seconds
        while True:
            look = await self.look()
            found = left(look)
            if not found or time.monotonic() > give_up:
                return look, found
            await asyncio.sleep(0.2)


def flatness(numbers: Sequence[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Medians of the first and the last tenth of the service's longest life, for each figure.

    Compared within one life, because a restart would hide what had grown before it.
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
