"""The incident can be reproduced: zombies where they must be, and none under our init."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.image.harness import ROOT, Engine

RENDERS = 3


def bench(engine: Engine, out: Path, *names: str) -> dict[str, Any]:
    """Rows of the bench by name."""
    only = [word for name in names for word in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.incident", *only,
         "--renders", str(RENDERS), "--out", str(out)],
        check=False, cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, **engine.environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / "results.json").read_text())["rows"]
    return {row["name"]: row for row in rows}


@pytest.mark.endurance
@pytest.mark.timeout(2400)  # the image may have to be built
def test_python_as_pid_1_keeps_zombies_and_ours_keeps_none(engine: Engine, tmp_path: Path) -> None:
    """The same service leaves zombies under python, none under init, which tells it of TERM too.

    And none under systemd, under which such a service usually begins. `make test` has the first
    two of a load test (`test_load.py`); here they are the bench's own rows, and its image takes two
    minutes.
    """
    rows = bench(engine, tmp_path, "python", "systemd", "ours")
    usual, ours, systemd = rows["python"], rows["ours"], rows["systemd"]
    assert set(systemd["closed"]["zombies"]) == set(systemd["killed"]["zombies"]) == {0}
    assert systemd["term"] == "finished"
    assert usual["closed"]["zombies"][-1] >= RENDERS
    assert usual["killed"]["zombies"][-1] > usual["closed"]["zombies"][-1]
    assert ours["closed"]["zombies"] == [0] * RENDERS
    assert set(ours["killed"]["zombies"]) == {0}
    assert (ours["term"], ours["status"]) == ("finished", 0)
    assert ours["stop_s"] < 5
    assert "init.py" in (tmp_path / "table.md").read_text()
    assert "http" not in (tmp_path / "plot.svg").read_text().replace("http://www.w3.org", "")


def test_without_an_engine_one_line_tells_how_to_get_one(tmp_path: Path) -> None:
    """No engine, no traceback: one line, and status 2."""
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/nothing", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.incident", "--out", str(tmp_path)],
        check=False, cwd=ROOT, env=nowhere, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "tools/engine.sh up" in done.stderr
