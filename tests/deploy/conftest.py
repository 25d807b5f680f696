"""What the tests of the deployment files share: the files, the tools that check them, a service."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.web.conftest import service, start_service

__all__ = ["service", "start_service"]  # a real service, for the names of its metrics

DOCKER = Path(__file__).parents[2] / "docker"


def tool(name: str, package: str) -> str:
    """The path of a validator; without it the test is skipped, but fails where CI is set."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        reason = f"{name} is not installed (Debian's package {package})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
