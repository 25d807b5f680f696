"""What happens to a service from outside: pauses, unread logs, closed streams, a lost folder."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from poster_service.process.instance_dir import lock_of
from tests.conftest import SETTLE_SECONDS, settled
from tests.marks import some_in_make_test
from tests.processes import end, running
from tests.web.served import START_SECONDS, Served, environment, left_of, run, serving

GREEN = "<!doctype html><body style='background: green'>"


async def get(served: Served, path: str) -> int:
    """The status of a GET."""
    async with served.client.get(f"{served.address}{path}") as response:
        return response.status


async def becomes_ready(served: Served) -> bool:
    """Wait until /readyz says 200."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while await get(served, "/readyz") != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
            return True
    return False


@pytest.mark.slow
async def test_a_pause_far_longer_than_a_loop_may_be_stuck_harms_nothing(work_dir: Path) -> None:
    """The service stopped and continued: the same process, the same Chrome, ready, and it renders.

    Nothing is counted as an unclean ending.
    """
    timing = ("--stall-warn-seconds", "0.5", "--stall-exit-seconds", "4", "--probe-seconds", "1")
    async with serving(work_dir, *timing) as served:
        service = served.tree()[1]
        running = await served.busy(GREEN, timeout_ms=30_000)
        await running
        assert await becomes_ready(served)
        service.suspend()
        try:
            await asyncio.sleep(12)  # the pause itself
        finally:
            service.resume()
        assert await served.render(GREEN) == 200
        assert await becomes_ready(served)
        assert service.is_running()
        async with served.client.get(f"{served.address}/metrics") as response:
            text = await response.text()
        assert "poster_chromes_ended_unclean_total 0.0" in text
        assert "poster_process_pauses_total 0.0" not in text


@contextlib.asynccontextmanager
async def unread(work_dir: Path, stream: str) -> AsyncIterator[Served]:
    """A service whose log goes into a pipe that is full and is not read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    port = work_dir.parent / "port"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "poster_service", "serve", "--port", "0", "--log-stream", stream,
        "--stall-warn-seconds", "0.5", "--stall-exit-seconds", "3", "--log-level", "debug",
        stdout=writer, stderr=writer, env=environment(work_dir),
    )  # fmt: skip
    port.touch()
    try:
        address = await address_of(process.pid)
        async with aiohttp.ClientSession() as client:
            yield Served(process, address, work_dir, client)
    finally:
        is_ended = await end(process)
        os.close(reader)
        os.close(writer)
        assert is_ended, "the service had to be killed"


async def address_of(init: int) -> str:
    """Where a service that cannot say so listens."""
    found: list[int] = []

    def listens() -> bool:
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(init).children():
                found.extend(
                    c.laddr.port for c in one.net_connections("tcp") if c.status == "LISTEN"
                )
        return bool(found)

    assert await settled(listens, START_SECONDS)
    return f"http://127.0.0.1:{found[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["stderr", pytest.param("stdout", marks=pytest.mark.endurance)])
async def test_a_log_that_has_no_reader_hinders_neither_renders_nor_the_end(
    work_dir: Path, stream: str
) -> None:
    """Many lines for each render; TERM ends it in the usual time, with 0 and nothing left."""
    async with unread(work_dir, stream) as served:
        assert await becomes_ready(served)
        for _ in range(5):
            assert await served.render(GREEN) == 200
        served.process.terminate()
        async with asyncio.timeout(SETTLE_SECONDS):
            assert await served.process.wait() == 0
        assert left_of(work_dir) == []


@pytest.mark.slow
@pytest.mark.parametrize("closed", some_in_make_test(["<&- >&- 2>&-", "<&-", ">&-", "2>&-"], 4))
async def test_closed_streams_are_as_good_as_dev_null(work_dir: Path, closed: str) -> None:
    """No traceback, no socket with the number of one of them, renders and a clean end."""
    script = f'exec "$@" {closed}'
    words = [sys.executable, "-m", "poster_service", "serve", "--port", "0"]
    async with (
        running(
            "sh", "-c", script, "sh", *words, env=environment(work_dir),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        ) as process,
        aiohttp.ClientSession() as client,
    ):  # fmt: skip
        address = await address_of(process.pid)
        served = Served(process, address, work_dir, client)
        assert await becomes_ready(served)
        service = served.tree()[1]
        for number in range(3):
            target = Path(f"/proc/{service.pid}/fd/{number}").readlink()
            assert not str(target).startswith("socket:")
        assert await served.render(GREEN) == 200
        process.terminate()
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err
    assert left_of(work_dir) == []


@pytest.mark.slow
def test_every_command_does_without_its_streams(work_dir: Path) -> None:
    """Also those that end by themselves, and init."""
    for words in ("poster-service --version", "poster-service sign x", "poster-init -- true"):
        program, *rest = words.split()
        command = [str(Path(sys.executable).with_name(program)), *rest]
        script = 'exec "$@" <&- >&-'
        done = subprocess.run(
            ["sh", "-c", script, "sh", *command], stderr=subprocess.PIPE, text=True, check=False,
            env=environment(work_dir),
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "signals",
    [["HUP"], ["QUIT"], ["TERM", "TERM"], ["USR1", "USR2", "ALRM", "TERM"],
     pytest.param(["HUP", "HUP"], marks=pytest.mark.endurance)],
)  # fmt: skip
async def test_neither_folder_nor_lock_stays_after_any_signal(
    work_dir: Path, signals: list[str]
) -> None:
    """A closed terminal, Ctrl-backslash, a second TERM: as the first TERM, or at once."""
    async with serving(work_dir) as served:
        for name in signals:
            served.process.send_signal(signal.Signals[f"SIG{name}"])
            await asyncio.sleep(0.02)
        assert await served.process.wait() == 0
        assert left_of(work_dir) == []


@pytest.mark.slow
async def test_render_ended_by_a_signal_leaves_nothing(work_dir: Path, tmp_path: Path) -> None:
    """128 and its number, after its Chrome and its folder are gone."""
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><script>for (;;) {}</script>")
    async with running(
        sys.executable, "-m", "poster_service", "render", str(page), "-o",
        str(tmp_path / "x.png"), env=environment(work_dir),
    ) as process:  # fmt: skip
        assert await settled(lambda: any(work_dir.glob("*/*/stderr")), START_SECONDS)
        process.send_signal(signal.SIGHUP)
        assert await process.wait() == 128 + signal.SIGHUP
    assert left_of(work_dir) == []


@pytest.mark.slow
async def test_a_work_folder_that_is_removed_is_made_again(work_dir: Path) -> None:
    """By the next start of a Chrome; renders go on, and it is removed in the end."""
    async with serving(work_dir) as served:
        (home,) = served.homes()
        for entry in work_dir.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        for _ in range(4):
            await served.render(GREEN)  # the Chromes that lived in it may fail
        assert await settled(home.is_dir)
        assert lock_of(home).exists()
        assert [await served.render(GREEN) for _ in range(3)] == [200, 200, 200]
        assert await becomes_ready(served)


@pytest.mark.slow
async def test_a_second_start_does_not_take_one_without_its_lock_file_for_dead(
    work_dir: Path, tmp_path: Path
) -> None:
    """Not even `render`: the living instance keeps its folder and its Chromes."""
    async with serving(work_dir) as served:
        (home,) = served.homes()
        lock_of(home).unlink()
        before = served.folders()
        page = tmp_path / "page.html"
        page.write_text(GREEN)
        status, _, err = await run(work_dir, "render", str(page), "-o", str(tmp_path / "x.png"))
        assert status == 0, err
        assert home.is_dir()
        assert set(before) <= set(served.folders())
        assert await served.render(GREEN) == 200
