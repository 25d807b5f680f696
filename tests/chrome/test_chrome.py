"""One Chrome: found, started, ready, ended, with nothing left of it; headless-shell and full."""

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from poster_service.browser import installed
from poster_service.browser.chrome import Chrome
from poster_service.browser.spec import ChromeSpec
from poster_service.browser.types import CaptureOptions, PageOptions, Reply, Request
from poster_service.errors import (
    ChromeDied,
    ChromeNotFound,
    ChromeNotStarted,
    RenderFailed,
)
from poster_service.process import census
from tests.conftest import SETTLE_SECONDS, left, settled
from tests.processes import seconds_of_cpu, tree

MakeSpec = Callable[[Path], ChromeSpec]

SMALL = CaptureOptions(
    PageOptions(20, 20, 1, (0, 0, 0, 0)),
    format="png", quality=None, full_page=False, background=(0, 0, 0, 0), max_pixels=10_000,
)  # fmt: skip


async def page_of(_: Request) -> Reply:
    """A green page for every request."""
    return Reply(200, (("Content-Type", "text/html"),), b"<body style='background: green'>")


async def painted(one: Chrome) -> bytes:
    """One picture."""
    await one.page.set_up(SMALL.page)
    await one.page.loading.load(page_of)
    await one.page.wait_painted()
    return await one.page.capture(SMALL)


async def test_a_chrome_paints_and_is_seen_gone(program: Path, make_spec: MakeSpec) -> None:
    """Ready means that it paints; gone means that neither process nor folder is left."""
    spec = make_spec(program)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)
    assert (await painted(one)).startswith(b"\x89PNG")
    assert len(list(census.tagged(spec.instance))) >= 3
    one.end()
    ending = await one.wait_gone()
    assert ending.clean
    # Its pipe ends in the same moment: on a loaded machine it may be gone before the signal comes.
    assert ending.leader_status in (-signal.SIGKILL, 0)
    assert left(spec.instance, spec.instance_dir) == []


async def test_every_process_of_a_chrome_carries_the_tag(
    program: Path, make_spec: MakeSpec
) -> None:
    """The shim, its descendants: these and the tagged processes are the same set."""
    spec = make_spec(program)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)

    def same() -> bool:
        below = {process.pid for process in tree(one.group.shim_pid)}
        return below == {seen.pid for seen in census.tagged(spec.instance)}

    assert await settled(same)
    one.end()
    await one.wait_gone()


@pytest.mark.parametrize("renders", [1, 50])
async def test_a_chrome_that_is_ready_computes_nothing(
    program: Path, make_spec: MakeSpec, renders: int
) -> None:
    """The tab of a page that is on its way to an address is drawn, in full Chromium for ever."""
    spec = dataclasses.replace(make_spec(program), renders=renders)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)

    async def rests() -> bool:
        """Whether it takes less than 5 % of a core; a drawn tab takes 14 %."""
        before = seconds_of_cpu(one.group.shim_pid)
        await asyncio.sleep(1)
        return seconds_of_cpu(one.group.shim_pid) - before < 0.05

    async with asyncio.timeout(SETTLE_SECONDS):
        while not await rests():  # what its start left to do is being done
            pass
    one.end()
    await one.wait_gone()


async def test_all_that_it_writes_is_in_its_folder(
    program: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOME, TMPDIR and every XDG folder are the lease folder; nothing of ours is inherited."""
    spec = make_spec(program)
    spec.instance_dir.mkdir()
    tells = spec.instance_dir / program.name  # Chrome writes over its own environment
    tells.write_text(f'#!/bin/sh\nenv > "$HOME/env"\nexec {program} "$@"\n')
    tells.chmod(0o755)
    spec = dataclasses.replace(spec, program=tells)
    monkeypatch.setenv("POSTER_TEST_SECRET", "not for Chrome")
    one = await Chrome.start(spec, 1)
    (leader,) = psutil.Process(one.group.shim_pid).children()[:1]
    folder = spec.instance_dir / "1"
    seen = dict(line.split("=", 1) for line in (folder / "env").read_text().splitlines())
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        assert seen[name] == str(folder)
    assert not any(name.startswith("POSTER_") for name in seen)
    assert leader.cwd() == str(folder)
    one.end()
    await one.wait_gone()


async def test_no_port_is_open(program: Path, make_spec: MakeSpec) -> None:
    """Chrome listens on nothing: the debugging pipe is the only way in."""
    spec = make_spec(program)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)
    await painted(one)
    looked_at = 0
    for process in tree(one.group.shim_pid)[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            connections = process.net_connections("inet")
            looked_at += 1
            assert [c for c in connections if c.status == "LISTEN"] == []
    assert looked_at >= 2
    one.end()
    await one.wait_gone()


async def test_a_cancelled_start_leaves_nothing(program: Path, make_spec: MakeSpec) -> None:
    """A start that is cut off has ended its Chrome before the cancellation is done."""
    spec = make_spec(program)
    spec.instance_dir.mkdir()
    starting = asyncio.create_task(Chrome.start(spec, 1))
    assert await settled(lambda: any(census.tagged(spec.instance)))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert left(spec.instance, spec.instance_dir) == []


async def test_a_chrome_that_dies_fails_the_step_it_is_in(
    program: Path, make_spec: MakeSpec
) -> None:
    """A pending call ends with ChromeDied when the browser process goes."""
    spec = make_spec(program)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)
    (leader,) = psutil.Process(one.group.shim_pid).children()[:1]

    async def never(_: Request) -> Reply | None:
        leader.kill()
        await asyncio.Event().wait()
        return None

    with pytest.raises(ChromeDied):
        await one.page.loading.load(never)
    assert (await one.wait_gone()).reason == "exited"
    assert left(spec.instance, spec.instance_dir) == []


async def test_a_page_that_is_gone_fails_the_step_and_raises_nothing_of_the_protocol(
    program: Path, make_spec: MakeSpec
) -> None:
    """Also where a command is only started, as when Chrome's own messages are asked for.

    A Chrome that dies takes its pages away a moment before its pipe: a command sent in that moment
    raised the protocol's own error, which was answered with 500 (found by 20,000 renders with
    chaos).
    """
    spec = make_spec(program)
    spec.instance_dir.mkdir()
    one = await Chrome.start(spec, 1)
    page = one.page
    await page.set_up(SMALL.page)
    await page.loading.load(page_of)
    calls = page._calls
    await one.page._connection.send("Target.closeTarget", {"targetId": page.target})
    assert await settled(lambda: calls.session._connection is None)
    page._read_messages()
    page.findings.ask_for_errors()
    with pytest.raises(RenderFailed):
        await page.capture(SMALL)
    with pytest.raises(RenderFailed):
        await page.wait_painted()
    one.end()
    await one.wait_gone()
    assert left(spec.instance, spec.instance_dir) == []


@pytest.mark.parametrize(
    ("script", "patience", "reported"),
    [
        ("#!/bin/sh\nexit 3\n", 30, "it exited at once"),
        ("#!/bin/sh\necho '[1:2:FATAL] No usable sandbox!' >&2\nexit 1\n", 30, "No usable sandbox"),
        ("#!/bin/sh\nsleep 600\n", 1, "not ready after 1 s"),
    ],
    ids=["leaves", "no sandbox", "hangs"],
)
async def test_a_chrome_that_does_not_come_up_is_reported_with_its_last_words(
    make_spec: MakeSpec, tmp_path: Path, script: str, patience: float, reported: str
) -> None:
    """One sentence for the operator, and nothing left of it."""
    program = tmp_path / "chrome"
    program.write_text(script)
    program.chmod(0o755)
    spec = make_spec(program)
    spec = ChromeSpec(program, spec.sandbox, spec.instance_dir, spec.instance, patience)
    spec.instance_dir.mkdir()
    with pytest.raises(ChromeNotStarted, match=reported):
        await Chrome.start(spec, 1)
    assert left(spec.instance, spec.instance_dir) == []


def test_the_chrome_chosen_is_taken_and_a_missing_one_named() -> None:
    """POSTER_CHROME wins; if it is not there the message says so and installs nothing."""
    assert installed.find(Path("/bin/sh")) == Path("/bin/sh")
    with pytest.raises(ChromeNotFound, match="POSTER_CHROME=/nowhere"):
        installed.find(Path("/nowhere"))


def test_without_any_chrome_the_message_has_the_line_that_installs_one() -> None:
    """The remedy is in the message."""
    with pytest.raises(ChromeNotFound, match="apt-get install -y chromium-headless-shell"):
        installed.find(None, candidates=("no-such-chrome",))


def test_headless_shell_comes_before_full_chrome(tmp_path: Path) -> None:
    """Of several on the PATH the cheapest is taken, by name and not by order of the PATH."""
    for name in ("google-chrome", "chromium", "chrome-headless-shell"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    names = [name for name in installed.CANDIDATES if not name.startswith("/")]
    order = [name for name in names if (tmp_path / name).exists()]
    assert order == ["chrome-headless-shell", "chromium", "google-chrome"]
