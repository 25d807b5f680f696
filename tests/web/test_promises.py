"""Schemathesis reads GET /openapi.json and holds a running service to it.

Requests that fit the document and requests that do not; each answer must be one that it names, with
the headers and the body that it names, and no fault of ours. Afterwards nothing is left.
"""

from pathlib import Path

import pytest

from tests.web.conftest import StartService
from tests.web.promises import hold

SIGNING = Path(__file__).parent / "programs" / "signing.py"
PLAIN = Path(__file__).parent / "programs" / "plain_rules.py"
pytestmark = pytest.mark.timeout(1800)
#: What is made up: the document's examples and some values at random; in `make endurance` also
#: every edge of every value, and more at random. The edges of each option have tests of their own
#: (tests/unit/test_options.py); to make them up here takes a minute.
EXTENT = pytest.mark.parametrize(
    "extent",
    [
        pytest.param(("examples,fuzzing", "10"), id="some", marks=pytest.mark.slow),
        pytest.param(("examples,coverage,fuzzing", "60"), id="all", marks=pytest.mark.endurance),
    ],
)


@EXTENT
async def test_the_service_keeps_what_its_document_promises(
    start_service: StartService, tmp_path: Path, extent: tuple[str, str]
) -> None:
    """For any request."""
    how = ("--phases", extent[0], "--max-examples", extent[1])
    await hold(start_service, tmp_path, *how, environment={"SCHEMATHESIS_HOOKS": str(PLAIN)})


@EXTENT
async def test_an_address_that_is_signed_may_say_anything(
    start_service: StartService, tmp_path: Path, extent: tuple[str, str]
) -> None:
    """Signed by a hook, or nothing would come further than the signature."""
    await hold(
        start_service, tmp_path, "--phases", extent[0],
        "--max-examples", extent[1], "--include-path", "/render/{template}",
        "--exclude-checks", "ignored_auth",
        environment={"SCHEMATHESIS_HOOKS": str(SIGNING)},
    )  # fmt: skip
