"""What the tests of the deployment files share: the files, the tools that check them, a service."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.conftest import Service, service, shared_service

__all__ = ["service", "shared_service"]  # a real service, for the names of its metrics

DOCKER = Path(__file__).parents[2] / "docker"

#: What init may take after the service is gone: TERM, a grace, KILL, and the reaping (README).
INIT_KILL_SECONDS = 2.0 + 1.0

#: Labels by the name of a sample, and the values seen of each.
Exposed = dict[str, dict[str, set[str]]]

#: What a sample's name ends in, by the type of its family.
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def tool(name: str, package: str) -> str:
    """The path of a validator; without it the test is skipped, but fails where CI is set."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        reason = f"{name} is not installed (Debian's package {package})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
async def exposed(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exposed:
    """Every sample that a real service can expose, with its labels and the values seen."""
    ledger = {"orphans_killed": 0, "by_command": {"chrome_crashpad": {"reaped": 1}}}
    (tmp_path / "ledger.json").write_text(json.dumps(ledger))
    monkeypatch.setenv("POSTER_INIT_STATUS", str(tmp_path / "ledger.json"))
    await service.picture(html="<p>x", width=10, height=10)
    assert await service.at_rest()
    text = await (await service.get("/metrics")).text()
    found: Exposed = {}
    for family in text_string_to_metric_families(text):
        for ending in ENDINGS[family.type]:
            found[family.name + ending] = {}
        for sample in family.samples:
            for label, value in sample.labels.items():
                found[sample.name].setdefault(label, set()).add(value)
    return found
