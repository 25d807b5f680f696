"""The ledger of orphans: how many of which name, how they ended, what they cost, who was killed."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.process.init_harness import PYTHON, Starter, program, read, wait_for_text, wait_until

pytest_plugins = ("tests.process.init_fixtures",)


def ledger(path: Path) -> dict[str, Any]:
    """The status file; {} where there is none yet."""
    return dict(json.loads(read(path) or "{}"))


def until(file: object) -> str:
    """Words of a script that wait until there is a file."""
    return f"while ! test -e {file}; do sleep 0.02; done"


def test_orphans_are_booked_by_name_and_by_how_they_ended(start_init: Starter) -> None:
    """Also what a name of more than one word stands for."""
    path = start_init.folder / "status.json"
    orphans = "(sh -c 'exit 3' &); (sh -c 'exit 3' &); (sh -c 'kill -9 $$' &); (sleep 0 &)"
    # It stays until all four have ended by themselves: what is left at its end gets TERM.
    init = start_init("--status-file", path, "sh", "-c", f"{orphans}; {until(f'{path}.go')}")
    wait_until(lambda: ledger(path).get("orphans_reaped") == 4, "all are booked")
    Path(f"{path}.go").touch()
    assert init.wait() == 0
    found = ledger(path)
    assert found["orphans_reaped"] == 4
    assert found["by_command"]["sh"]["endings"] == {"exit 3": 2, "KILL": 1}
    assert found["by_command"]["sh"]["reaped"] == 3
    assert found["by_command"]["sleep"]["endings"] == {"exit 0": 1}
    assert (found["phase"], found["main_ending"]) == ("ended", "exit 0")


@pytest.mark.slow
def test_cpu_time_and_peak_memory_are_booked(start_init: Starter) -> None:
    """An orphan that burns CPU and takes 40 MB shows in both."""
    path = start_init.folder / "status.json"
    burn = "x = bytearray(40_000_000); import time\nwhile time.process_time() < 0.2: pass"
    script = f"('{PYTHON[0]}' -I -S -c '{burn}' &); {until(f'{path}.go')}"
    init = start_init("-o", path, "sh", "-c", script)
    wait_until(lambda: ledger(path).get("orphans_reaped") == 1, "it has been booked")
    Path(f"{path}.go").touch()
    init.wait()
    (account,) = ledger(path)["by_command"].values()
    assert 0.2 <= account["cpu_seconds"] < 2
    assert 40_000 < account["peak_rss_kib"] < 100_000


def test_those_killed_at_the_end_are_booked_apart(start_init: Starter) -> None:
    """Only those that init itself had to kill."""
    path, out = start_init.folder / "status.json", start_init.folder / "out"
    stubborn = " ".join(program("stubborn", out))
    ready = f"while ! grep -q ready {out}; do sleep 0.01; done"
    script = f"(sh -c 'kill -9 $$' &); setsid {stubborn} & {ready}; {until(f'{path}.go')}; exit 4"
    init = start_init("-k", "0.1", "-o", path, "sh", "-c", script)
    wait_until(lambda: ledger(path).get("orphans_reaped") == 1, "the one that ends is booked")
    Path(f"{path}.go").touch()
    assert init.wait() == 4
    found = ledger(path)
    assert (found["orphans_reaped"], found["orphans_killed"]) == (2, 1)
    assert found["by_command"]["sh"]["killed"] == 0


@pytest.mark.slow
def test_the_file_is_there_while_init_runs_and_follows_it(start_init: Starter) -> None:
    """The service reads it for its metrics; its path is in the child's environment."""
    path = start_init.folder / "status.json"
    script = f'cp "$POSTER_INIT_STATUS" {path}.first; (exit 1 &) ; exec sleep 1000'
    init = start_init("-o", path, "sh", "-c", script)
    wait_until(lambda: ledger(path).get("orphans_reaped") == 1, "the orphan is booked")
    found = ledger(path)
    assert found["phase"] == "running"
    assert found["main_pid"] > 0
    assert found["subreaper"] is (start_init.place == "subreaper")
    assert ledger(Path(f"{path}.first"))["orphans_reaped"] == 0
    init.signal(signal.SIGTERM)
    init.wait()
    assert ledger(path)["asked_by"] == "TERM"


@pytest.mark.slow
def test_a_reader_never_sees_half_a_file(start_init: Starter) -> None:
    """It is replaced whole; nothing else stays in its folder."""
    folder = start_init.folder / "kept"
    folder.mkdir()
    path = folder / "status.json"
    init = start_init("-o", path, *program("orphan_maker", 4000, start_init.folder / "out"))
    seen = set()

    def storm_is_over() -> bool:
        if path.exists():
            seen.add(ledger(path)["orphans_reaped"])  # raises where the JSON is cut off
        return (start_init.folder / "out").exists()

    wait_until(storm_is_over, "all are made")
    init.signal(signal.SIGTERM)
    init.wait()
    assert ledger(path)["orphans_reaped"] == 4000
    assert len(seen) >= 1
    assert os.listdir(folder) == ["status.json"]  # noqa: PTH208


def test_it_is_off_by_default(start_init: Starter) -> None:
    """Nothing is written anywhere."""
    assert start_init.run("sh", "-c", 'test -z "${POSTER_INIT_STATUS+x}"')[0] == 0


def test_it_is_removed_at_the_end_if_asked_to(start_init: Starter) -> None:
    """There while init runs, for the service to read; nothing is left of it afterwards."""
    path = start_init.folder / "status.json"
    script = f"{until(path)}; cp {path} {path}.seen"
    assert start_init.run("-u", "-o", path, "sh", "-c", script)[0] == 0
    assert ledger(path.with_name("status.json.seen"))["phase"] == "running"
    assert not path.exists()


def test_a_relative_path_is_the_callers(start_init: Starter) -> None:
    """Init itself lives in /."""
    assert start_init.run("-o", "status.json", "true", cwd=start_init.folder)[0] == 0
    assert ledger(start_init.folder / "status.json")["phase"] == "ended"


def test_names_without_end_do_not_grow_the_ledger(start_init: Starter) -> None:
    """200 names are booked as 64 and the others."""
    path = start_init.folder / "status.json"
    code = (
        "import os\n"
        "for n in range(200):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        if os.fork() == 0:\n"
        "            open('/proc/self/comm', 'w').write('name-%d' % n)\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
    )
    assert start_init.run("-o", path, *PYTHON, "-c", code)[0] == 0
    found = ledger(path)
    assert found["orphans_reaped"] == 200
    assert len(found["by_command"]) == 65
    assert found["by_command"]["(others)"]["reaped"] == 200 - 64


def test_a_file_that_can_no_longer_be_written_is_reported_once_and_survived(
    start_init: Starter,
) -> None:
    """Its folder vanished."""
    folder = start_init.folder / "gone"
    folder.mkdir()
    go = start_init.folder / "go"
    script = f"{until(go)}; (exit 1 &); sleep 0.1; exit 3"
    init = start_init("-o", folder / "status.json", "sh", "-c", script)
    wait_until(lambda: ledger(folder / "status.json").get("main_pid"), "it is written at first")
    (folder / "status.json").unlink()
    folder.rmdir()
    go.touch()
    assert init.wait() == 3
    assert init.stderr().count("cannot write") == 1


def test_the_printed_line_and_the_file_agree(start_init: Starter) -> None:
    """One ledger, two ways to read it."""
    path, out = start_init.folder / "status.json", start_init.folder / "out"
    init = start_init("-o", path, *program("orphan_maker", 40, out))
    wait_for_text(out, "made 40")
    init.signal(signal.SIGTERM)
    init.wait()
    assert "ended after TERM (exit 0)" in init.stderr()
    assert "reaped 40 orphans" in init.stderr()
    assert ledger(path)["orphans_reaped"] == 40
