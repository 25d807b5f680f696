"""Both Chromes, each with one render and with many: what tests of pictures run in."""

from pathlib import Path
from typing import Any

import pytest

from tests.chrome.conftest import PROGRAMS


def modes(full: pytest.MarkDecorator) -> list[Any]:
    """Parameters of (program, renders per Chrome); full Chromium's tests have the mark `full`."""
    return [
        pytest.param(
            (program, renders),
            id=f"{Path(program).name}-{renders}",
            marks=full if "headless" not in program else [pytest.mark.slow] * (renders > 1),
        )
        for program in PROGRAMS
        for renders in (1, 50)
    ]
