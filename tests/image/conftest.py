"""Tests that need a Docker engine; without one they are skipped, in CI they fail."""

import os
import subprocess
from collections.abc import Mapping

import pytest


@pytest.fixture(scope="session")
def engine() -> Mapping[str, str]:
    """The environment in which `docker` reaches an engine."""
    try:
        done = subprocess.run(["docker", "info"], check=False, capture_output=True, text=True)
        fault = done.stderr.strip() if done.returncode else ""
    except OSError as missing:
        fault = str(missing)
    if fault:
        why = f"no Docker engine: {fault}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return dict(os.environ)
