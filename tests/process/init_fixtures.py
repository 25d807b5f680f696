"""The fixtures of the harness, as a pytest plugin: `pytest_plugins` in the test modules names it.

Apart from the harness because pytest wants to load a plugin before any test imports it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.init_harness import PLACES, Starter, starter


@pytest.fixture(params=PLACES)
def start_init(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Starter]:
    """Start init, once as PID 1 of a namespace of its own and once as a subreaper."""
    with starter(request.param, tmp_path) as it:
        yield it


@pytest.fixture
def start_init_first(tmp_path: Path) -> Iterator[Starter]:
    """Start init as PID 1 of a namespace of its own."""
    with starter("pid 1", tmp_path) as it:
        yield it


@pytest.fixture
def start_init_below(tmp_path: Path) -> Iterator[Starter]:
    """Start init as an ordinary process, that is as a subreaper."""
    with starter("subreaper", tmp_path) as it:
        yield it
