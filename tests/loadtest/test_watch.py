"""The watch from outside, against a real service: what is planted is found, and named."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from poster_service.loadtest.chaos import Chaos, choose, kind_of
from poster_service.loadtest.command_target import SelfTarget
from poster_service.loadtest.mix import Case, Kind
from poster_service.loadtest.outcomes import Outcomes
from poster_service.loadtest.places import place_inside, place_of
from poster_service.loadtest.proctable import Row, owner
from poster_service.loadtest.targets import UrlTarget
from poster_service.loadtest.views import InsideView
from poster_service.loadtest.watch import Left, Place, Rest, Snapshot, Watch, flatness
from tests.loadtest.harness import UNSHARE, load_test, need_namespaces

SETTLE = 15.0


@contextlib.asynccontextmanager
async def watching() -> AsyncIterator[tuple[SelfTarget, Watch, Rest]]:
    """A service of our own at rest, and a watch over it; ended without anything left."""
    target = SelfTarget()
    try:
        await target.start()
        assert target.view is not None
        watch = Watch(target.view, await target.place(), time.monotonic)
        await watch.follow(watch.place, target.pid)
        snapshot, _ = await watch.settle(
            lambda snapshot: [] if whole(snapshot) else [Left("", 0, None, "")], 9
        )
        rest = Rest(snapshot)
        yield target, watch, rest
        assert await target.stop() == ""
        assert (await watch.settle(rest.left_after_end, SETTLE))[1] == []
    finally:
        await target.close()


def whole(snapshot: Snapshot) -> bool:
    """Whether one ready Chrome is there, and no process on its way or between fork and exec."""
    kinds = [kind_of(one) for one in snapshot.chromes]
    return len(snapshot.leases()) == 1 and "renderer" in kinds and "helper" not in kinds


async def test_a_service_at_rest_has_nothing_left() -> None:
    """Init, the service, a shim, one ready Chrome: all of it is allowed."""
    async with watching() as (_, watch, rest):
        snapshot, left = await watch.settle(rest.left, SETTLE)
        assert left == []
        assert rest.leases == 1
        assert snapshot.orphans() == snapshot.zombies == []
        assert snapshot.resources["service"]["fds"] > 5
        assert snapshot.resources["init"]["pss_kib"] > 500
        assert snapshot.took < 1.0


@pytest.mark.slow
async def test_an_init_in_front_of_the_load_test_is_not_taken_for_the_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given our own parent as its init, the service still brings one, and that one is watched."""
    monkeypatch.setenv("POSTER_INIT_PID", str(os.getpid()))
    async with watching() as (_, watch, _):
        assert watch.place.root not in (watch.place.service, os.getpid())
        assert "init" in (await watch.snapshot()).resources


@pytest.mark.slow
async def test_files_that_are_left_are_found(tmp_path: Path) -> None:
    """A folder of a lease that is no more, a stray file, shared memory of Chrome's kind."""
    async with watching() as (_, watch, rest):
        snapshot = await watch.snapshot()
        instance = f"{snapshot.tagged[0].instance:x}"
        work = Path(watch.place.work_dir)
        planted = [work / instance / "999999", work / "stray"]
        shared = Path(f"/dev/shm/.org.chromium.Chromium.{os.getpid()}")
        for folder in planted:
            folder.mkdir()
        shared.touch()
        try:
            found = {(one.what, one.detail) for one in rest.left(await watch.snapshot())}
        finally:
            shared.unlink()
            for folder in planted:
                folder.rmdir()
        assert ("lease folder", str(planted[0])) in found
        assert ("file", str(planted[1])) in found
        assert ("shared memory", str(shared)) in found


@pytest.mark.slow
async def test_a_zombie_is_named_with_its_lease_and_the_parent_that_fails_to_wait() -> None:
    """Init is stopped and a shim killed: its Chrome dies, and no parent waits for it."""
    async with watching() as (_, watch, rest):
        snapshot = await watch.snapshot()
        (lease,) = snapshot.leases().values()
        shim = snapshot.shim_of(lease)
        assert shim is not None
        init = psutil.Process(watch.place.root)
        init.suspend()
        try:
            os.kill(shim.pid, signal.SIGKILL)
            await asyncio.sleep(1.0)
            left = rest.left(await watch.snapshot())
        finally:
            init.resume()
        zombies = [one for one in left if one.what == "zombie" and one.lease == lease[0].lease]
        assert zombies
        assert f"not waited for by {init.pid}" in zombies[0].detail
        assert "init" in zombies[0].detail
        assert (await watch.settle(rest.left, SETTLE))[1] == []


@pytest.mark.slow
async def test_more_ready_chromes_than_before_are_too_many() -> None:
    """The pool at rest is what it was; a lease beyond it is left over, its shim too."""
    async with watching() as (_, watch, rest):
        rest.leases = 0
        left = rest.left(await watch.snapshot())
        assert {one.what for one in left} == {"process", "lease folder"}
        assert len({one.lease for one in left} - {None}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("hit", ["kill", "stop"])
async def test_chaos_hits_one_tagged_process_and_notes_how_long_it_is_felt(hit: str) -> None:
    """Felt until its lease is gone: at once when killed, on the pool's next rounds when stopped."""
    async with watching() as (_, watch, rest):
        outcomes = Outcomes()
        chaos = Chaos(watch, outcomes, time.monotonic)
        leader = choose((await watch.snapshot()).chromes, 0.0)
        assert leader is not None
        assert kind_of(leader) == "leader"
        await chaos.hit(Case(0, "card", Kind.POSTER, {}, hit=hit, which=0.0))
        assert chaos.counts == {f"{hit} leader": 1}
        (span,) = outcomes.hits
        give_up = time.monotonic() + SETTLE
        while span.end > time.monotonic() and time.monotonic() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert span.begin < span.end < time.monotonic()
        assert (await watch.settle(rest.left, SETTLE))[1] == []
        await chaos.close()


FULL_CHROMIUM = Path("/usr/lib/chromium/chromium")
KINDS = ("leader", "zygote", "gpu", "renderer", "network", "crash handler")


def lacking(snapshot: Snapshot) -> list[Left]:
    """The kinds of process that are not there yet."""
    there = {kind_of(one) for one in snapshot.chromes}
    return [Left(f"no {kind}", 0, None, "") for kind in KINDS if kind not in there]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_is_left_after_a_hit_on_any_part_of_a_full_chromium(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every kind of process there is, killed and stopped; the service renders after each.

    With the switches that keep GPU and network in the browser process and the crash handlers away
    left out, or half of these would not be there to be hit.
    """
    if not FULL_CHROMIUM.exists():
        pytest.fail("full Chromium is missing; tools/setup.sh dev installs it")
    monkeypatch.setenv("POSTER_CHROME", str(FULL_CHROMIUM))
    monkeypatch.setenv("POSTER_TEST_ALL_PROCESSES", "1")
    async with watching() as (target, watch, rest), aiohttp.ClientSession() as client:
        outcomes = Outcomes()
        chaos = Chaos(watch, outcomes, time.monotonic)
        for kind, hit in itertools.product(KINDS, ("kill", "stop")):
            for _ in range(5):  # a Chrome may come or go between our snapshot and chaos's own
                snapshot, missing = await watch.settle(lacking, 2 * SETTLE)
                assert not missing, f"{missing} of {KINDS}"
                kinds = sorted({kind_of(one) for one in snapshot.chromes})
                which = (kinds.index(kind) + 0.5) / len(kinds)
                await chaos.hit(Case(0, "card", Kind.POSTER, {}, hit=hit, which=which))
                if f"{hit} {kind}" in chaos.counts:
                    break
            job = {"html": "<p>after it", "width": 99, "height": 99, "timeout_ms": 3000}
            async with client.post(f"{target.address}/render", json=job) as answer:
                assert answer.status in (200, 502, 504), await answer.text()
        assert (await watch.settle(rest.left, 2 * SETTLE))[1] == []
        assert set(chaos.counts) >= {f"{hit} {kind}" for kind in KINDS for hit in ("kill", "stop")}
        await chaos.close()


def row(pid: int, command: str, *, group: int = 1, name: str = "chrome") -> Row:
    """One living tagged process."""
    return Row(pid, 1, 1, group, "S", name, 1, 1, 1, command, "")


def test_chaos_chooses_a_kind_first_so_that_the_few_are_hit_as_often_as_the_many() -> None:
    """Ten renderers and one leader: half the hits are the leader's."""
    rows = [row(1, "chrome"), *(row(pid, "chrome --type=renderer") for pid in range(2, 12))]
    chosen = [choose(rows, number / 100) for number in range(100)]
    assert sum(one is not None and one.pid == 1 for one in chosen) == 50
    assert {one.pid for one in chosen if one} == set(range(1, 12))
    assert choose([], 0.5) is None


def test_kinds_are_reported_by_what_chrome_says_of_itself() -> None:
    """For the table and for choosing; nothing is ever found by it."""
    utility = "chrome --type=utility --utility-sub-type="
    reported = {
        "zygote": row(2, "chrome --type=zygote --no-sandbox"),
        "gpu": row(2, "chrome --type=gpu-process"),
        "network": row(2, utility + "network.mojom.NetworkService"),
        "utility": row(2, utility + "storage.mojom.StorageService"),
        "crash handler": row(2, "/x/chrome_crashpad_handler --monitor", name="chrome_crashpad"),
        "leader": row(1, "chrome --headless"),
    }
    assert {kind: kind_of(one) for kind, one in reported.items()} == {
        kind: kind for kind in reported
    }


@pytest.mark.slow
async def test_a_service_of_another_user_is_found_by_its_port(tmp_path: Path) -> None:
    """--url: its init, its work folder, its leases; it is loaded, and lives on."""
    async with watching() as (target, watch, _):
        other = UrlTarget(target.address, census=True)
        await other.start()
        found = await other.place()
        assert (found.root, found.service) == (watch.place.root, watch.place.service)
        assert found.work_dir == watch.place.work_dir
        tested = await load_test(tmp_path, "--url", target.address, "--renders", "12", "--chaos")
        assert tested.status == 0, tested.output
        assert tested.seen["restarts"] == 0
        assert await target.view.ask("alive", pid=target.pid, start=0) is not None  # type: ignore[union-attr]


async def test_looking_from_inside_sees_what_looking_from_outside_sees() -> None:
    """The way into a container whose processes the host does not show, here through nsenter."""
    need_namespaces()
    sleeper = await asyncio.create_subprocess_exec(
        *UNSHARE, sys.executable, "-c",
        "import os, socket, time; s = socket.create_server(('127.0.0.1', 0));"
        " os.fork() or os._exit(0); print(s.getsockname()[1], flush=True); time.sleep(60)",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert sleeper.stdout is not None
    try:
        port = int(await sleeper.stdout.readline())
        pid = owner(port, 0)
        outside = await place_of(UrlTarget("", census=True).view, pid)  # type: ignore[arg-type]
        assert outside.alone
        assert outside.root == pid
        prefix = ["nsenter", f"--target={pid}", "--pid", "--mount"]
        view = await InsideView.start(prefix, sys.executable)
        try:
            place = await place_inside(view, 1, port)
            assert (place.root, place.service, place.alone) == (1, 1, True)
            watch = Watch(view, place, time.monotonic)
            await watch.follow(place)
            snapshot = await watch.snapshot()
        finally:
            await view.close()
        assert [one.parent for one in snapshot.zombies] == [1]
        assert snapshot.resources["service"]["fds"] >= 3
        (left,) = Rest(snapshot).left(snapshot)
        assert left.what == "zombie"
        assert "not waited for by 1 " in left.detail
    finally:
        sleeper.kill()  # --kill-child takes the namespace along
        await sleeper.wait()


def test_flatness_compares_within_the_longest_life() -> None:
    """A restart would hide what had grown before it; moments without a service do not count."""
    samples = [{"at": n, "life": 1, "service_fds": 5} for n in range(10)]
    samples += [{"at": 10, "life": 1}]
    samples += [{"at": 11 + n, "life": 2, "service_fds": 10 + n} for n in range(100)]
    assert flatness(samples) == {"service_fds": (14.5, 104.5)}
    assert flatness([]) == {}


def test_a_look_at_five_hundred_processes_is_judged_in_no_time() -> None:
    """A hundred leases of five: what is done once a second must not disturb the load."""
    service = Row(10, 1, 1, 10, "S", "python", 1, 1, 0, "serve", "/usr/bin/python")
    rows = [Row(1, 1, 0, 1, "S", "init", 1, 1, 0, "init", "/usr/bin/python"), service]
    for lease in range(100):
        shim, tag = 1000 + 10 * lease, 0x9057 << 46 | 1 << 22 | lease
        rows.append(Row(shim, 1, 10, shim, "S", "python", 1, 1, tag, "shim", "/usr/bin/python"))
        rows += [
            Row(shim + number, 1, shim, shim + 1, "S", "chrome", 1, 1, tag, "chrome", "/usr/chrome")
            for number in range(1, 5)
        ]
    snapshot = Snapshot(0, 0, 1, Place(1, 10), tuple(rows))
    begin = time.process_time()
    rest = Rest(snapshot)
    assert (rest.left(snapshot), snapshot.orphans(), rest.leases) == ([], [], 100)
    assert snapshot.numbers()["tagged"] == 400
    assert time.process_time() - begin < 0.5
