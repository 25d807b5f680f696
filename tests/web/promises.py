"""The document of a service with other APIs, and Schemathesis against a service, by its own."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poster_service.settings import Settings
from poster_service.web import openapi
from poster_service.web.app import make_app
from poster_service.web.service import Service
from tests.web.conftest import StartService
from tests.web.signing import KEYS

TOKEN = "web-token-0123456789"
ST = Path(sys.executable).with_name("st")
#: What fits the document may still be refused: a signature, the pixels, the data of a template.
#: A page that cannot be rendered, and a service that is full, are no fault of ours.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
not_a_server_error.expected-statuses = ["2xx", "4xx", 502, 503, 504]
# Schemathesis' own list, and 431: what is too long for a query is refused before it is read.
negative_data_rejection.expected-statuses = [
    400, 401, 403, 404, 405, 406, 409, 415, 422, 428, 429, 431, "5xx"
]
"""


def document_of(folder: Path, *compat: str) -> dict[str, Any]:
    """GET /openapi.json of a service with tokens and these APIs."""
    given: Any = {"tokens": f"web={TOKEN}", "compat": compat}
    settings = Settings(work_dir=folder, **given)
    made = openapi.document(make_app(Service.build(settings)))
    document: dict[str, Any] = json.loads(json.dumps(made))
    return document


async def hold(
    start_service: StartService,
    folder: Path,
    *how: str,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> None:
    """Run it against a service with tokens and signing keys, whose renders are short and small.

    Args:
        start_service: Starts it.
        folder: For its configuration.
        how: Arguments of `st run`.
        environment: More variables.
        settings: More of the service, or others.
    """
    usual = {
        "tokens": f"web={TOKEN}", "signing_keys": KEYS, "network": "none",
        "max_pixels": 1_100_000, "timeout_ms": 3_000, "max_timeout_ms": 3_000,
    }  # fmt: skip
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    service = await start_service(**{**usual, **settings})
    (folder / "st.toml").write_text(CONFIG)
    # Schemathesis itself would wait ten seconds for it, which is too short on a busy machine.
    async with service.client.get(f"{service.address}/openapi.json", headers=bearer) as answer:
        (folder / "openapi.json").write_bytes(await answer.read())
    process = await asyncio.create_subprocess_exec(
        ST, "--no-color", "--config-file", "st.toml", "run", "openapi.json",
        "--url", service.address, "--header", f"Authorization: {bearer['Authorization']}",
        "--request-timeout", "30", "--seed", "1", "--generation-database", "none", *how,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=folder, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    assert re.search(rb"Tested: [1-9]", output), output.decode()
    assert await service.at_rest()
