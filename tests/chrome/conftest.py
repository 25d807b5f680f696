"""Which Chromes these tests run with, and a spec for each."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from poster_service.browser.spec import ChromeSpec, Sandbox, new_instance
from poster_service.process.user import UNUSED

#: Headless-shell, and full Chromium with its crash handlers that leave the process group.
PROGRAMS = ("/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium")


def installed(program: str) -> Path:
    """The program, or a skip with its reason; where CI runs, a missing one is a failure."""
    if Path(program).exists():
        return Path(program)
    if os.environ.get("CI"):
        pytest.fail(f"{program} is not installed, and CI must have it")
    pytest.skip(f"{program} is not installed")


@pytest.fixture(params=PROGRAMS, ids=["headless-shell", "chromium"])
def program(request: pytest.FixtureRequest) -> Path:
    """Each Chrome in turn."""
    return installed(request.param)


@pytest.fixture
def make_spec(work_dir: Path) -> Callable[[Path], ChromeSpec]:
    """A spec with a folder and an instance of its own."""

    def make(program: Path) -> ChromeSpec:
        instance = new_instance()
        return ChromeSpec(
            program=program,
            sandbox=Sandbox.ON,
            instance_dir=work_dir / f"{instance:x}",
            instance=instance,
            start_timeout=60,
            user=UNUSED if os.geteuid() == 0 else None,
        )

    return make
