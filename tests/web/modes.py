"""Both Chromes, each at two isolation levels: what tests of pictures run in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from poster_service.isolation import Isolation
from tests.chrome.conftest import PROGRAMS, installed
from tests.web.service import Service, running_in_own_folder

#: The levels at which any page can be rendered.
LEVELS: tuple[Isolation, ...] = ("process", "context")


def service_in_modes(**settings: Any) -> Any:
    """A fixture: a service for all tests of a file, in each mode. It must be called `service`.

    `make test` runs the tests in headless-shell with a Chrome for each render, those that are
    `in_both_chromes` in full Chromium too, and `make endurance` all of them in the other modes.

    Args:
        settings: Of the service, beside Chrome, isolation level, and a long timeout.
    """

    @pytest.fixture(scope="module", params=modes(pytest.mark.endurance))
    async def service(request: pytest.FixtureRequest) -> AsyncIterator[Service]:
        program, level = request.param
        async with running_in_own_folder(
            chrome=installed(program),
            isolation=level,
            template_isolation=level,
            **{"timeout_ms": 60_000, **settings},
        ) as found:
            yield found

    return service


def modes(full_and_shared: pytest.MarkDecorator) -> list[Any]:
    """Parameters of (program, isolation level), of which the first is quick.

    Args:
        full_and_shared: The mark of full Chromium with a context for each render; with `slow`,
            `make test` has each Chrome and each level once. The rest is for `make endurance`.
    """
    endurance = pytest.mark.endurance
    marks: tuple[list[pytest.MarkDecorator], ...] = (
        [], [endurance], [endurance], [full_and_shared],
    )  # fmt: skip
    both = [(program, level) for program in PROGRAMS for level in LEVELS]
    return [
        pytest.param(mode, id=f"{Path(mode[0]).name}-{mode[1]}", marks=some)
        for mode, some in zip(both, marks, strict=True)
    ]


#: For a test that `make test` runs in full Chromium too, with a context for each render: at least
#: one of each file whose `service` is in modes, and each test of what a render leaves to the next.
in_both_chromes = pytest.mark.parametrize("service", modes(pytest.mark.slow), indirect=True)

#: For a test that is in full Chromium only, with a context for each render: some lines of a table
#: of which another test has all in headless-shell.
in_full_chromium = pytest.mark.parametrize("service", modes(pytest.mark.slow)[-1:], indirect=True)
