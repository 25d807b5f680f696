"""Where the service is root, Chrome is another user, with its sandbox on; else it says so."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from poster_service import chrome_setup, doctor
from poster_service.engine import Engine
from poster_service.errors import ChromeNotStarted, InvalidSettings
from poster_service.process import census
from poster_service.process.user import UNUSED, is_root, missing_capabilities
from poster_service.settings import Settings
from tests.conftest import left, settled
from tests.web.conftest import Service, StartService
from tests.web.served import environment, left_of

needs_root = pytest.mark.skipif(
    not is_root() or bool(missing_capabilities()),
    reason="only root, with its usual capabilities, can run Chrome as another user",
)


def settings(**given: Any) -> Settings:
    """Settings of a service that is built by the test itself."""
    return Settings(**given)


def chromes(service: Service) -> list[dict[str, list[str]]]:
    """What /proc tells of every process of the service's Chromes but the shims."""
    found = []
    for one in census.tagged(service.instance):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
            text = Path(f"/proc/{one.pid}/status").read_text("latin-1")
            status = {name: words.split() for name, _, words in map(_parted, text.splitlines())}
            if psutil.Process(one.pid).ppid() != os.getpid():
                found.append(status)
    return found


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(":")


async def reported(service: Service) -> dict[str, str]:
    """What /status says of Chrome."""
    about: dict[str, str] = (await (await service.get("/status")).json())["chrome"]
    return about


@needs_root
async def test_as_root_every_process_of_chrome_is_the_unused_user(
    start_service: StartService,
) -> None:
    """Uid, gid, no group; no capability outside a namespace of its own; the sandbox is on."""
    service = await start_service()
    assert await service.at_rest()
    processes = chromes(service)
    assert len(processes) >= 3
    outer = len(_own_status()["NSpid"])
    for one in processes:
        assert one["Uid"] == [str(UNUSED.uid)] * 4
        assert one["Gid"] == [str(UNUSED.gid)] * 4
        assert one["NoNewPrivs"] == ["1"]
        if len(one["NSpid"]) == outer:
            assert int(one["CapEff"][0], 16) == 0
    assert any(len(one["NSpid"]) > outer for one in processes), "no process is in the sandbox"
    about = await reported(service)
    assert (about["user"], about["sandbox"]) == (str(UNUSED), "on")
    assert (await service.picture(html="<h1>x")).startswith(b"\x89PNG")


def _own_status() -> dict[str, list[str]]:
    text = Path("/proc/self/status").read_text("latin-1")
    return {name: words.split() for name, _, words in map(_parted, text.splitlines())}


@needs_root
async def test_same_leaves_chrome_root_and_its_sandbox_off(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a setting says so, the log does not warn of root again, only of the missing sandbox."""
    service = await start_service(chrome_user="same")
    about = await reported(service)
    assert (about["user"], about["sandbox"]) == ("0:0", "off")
    assert await service.at_rest()
    assert {one["Uid"][0] for one in chromes(service)} == {"0"}
    assert "ROOT" not in caplog.text
    assert "sandbox is OFF" in caplog.text


@needs_root
async def test_a_named_user_is_taken(start_service: StartService) -> None:
    """By name, or by numbers that the machine does not know."""
    service = await start_service(chrome_user="64999:64998")
    assert await service.at_rest()
    assert (await reported(service))["user"] == "64999:64998"
    assert {(one["Uid"][0], one["Gid"][0]) for one in chromes(service)} == {("64999", "64998")}


@needs_root
async def test_a_work_folder_that_chrome_cannot_reach_is_reported_and_endured(
    start_service: StartService, work_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Root as before, loudly and once."""
    work_dir.chmod(0o700)
    service = await start_service(work_dir=work_dir / "x")
    about = await reported(service)
    assert (about["user"], about["sandbox"]) == ("0:0", "off")
    (line,) = [one.getMessage() for one in caplog.records if "ROOT" in one.getMessage()]
    assert "Permission denied" in line


@needs_root
async def test_a_named_user_that_cannot_be_is_refused(work_dir: Path) -> None:
    """A named user is not replaced by root; nothing is left of the try."""
    work_dir.chmod(0o700)
    service = Engine(settings(work_dir=work_dir / "x", chrome_user="nobody"))
    with pytest.raises(ChromeNotStarted, match=r"POSTER_CHROME_USER=nobody: .*Permission denied"):
        await service.start()
    assert left(service.pool.spec.instance, service.pool.spec.instance_dir) == []
    with pytest.raises(InvalidSettings, match="no user 'nobody-of-the-kind'"):
        Engine(settings(work_dir=work_dir, chrome_user="nobody-of-the-kind"))


async def rendered(work_dir: Path, *before: str, **more: str) -> tuple[int, str]:
    """A render behind a command that execs it: its status, and what it logged."""
    if shutil.which(before[0]) is None:
        pytest.skip(f"there is no {before[0]}")
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", "poster_service", "render", "-", "-o", "-",
        "--log-level=warning", "--width", "20", "--height", "20",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env=environment(work_dir) | more,
    )  # fmt: skip
    picture, log = await process.communicate(b"<h1>x")
    assert bool(picture) == (process.returncode == 0)
    assert await settled(lambda: left_of(work_dir) == [])
    return process.returncode or 0, log.decode()


async def without(work_dir: Path, *lost: str, **more: str) -> tuple[int, str]:
    """A render by root that lacks some capabilities."""
    words = ",".join(f"-{name.lower()}" for name in lost)
    before = ("setpriv", f"--bounding-set={words}", f"--inh-caps={words}")
    return await rendered(work_dir, *before, **more)


def why_root(log: str) -> str:
    """The one line that says why Chrome is root."""
    (line,) = [one for one in map(json.loads, log.splitlines()) if "ROOT" in one["message"]]
    return str(line["message"])


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("lost", [("KILL",), ("SETUID", "SETGID", "KILL", "CHOWN"), ("all",)])
async def test_root_without_the_capabilities_goes_on_as_root(
    work_dir: Path, lost: tuple[str, ...]
) -> None:
    """What is missing is named; "all" is a container's `--cap-drop ALL`.

    Without KILL nothing is given away that could then not be ended.
    """
    status, log = await without(work_dir, *lost)
    assert status == 0, log
    assert "KILL" in why_root(log)


@pytest.mark.slow
@needs_root
async def test_a_namespace_that_has_no_other_user_is_reported_and_endured(work_dir: Path) -> None:
    """All capabilities, and yet: there is only root here, so a folder cannot be given away."""
    before = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespace can be made here")
    status, log = await rendered(work_dir, *before)
    assert status == 0, log
    assert f"chown to {UNUSED}" in why_root(log)
    status, log = await rendered(work_dir, *before, POSTER_CHROME_USER=str(UNUSED))
    assert status == 1
    assert f"POSTER_CHROME_USER={UNUSED}" in log


@pytest.mark.slow
@needs_root
async def test_root_without_the_capabilities_refuses_a_named_user(work_dir: Path) -> None:
    """Before anything starts."""
    status, log = await without(work_dir, "SETUID", POSTER_CHROME_USER="nobody")
    assert status == 1
    assert "POSTER_CHROME_USER=nobody" in log
    assert "SETUID" in log


def test_only_root_may_run_chrome_as_another(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without root it is an error; asked for nothing, the service stays its own user."""
    monkeypatch.setattr(chrome_setup, "is_root", lambda: False)
    with pytest.raises(InvalidSettings, match="only root"):
        Engine(settings(work_dir=work_dir, chrome_user="64999"))
    assert Engine(settings(work_dir=work_dir)).pool.spec.user is None


@needs_root
def test_the_doctor_tells_whom_chrome_is_to_be(work_dir: Path) -> None:
    """And when the one named cannot be."""

    def user(chosen: str) -> str:
        return dict(doctor.findings(settings(work_dir=work_dir, chrome_user=chosen)))["user"]

    assert str(UNUSED) in user("auto")
    assert "root" in user("same")
    assert user("nobody-of-the-kind").startswith("WRONG")
