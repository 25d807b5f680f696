"""What OpenAPI says of Gotenberg's routes, and Schemathesis over it."""

from pathlib import Path

import pytest

from poster_service.web.compat.gotenberg import fields
from tests.web.conftest import StartService
from tests.web.promises import document_of, hold


def test_every_route_is_in_the_document(tmp_path: Path) -> None:
    """With every field that it reads, and its own way to authenticate."""
    document = document_of(tmp_path, "gotenberg")
    for action, table in (("screenshot", fields.SCREENSHOT), ("convert", fields.PDF)):
        for kind in ("html", "url", "markdown"):
            one = document["paths"][f"/forms/chromium/{action}/{kind}"]["post"]
            schema = one["requestBody"]["content"]["multipart/form-data"]["schema"]
            source = "url" if kind == "url" else "files"
            assert set(schema["properties"]) == {*fields.COMMON, *table, source, "downloadFrom"}
            assert schema["required"] == [source]
            assert one["security"] == [{"basic": []}]
            assert {"200", "400", "401", "409", "429", "501", "503"} <= set(one["responses"])
    assert document["paths"]["/health"]["get"]["security"] == []
    assert {"/version", "/prometheus/metrics", "/forms/{path}"} <= set(document["paths"])


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_routes_keep_what_the_document_promises(
    start_service: StartService, tmp_path: Path
) -> None:
    """Values at random; no fault of ours, and nothing is left."""
    await hold(
        start_service, tmp_path, "--phases", "fuzzing", "--max-examples", "8",
        "--include-path-regex", "^/(forms|health|version|prometheus)",
        compat=("gotenberg",), tokens="",
    )  # fmt: skip
