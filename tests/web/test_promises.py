"""Schemathesis reads GET /openapi.json and holds a running service to it.

Requests that fit the document and requests that do not; each answer must be one that it names, with
the headers and the body that it names, and no fault of ours. Afterwards nothing is left.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.web.conftest import StartService
from tests.web.signing import KEYS

TOKEN = "web-token-0123456789"
SIGNING = Path(__file__).parent / "programs" / "signing.py"
ST = Path(sys.executable).with_name("st")
#: What fits the document may still be refused: a signature, the pixels, the data of a template.
#: A page that cannot be rendered, and a service that is full, are no fault of ours.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
not_a_server_error.expected-statuses = ["2xx", "4xx", 502, 503, 504]
"""


async def hold(start_service: StartService, folder: Path, *how: str, **environment: str) -> None:
    """Run it against a service with tokens and signing keys, whose renders are short and small."""
    service = await start_service(
        tokens=f"web={TOKEN}", signing_keys=KEYS, network="none", max_pixels=1_100_000,
        timeout_ms=3_000, max_timeout_ms=3_000,
    )  # fmt: skip
    (folder / "st.toml").write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        ST, "--no-color", "--config-file", "st.toml", "run", f"{service.address}/openapi.json",
        "--url", service.address, "--header", f"Authorization: Bearer {TOKEN}",
        "--request-timeout", "30", "--seed", "1", "--generation-database", "none", *how,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=folder, env=os.environ | environment,
    )  # fmt: skip
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    assert re.search(rb"Tested: [1-9]", said), said.decode()
    assert await service.at_rest()


async def test_the_service_keeps_what_its_document_promises(
    start_service: StartService, tmp_path: Path
) -> None:
    """A few requests of every kind."""
    await hold(start_service, tmp_path, "--phases", "fuzzing", "--max-examples", "5")


@pytest.mark.slow
async def test_the_service_keeps_it_whatever_is_sent(
    start_service: StartService, tmp_path: Path
) -> None:
    """The examples of the document, every edge of every value, and values at random."""
    phases = "examples,coverage,fuzzing"
    await hold(start_service, tmp_path, "--phases", phases, "--max-examples", "60")


@pytest.mark.slow
async def test_an_address_that_is_signed_may_say_anything(
    start_service: StartService, tmp_path: Path
) -> None:
    """Signed by a hook, or nothing would come further than the signature."""
    await hold(
        start_service, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "60",
        "--include-path", "/render/{template}", "--exclude-checks", "ignored_auth",
        SCHEMATHESIS_HOOKS=str(SIGNING),
    )  # fmt: skip
