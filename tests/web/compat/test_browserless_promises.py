"""What OpenAPI says of browserless' routes, and Schemathesis over it."""

from pathlib import Path

import pytest

from tests.web.conftest import StartService
from tests.web.promises import document_of, hold

RENDERING = {f"{prefix}/{kind}" for prefix in ("", "/chromium", "/chrome")
             for kind in ("screenshot", "pdf", "content", "scrape")}  # fmt: skip


def test_every_route_is_in_the_document(tmp_path: Path) -> None:
    """With what it takes; each of its own operation."""
    document = document_of(tmp_path, "browserless")
    bodies = {
        path
        for path, one in document["paths"].items()
        if "browserless" in one.get("post", {}).get("tags", ()) and "requestBody" in one["post"]
    }
    assert bodies >= RENDERING
    body = document["paths"]["/pdf"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["additionalProperties"] is False
    assert "setExtraHTTPHeaders" in body["properties"]
    assert document["paths"]["/pdf"]["post"]["security"] == [
        {"bearer": []},
        {"browserlessToken": []},
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_routes_keep_what_the_document_promises(
    start_service: StartService, tmp_path: Path
) -> None:
    """Values at random; no fault of ours, and nothing is left."""
    await hold(
        start_service, tmp_path, "--phases", "fuzzing", "--max-examples", "8",
        "--include-path-regex", "^/(screenshot|pdf|content|scrape|active|config|sessions|kill)",
        compat=("browserless",),
    )  # fmt: skip
