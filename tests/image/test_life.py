"""How a container begins, ends and comes back; beside which other inits it can live."""

import asyncio
import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from tests.conftest import settled
from tests.image.harness import Container, Engine, container, zombies
from tests.processes import name_of, tree

#: A page that is done after half a second, so that a stop finds it under way.
SLOW = "<script>const until = Date.now() + 500; while (Date.now() < until);</script><p>slow"


def service_of(one: Container) -> psutil.Process:
    """The service itself, init's one lasting child."""
    services = [
        child for child in psutil.Process(one.pid).children() if name_of(child) == "poster-service"
    ]
    (service,) = services  # init may be reaping an orphan of a Chrome at the same time
    return service


async def test_docker_stop_under_load_answers_what_was_accepted(engine: Engine, image: str) -> None:
    """Running and waiting renders get their pictures, later ones 503; status 0 within its 10 s."""
    # Two at a time for 7 s: enough for five on a loaded machine, and within Docker's 10.
    options = ("--env=POSTER_CONCURRENCY=2", "--env=POSTER_STOP_GRACE_SECONDS=7")
    async with container(engine, *options, image=image) as one:
        assert await one.at_rest()
        job = {"html": SLOW, "width": 50, "height": 50}
        asked = [asyncio.create_task(one.render(**job)) for _ in range(5)]

        async def accepted() -> int:
            now = (await one.status())["admission"]
            return int(now["running"] + now["waiting"])

        while await accepted() < 5:  # noqa: ASYNC110 - another process's state: no event to wait for
            await asyncio.sleep(0.02)
        begin = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(engine.ask, "stop", one.name))
        answers = await asyncio.gather(*asked)
        await stopping
        assert time.monotonic() - begin < 10  # Docker's own patience: then it would have been 137
        assert [status for status, _ in answers] == [200] * 5
        assert one.exit_code == 0, one.logs()


async def test_a_killed_container_comes_back_clean(engine: Engine, image: str) -> None:
    """SIGKILL to all of it in mid-render; started again it sweeps what lay there, and renders."""
    async with container(engine, image=image) as one:
        lost = asyncio.create_task(one.render(html="<script>for(;;);</script>"))
        assert await settled(lambda: len(zombies(one.pid)) == 0)
        await asyncio.sleep(0.5)
        engine.ask("kill", one.name)
        with contextlib.suppress(Exception):
            await lost
        assert one.exit_code == 137
        engine.ask("start", one.name)
        await one.ready()
        assert "removed leftovers of a previous instance" in one.logs()
        await one.picture(html="<p>again")
        folders = one.exec("sh", "-c", "ls /tmp/poster | grep -v lock").splitlines()
        assert len(folders) == 1
        engine.ask("stop", one.name)
        assert one.exit_code == 0


@pytest.mark.parametrize("whom", ["init", "service"])
async def test_restart_always_brings_it_back(engine: Engine, image: str, whom: str) -> None:
    """PID 1 killed (as by the OOM killer), or the service behind it: a new life, nothing left."""
    async with container(engine, "--restart=always", image=image) as one:
        await one.picture(html="<p>first life")
        first = one.pid
        before = tree(first)
        victim = psutil.Process(first) if whom == "init" else service_of(one)
        victim.send_signal(signal.SIGKILL)
        assert await settled(lambda: one.pid not in (0, first))
        await one.ready()
        await one.picture(html="<p>second life")
        assert int(engine.inspect(one.name, ".RestartCount")) == 1
        assert await settled(lambda: not any(one.is_running() for one in before))
        assert await one.at_rest()


async def renders_and_stops(one: Container) -> None:
    """A picture, three Chromes killed at a deadline, nothing left of them, and a clean stop."""
    await one.picture(html="<p>x")
    for _ in range(3):
        status, _ = await one.render(html="<script>for(;;);</script>", timeout_ms=300)
        assert status == 504
    assert await one.at_rest()
    one.engine.ask("stop", one.name)
    assert one.exit_code == 0, one.logs()


async def test_under_docker_init_it_is_a_subreaper(engine: Engine, image: str) -> None:
    """`docker run --init`: tini is PID 1, ours stands behind it; the same promises hold."""
    async with container(engine, "--init", image=image) as one:
        assert "init" in psutil.Process(one.pid).name()
        await renders_and_stops(one)


@contextlib.asynccontextmanager
async def shared_namespace(engine: Engine, image: str) -> AsyncIterator[Container]:
    """A service whose PID 1 is another container's, one that never reaps adopted orphans."""
    pause = f"poster-test-pause-{os.getpid()}"
    engine.ask(
        "run", "--detach", "--name", pause, "--entrypoint", "/usr/bin/python3", image,
        "-c", "import signal; signal.sigwait([signal.SIGTERM])",
    )  # fmt: skip
    try:
        async with container(engine, f"--pid=container:{pause}", image=image) as one:
            yield one
    finally:
        engine.run("rm", "--force", pause)


async def test_in_a_pid_namespace_shared_with_other_containers(engine: Engine, image: str) -> None:
    """`shareProcessNamespace: true`, with a PID 1 that does not even reap: it is left nothing."""
    async with shared_namespace(engine, image) as one:
        await renders_and_stops(one)


async def test_what_docker_exec_orphans_is_reaped(engine: Engine, image: str) -> None:
    """A shell that leaves things behind it: PID 1 adopts, reaps and counts them."""
    async with container(engine, image=image) as one:
        one.exec("sh", "-c", "for i in 1 2 3; do (sleep 0.2 &); done")
        one.exec("sh", "-c", "for i in 1 2 3; do (sleep 0.2 &); done", user="0")
        assert await settled(lambda: "sleep" in one.exec("cat", "/tmp/poster-init.json"))
        async with one.client.get(f"{one.address}/metrics") as answer:
            assert 'poster_orphans_reaped_total{name="sleep"}' in await answer.text()
        assert await one.at_rest()


def test_a_shell_on_a_terminal_has_job_control(engine: Engine, image: str) -> None:
    """`docker run -it IMAGE bash`: a prompt without complaint, Ctrl-C for the job, its status."""
    ours, theirs = pty.openpty()
    words = ["docker", "run", "--rm", "--interactive", "--tty", image, "bash", "--norc"]
    shell = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, **engine.environment},
    )  # fmt: skip
    os.close(theirs)
    try:
        output = talk(ours, "$ ", b"sleep 300\n")
        output += talk(ours, "sleep 300", b"\x03")
        output += talk(ours, "$ ", b"echo one-$((1 + 1)); exit 7\n")
        output += talk(ours, "one-2", b"")
        assert shell.wait(20) == 7
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
    assert "job control" not in output


def talk(terminal: int, until: str, then: bytes) -> str:
    """Read from a terminal until something was said, then type; what was read."""
    output, give_up = "", time.monotonic() + 20
    while until not in output:
        ready, _, _ = select.select([terminal], [], [], 0.5)
        assert time.monotonic() < give_up, f"waited for {until!r}, read {output!r}"
        if ready:
            with contextlib.suppress(OSError):  # the other side of the terminal is gone
                output += os.read(terminal, 4096).decode(errors="replace")
    if then:
        time.sleep(0.3)  # the shell hands the terminal over; there is no sign of it to wait for
        os.write(terminal, then)
    return output
