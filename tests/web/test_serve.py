"""The command as people run it: `poster-service serve` as a process, under init, until a signal."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from poster_service.browser import installed, page_cache
from poster_service.settings import default_templates
from tests.conftest import is_shim, settled, short_folder
from tests.processes import running
from tests.web.pictures import at, decode
from tests.web.served import START_SECONDS, Served, entries, environment, fed, left_of, run, serving

ENDLESS = "<!doctype html><script>for (;;) {}</script>"
#: Busy for about a second: long enough to be stopped in the middle.
SLOW = """<!doctype html><script>
    const end = performance.now() + 1000; while (performance.now() < end) {}
    document.write('<body style="background: green">')</script>"""


@pytest.fixture(scope="module")
async def untouched() -> AsyncIterator[Served]:
    """A service that the tests of this file look at, and leave as it is."""
    with short_folder() as work_dir:
        async with serving(work_dir) as served:
            yield served


@pytest.mark.slow
def test_chromes_program_is_read_in_first(untouched: Served) -> None:
    """Once in a life, from end to end; see `page_cache`."""
    _, service, *_ = untouched.tree()
    read = service.io_counters().read_chars
    assert read >= min(installed.find(None).stat().st_size, page_cache.WINDOW)


async def test_serve_puts_init_in_front_and_one_shim_over_each_chrome(untouched: Served) -> None:
    """The tree of docs/architecture.md: init, the service, shims, and under each shim one Chrome.

    Beside the shims, childless, what forks them.
    """
    init, *_ = untouched.tree()
    assert "init." in " ".join(init.cmdline())
    (service,) = init.children()

    def at_rest() -> bool:  # the Chrome that proved itself at the start has gone by then
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, ValueError):
            (shim,) = [one for one in service.children() if is_shim(one.pid)]
            (server,) = [one for one in service.children() if one != shim]
            (chrome,) = shim.children()
            assert "serve=" in " ".join(server.cmdline())
            assert server.children() == []
            leads = os.getpgid(chrome.pid) == os.getsid(chrome.pid) == chrome.pid
            return leads and is_shim(shim.pid)
        return False

    assert await settled(at_rest)


@pytest.mark.slow
async def test_a_former_name_of_a_setting_is_warned_of_once(work_dir: Path) -> None:
    """By the service behind init, not by the process that init replaces; and by other commands."""
    given = ("--chrome", "/nonexistent", "--queue", "3")
    for command in ("serve", "doctor"):
        _, out, err = await run(work_dir, command, *given, POSTER_WEDGED_SECONDS="99")
        for former, present in (
            ("--queue", "--queue-size"),
            ("POSTER_WEDGED_SECONDS", "POSTER_STALL_EXIT_SECONDS"),
        ):
            assert (out + err).count(f"{former} is now called {present};") == 1


@pytest.mark.slow
async def test_init_keeps_its_ledger_while_the_service_runs(work_dir: Path) -> None:
    """A file in the work folder tells what init reaped; it goes with init."""
    async with serving(work_dir) as served:
        file = work_dir / f"init-{served.process.pid}.json"
        assert await settled(file.exists)
        assert json.loads(file.read_text())["pid"] == served.process.pid
        served.process.terminate()
        await served.process.wait()
        assert not file.exists()


@pytest.mark.slow
async def test_a_pasted_curl_line_gets_a_picture(untouched: Served, tmp_path: Path) -> None:
    """What `serve` prints can be pasted into a shell, and the pages that it names are there."""
    assert untouched.process.stdout is not None
    lines = [(await untouched.process.stdout.readline()).decode() for _ in range(4)]
    for page in lines[:3]:
        async with untouched.client.get(page.split()[0]) as answer:
            assert answer.status == 200, page
    line = lines[3].removeprefix("try: ")
    shell = await asyncio.create_subprocess_shell(line, cwd=tmp_path)
    assert await shell.wait() == 0
    assert (tmp_path / "poster.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
async def test_term_lets_running_renders_finish_and_exits_0(work_dir: Path) -> None:
    """SIGTERM in the middle of a render: 200 for it, 503 for a new one, then 0."""
    async with serving(work_dir) as served:
        running = await served.busy(SLOW)
        served.process.terminate()
        assert await settled_async(served, 503)
        assert await running == 200
        assert await served.process.wait() == 0
        assert await served.gone()


async def settled_async(served: Served, status: int) -> bool:
    """Ask /readyz until it answers with `status`."""
    for _ in range(500):
        async with served.client.get(f"{served.address}/readyz") as response:
            if response.status == status:
                return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.slow
async def test_a_render_longer_than_the_grace_is_answered_503(work_dir: Path) -> None:
    """The bound on stopping holds: the endless render is cut off, the exit status is 0."""
    async with serving(work_dir, "--stop-grace-seconds", "0.5") as served:
        running = await served.busy(ENDLESS, timeout_ms=60_000)
        served.process.terminate()
        assert await running == 503
        assert await served.process.wait() == 0
        assert await served.gone()


@pytest.mark.slow
async def test_a_second_signal_ends_at_once(work_dir: Path) -> None:
    """The first Ctrl-C waits for the render, the second does not; nothing is left all the same."""
    async with serving(work_dir, "--stop-grace-seconds", "600") as served:
        running = await served.busy(ENDLESS, timeout_ms=60_000)
        served.process.send_signal(signal.SIGINT)
        assert await settled_async(served, 503)
        served.process.send_signal(signal.SIGINT)
        with contextlib.suppress(aiohttp.ClientError):
            assert await running == 503
        await served.process.wait()
        assert await served.gone()


@pytest.mark.slow
async def test_the_service_killed_takes_every_chrome_with_it(work_dir: Path) -> None:
    """SIGKILL of the service itself: shims end their Chromes, init reaps, the status tells.

    The empty folder and its lock stay, for a later start to sweep; which it does.
    """
    async with serving(work_dir) as served:
        _, service, *_ = served.tree()
        everything = {one.pid for one in served.tree()}
        service.kill()
        assert await served.process.wait() == 137
        assert await settled(lambda: everything.isdisjoint(psutil.pids()))
        assert await settled(lambda: served.folders() == [])
        assert served.homes() != []
        async with serving(work_dir) as later:
            assert len(later.homes()) == 1


@pytest.mark.slow
async def test_a_slow_reader_gets_all_of_its_picture_at_a_stop(work_dir: Path) -> None:
    """SIGTERM while megabytes are on their way: they arrive, then the service exits with 0."""
    noise = """<!doctype html><body style="margin: 0"><canvas id=c width=1500 height=1500></canvas>
        <script>const context = c.getContext('2d'), data = context.createImageData(1500, 1500);
        for (let at = 0; at < data.data.length; at += 65536)
            crypto.getRandomValues(data.data.subarray(at, Math.min(at + 65536, data.data.length)));
        context.putImageData(data, 0, 0)</script>"""
    async with serving(work_dir) as served:
        job = {"html": noise, "width": 1500, "height": 1500}
        async with served.client.post(f"{served.address}/render", json=job) as response:
            assert response.status == 200
            served.process.terminate()
            assert await settled_async(served, 503)
            body = await response.read()
            assert len(body) == response.content_length
            assert len(body) > 3_000_000  # more than the sockets between us hold
        assert await served.process.wait() == 0


@pytest.mark.slow
async def test_term_while_the_first_chrome_starts_exits_0_and_leaves_nothing(
    work_dir: Path, tmp_path: Path
) -> None:
    """A Chrome that hangs at start does not make the service deaf."""
    hangs = tmp_path / "chrome"
    hangs.write_text("#!/bin/sh\nsleep 600\n")
    hangs.chmod(0o755)
    async with running(
        sys.executable, "-m", "poster_service", "serve", "--port", "0", "--chrome", str(hangs),
        env=environment(work_dir), stderr=asyncio.subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert await settled(lambda: any(entries(one) for one in entries(work_dir)), START_SECONDS)
        process.terminate()
        assert await process.wait() == 0
    assert left_of(work_dir) == []


@pytest.mark.slow
async def test_what_lies_in_the_current_folder_is_not_imported(
    work_dir: Path, tmp_path: Path
) -> None:
    """A file called psutil.py beside the caller is nobody's psutil."""
    (tmp_path / "psutil.py").write_text("raise SystemExit('shadowed')")
    program = str(Path(sys.executable).with_name("poster-service"))
    async with running(
        program, "serve", "--port", "0", cwd=tmp_path, env=environment(work_dir),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert b"http://" in await process.stdout.readline()
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.slow
async def test_a_port_in_use_is_one_line_and_not_zero(work_dir: Path) -> None:
    """The line names the address and what to set."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, out, err = await run(work_dir, "serve", "--port", port)
    assert (status, out) == (1, "")
    assert f"127.0.0.1:{port}" in err
    assert "POSTER_PORT" in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"POSTER_TEMPLATES": "/nowhere"}, "POSTER_TEMPLATES=/nowhere"),
        ({"POSTER_CHROME": "/nowhere/chrome"}, "POSTER_CHROME=/nowhere/chrome"),
        ({"POSTER_CHROME": "/bin/false"}, "Chrome does not start"),
        ({"POSTER_WORK_DIR": "/proc/no"}, "POSTER_WORK_DIR=/proc/no"),
    ],
)
async def test_what_keeps_it_from_starting_is_one_clear_line(
    work_dir: Path, setting: dict[str, str], named: str
) -> None:
    """No traceback, a remedy, status 1, and nothing left running."""
    status, out, err = await run(work_dir, "serve", "--port", "0", **setting)
    assert (status, out) == (1, "")
    assert named in err
    assert len(err.splitlines()) == 1, err
    assert left_of(work_dir) == []


async def test_faulty_settings_are_reported_together(work_dir: Path) -> None:
    """Three faults, three lines, each with the name its owner knows and the value seen."""
    faulty = {"POSTER_QUEUE_SIZE": "many", "POSTER_QUEU": "1"}
    status, _, err = await run(work_dir, "serve", "--port", "x", **faulty)
    assert status == 1
    assert "--port='x'" in err
    assert "POSTER_QUEUE_SIZE='many'" in err
    assert "POSTER_QUEU:" in err


@pytest.mark.slow
async def test_doctor_says_what_it_found_and_renders(work_dir: Path) -> None:
    """A line for each thing that matters, and a test picture."""
    status, out, _ = await run(work_dir, "doctor")
    assert status == 0
    for name in ("chrome:", "version:", "fonts, Chinese:", "fonts, emoji:", "init:", "/dev/shm:",
                 "cgroup:", "limits:", "test picture:"):  # fmt: skip
        assert name in out
    assert "MISSING" not in out
    assert left_of(work_dir) == []


@pytest.mark.slow
async def test_render_writes_a_file_of_the_suffix_given(work_dir: Path, tmp_path: Path) -> None:
    """Without a server: FILE in, picture out, in the format that its name says."""
    (tmp_path / "page.html").write_text("<!doctype html><h1>Hi")
    for suffix, magic in (("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), ("pdf", b"%PDF")):
        out = tmp_path / f"out.{suffix}"
        page = str(tmp_path / "page.html")
        status, _, err = await run(work_dir, "render", page, "-o", str(out), "--width", "200")
        assert status == 0, err
        assert out.read_bytes().startswith(magic)
    assert left_of(work_dir) == []


@pytest.mark.slow
async def test_render_reads_files_beside_its_page_and_warns(work_dir: Path, tmp_path: Path) -> None:
    """Below the page's folder only, no hidden ones, none as text; `--strict` fails."""
    folder = tmp_path / "page"
    (folder / "img").mkdir(parents=True)
    (tmp_path / "outside.css").write_text("body { background: #f00 }")
    (folder / "img" / "link.css").symlink_to(tmp_path / "outside.css")
    (folder / "good.css").write_text("body { background: #0f0 }")
    for hidden in (".env", "img/.secret.css", "data.json"):
        (folder / hidden).write_text("{}")
    styles = ("../outside.css", "%2e%2e/outside.css", "img/link.css", "img/.secret.css", "no.css")
    html = "<!doctype html><link rel=stylesheet href=good.css>"
    page, out = folder / "page.html", tmp_path / "out.png"

    async def render(*more: str, asked: str) -> tuple[int, str]:
        page.write_text(html + asked)
        where = (str(page), "-o", str(out), "--width", "20")
        status, _, err = await run(work_dir, "render", *where, *more)
        return status, err

    assert await render("--strict", asked="") == (0, "")
    assert at(decode(out.read_bytes()), 5, 5)[:3] == (0, 255, 0)
    asked = "".join(f"<link rel=stylesheet href='{one}'>" for one in styles)
    status, err = await render(asked=asked)
    assert status == 0
    reported = sorted(err.splitlines())
    assert len(reported) == 4  # two of them are the same to Chrome
    assert all(line.startswith("poster-service: warning: failed;url=") for line in reported)
    assert all(line.endswith(";reason=not_found") for line in reported)
    assert at(decode(out.read_bytes()), 5, 5)[:3] == (0, 255, 0)
    out.unlink()
    status, err = await render("--strict", asked=asked)
    assert status == 1
    assert err.splitlines()[-1].startswith("poster-service: subresources failed")
    assert not out.exists()
    reads = (
        "<script>fetch('data.json').catch(() => 0)</script>"
        "<script type=module>import x from './data.json' with {type: 'json'}</script>"
    )
    status, err = await render(asked=reads)
    assert 'denied;url="data.json";reason=local_file' in err
    assert left_of(work_dir) == []


@pytest.mark.slow
async def test_render_of_stdin_reads_no_files(work_dir: Path, tmp_path: Path) -> None:
    """In any folder: what comes by a pipe comes from elsewhere."""
    html = b"<link rel=stylesheet href=pyproject.toml>"
    out = str(tmp_path / "out.png")
    status, _, err = await fed(work_dir, html, "render", "-", "-o", out)
    assert status == 0
    assert err == 'poster-service: warning: failed;url="pyproject.toml";reason=not_found\n'


@pytest.mark.slow
async def test_render_takes_a_template_and_refuses_bad_options(
    work_dir: Path, tmp_path: Path
) -> None:
    """--template with --data; a fault is reported as over HTTP, in one line."""
    sample = str(default_templates() / "article-card/sample.json")
    out = tmp_path / "card.png"
    status, _, err = await run(
        work_dir, "render", "--template", "article-card", "--data", sample, "-o", str(out)
    )
    assert status == 0, err
    assert out.read_bytes().startswith(b"\x89PNG")
    status, _, err = await run(work_dir, "render", "--template", "nope", "-o", str(out))
    assert status == 1
    assert "article-card, share-poster" in err
    assert err.endswith("; --templates FOLDER has others\n")
    status, _, err = await run(work_dir, "render", "/nowhere.html", "-o", str(out))
    assert (status, len(err.splitlines())) == (1, 1)


@pytest.mark.slow
async def test_render_that_could_not_be_written_is_refused_before_it_begins(
    work_dir: Path, tmp_path: Path
) -> None:
    """No such folder, no such format: one line each."""
    for out in ("/nowhere/x.png", str(tmp_path / "x.gif")):
        status, _, err = await run(work_dir, "render", "-", "-o", out)
        assert (status, len(err.splitlines())) == (1, 1), err
