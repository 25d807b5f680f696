"""An engine and the image, for tests that are all slow ones.

CI starts an engine (tools/engine.sh) and fails without one; elsewhere these tests are left out
where none answers, and say so.
"""

import os
from pathlib import Path

import pytest

from tests.image.harness import IMAGE, ROOT, Engine, find_engine

HERE = f"{Path(__file__).parent}/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Building and running containers takes minutes."""
    for item in items:
        if str(item.path).startswith(HERE):
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("timeout") is None:
                # The first of them builds the image, on a new engine from nothing: minutes, and
                # more than ten on a busy machine.
                item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def engine() -> Engine:
    """A Docker engine."""
    found = find_engine()
    if found is None:
        reason = 'no Docker engine answers; get one with: eval "$(tools/engine.sh up)"'
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The image, built from this tree by the engine's own builder."""
    dockerfile = str(ROOT / "docker" / "Dockerfile")
    done = engine.run("build", "--file", dockerfile, "--tag", IMAGE, str(ROOT), seconds=1500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return IMAGE
